"""The file that names MCP servers, in the `mcpServers` form that other programs use too.

https://modelcontextprotocol.io/docs/develop/connect-local-servers. Starts and connects nothing.
"""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from turnwire_server.errors import SettingsError

__all__ = ["HttpServer", "ServerConfig", "StdioServer", "read_mcp_config"]


class _Entry(BaseModel):
    """What all servers have. Fields that only other programs know are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    disabled: bool = False


class StdioServer(_Entry):
    """A server to start as a process."""

    type: Literal["stdio"] = "stdio"
    command: str = Field(min_length=1)
    args: list[str] = []
    env: dict[str, str] = {}
    """On top of a few harmless variables of ours (`PATH`, `HOME`)."""
    cwd: str | None = None

    def secrets(self) -> list[str]:
        """Texts that must not be logged: arguments and environment."""
        return [*self.args, *self.env.values()]


class HttpServer(_Entry):
    """A server to reach by streamable HTTP."""

    type: Literal["http", "streamable-http", "streamableHttp", "streamable_http"] = "http"
    url: str = Field(pattern=r"^https?://[^/]")
    headers: dict[str, Annotated[str, Field(pattern=r"^[^\r\n\x00]*$")]] = {}

    def secrets(self) -> list[str]:
        """Texts that must not be logged: keys in the address, and headers, whole and in words."""
        words = [word for header in self.headers.values() for word in header.split()]
        url = urlsplit(self.url)
        values = [url.password or "", *(value for _, value in parse_qsl(url.query))]
        return [self.url, url.path, url.query, *values, *self.headers.values(), *words]


ServerConfig = StdioServer | HttpServer


def read_mcp_config(path: str) -> dict[str, ServerConfig]:
    """The servers of the file, by name, without the disabled ones.

    Raises:
        SettingsError: there is no such file, or it has another form. The message names the place,
            and never a value: it may be a secret.
    """
    try:
        content = from_json(Path(path).read_bytes())
    except OSError as error:
        raise SettingsError(f"mcp: cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"mcp: {path} is not JSON: {error}") from None
    entries = content.get("mcpServers") if isinstance(content, dict) else None
    if not isinstance(entries, dict):
        raise SettingsError(f"mcp: {path} has no object `mcpServers`")
    servers = {name: _server(f"{path}: mcpServers.{name}", it) for name, it in entries.items()}
    return {name: server for name, server in servers.items() if not server.disabled}


def _server(where: str, entry: Any) -> ServerConfig:
    if not isinstance(entry, dict) or not entry.keys() & {"command", "url"}:
        raise SettingsError(f"mcp: {where} has neither `command` nor `url`")
    kind = StdioServer if "command" in entry else HttpServer
    try:
        return kind.model_validate(entry)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        path = ".".join(str(part) for part in problem["loc"])
        # The cause would show the values.
        raise SettingsError(f"mcp: {where}.{path}: {problem['msg']}") from None

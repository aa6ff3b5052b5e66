"""All settings, one table: a CLI flag, a `TURNWIRE_*` variable and a keyword of `Turnwire` alike.

The one module that reads the environment (and `.env`). `ANTHROPIC_*` is the SDK's own.
"""

import os
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as BadSource

from turnwire_protocol import ThinkingOption
from turnwire_server.core.ledger import Price
from turnwire_server.core.limits import Limits
from turnwire_server.core.options import ClientOption, Policy
from turnwire_server.errors import SettingsError

__all__ = ["Settings", "default_db", "load_settings"]

DEFAULT_MODEL = "claude-sonnet-5-5"


def default_db() -> str:
    """Where this user's database belongs (https://specifications.freedesktop.org/basedir-spec/)."""
    base = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(base, "turnwire", "turnwire.db")


class Settings(BaseSettings):
    """How the service runs."""

    model_config = SettingsConfigDict(
        env_prefix="TURNWIRE_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on; anything but this machine needs a token."""
    db: str | None = None
    """File of the database; `:memory:` (the library's default) keeps nothing."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    tools: list[str] = []
    """Python files or modules with tools that run in the server."""
    mcp: str | None = None
    """JSON file that names MCP servers, in the usual `mcpServers` form."""
    model: str = DEFAULT_MODEL
    """The model clients get unless they choose another."""
    models: list[str] = []
    """Other models that clients may choose."""
    system: str | None = None
    """The system prompt."""
    max_tokens: int = Field(default=16_384, ge=1)
    """Longest answer of a step: default and ceiling."""
    thinking: ThinkingOption = ThinkingOption(type="adaptive", display="summarized")
    """How the model thinks: the Messages API's `thinking` object."""
    token: str | None = Field(default=None, min_length=8, repr=False)
    """One shared bearer token; without it only this machine is served."""
    allow_origins: list[str] = []
    """Origins of other web pages that may use the service; `*` for all."""
    client_options: frozenset[ClientOption] = frozenset(
        ("model", "max_tokens", "thinking", "tools")
    )
    """What clients may choose in a `send`."""
    fallback_model: str | None = None
    """The model of further attempts after `overloaded`."""
    max_queued: int = Field(default=8, ge=0)
    """Most messages that wait behind a running turn."""
    drain_grace: float = Field(default=30.0, ge=0)
    """Seconds that running turns get to finish when the service is stopped."""
    retries: int = Field(default=3, ge=0)
    """Attempts after the first, for failures worth another."""
    base_delay: float = Field(default=1.0, gt=0)
    """Seconds before the second attempt; doubles each time."""
    max_delay: float = Field(default=30.0, gt=0)
    """Longest delay between attempts, in seconds."""
    stall_timeout: float = Field(default=60.0, gt=0)
    """Seconds without a byte from the model until the attempt fails."""
    turn_timeout: float = Field(default=900.0, gt=0)
    """Longest turn, in seconds."""
    approval_timeout: float = Field(default=300.0, gt=0)
    """Seconds a tool call waits for approval; then it counts as denied."""
    client_tool_timeout: float = Field(default=120.0, gt=0)
    """Longest run of a tool in a client, in seconds."""
    tool_timeout: float = Field(default=60.0, gt=0)
    """Longest run of a tool, in seconds, unless the tool says otherwise."""
    max_steps: int = Field(default=20, ge=1)
    """Most model calls in a turn."""
    detach_grace: float = Field(default=10.0, ge=0)
    """Seconds without a reader until a turn with `on_detach: cancel` ends."""
    prices: dict[str, Price] = {}
    """US dollars per million tokens by model; without them no cost is shown."""
    limits: Limits = Limits()
    """Bounds on sizes, rates and counts."""

    def policy(self) -> Policy:
        """The part that turns live by."""
        return Policy(
            model=self.model,
            models=tuple(self.models),
            system=self.system,
            max_tokens=self.max_tokens,
            thinking=self.thinking,
            client_options=self.client_options,
            max_steps=self.max_steps,
            retries=self.retries,
            base_delay_seconds=self.base_delay,
            max_delay_seconds=self.max_delay,
            turn_timeout_seconds=self.turn_timeout,
            tool_timeout_seconds=self.tool_timeout,
            approval_timeout_seconds=self.approval_timeout,
            client_tool_timeout_seconds=self.client_tool_timeout,
            detach_grace_seconds=self.detach_grace,
            max_queued=self.max_queued,
            fallback_model=self.fallback_model,
            prices=self.prices,
        )


def load_settings(**given: Any) -> Settings:
    """The settings; what is given wins over the environment, None counts as not given.

    Raises:
        SettingsError: one of them is not valid; the message names it.
    """
    for name in given:
        if name not in Settings.model_fields:
            raise SettingsError(f"{name}: there is no such setting")
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise SettingsError(f"{where or 'settings'}: {problem['msg']}") from error
    except BadSource as error:
        # Of a list or an object in the environment; its message names the field.
        raise SettingsError(f"{error}: it must be JSON") from error

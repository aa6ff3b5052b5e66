"""Claude whose SDK is imported beside the service's first work: that import is half of a start.

Only where nothing of the configuration can fail: a key or token in the environment, and nothing out
of the ordinary beside it. Whatever else the SDK may find, or refuse, it is asked for at once.
"""

import asyncio
import importlib.util
import logging
import os
import re
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.model.port import Context, ModelRequest, Part, ProviderFile
from turnwire_server.model.request import RequestForm
from turnwire_server.telemetry.upstream import Upstream

if TYPE_CHECKING:
    from turnwire_server.model.claude import Claude
    from turnwire_server.model.clients import Client

__all__ = ["API_HOST", "LateClaude", "LateClient", "is_bare", "late_client"]

logger = logging.getLogger(__name__)

API_HOST = "api.anthropic.com"
"""The Claude API itself."""

_SECRETS = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN")
_BASE_URL = "ANTHROPIC_BASE_URL"
_PLAIN = {*_SECRETS, _BASE_URL, "ANTHROPIC_LOG"}
"""Of the SDK's variables those that cannot fail, if they look as they do nearly always."""
_PLAIN_SECRET = re.compile(r"[!-~]+")
_PLAIN_URL = re.compile(r"https?://[a-z0-9.-]+(:[1-9][0-9]*)?(/[a-z0-9._/-]*)?", re.IGNORECASE)


@dataclass(slots=True, frozen=True, kw_only=True)
class LateClient:
    """A client of the SDK that is made when it is wanted, and that can be made."""

    base_url: str
    make: "Callable[[], Client]"
    """Called in a thread; imports the SDK."""


def late_client(environment: Mapping[str, str] = os.environ) -> LateClient | None:
    """The client of the Claude API's key or token in the environment; None: the SDK must be asked
    whether there is one, and whether it can be made."""
    given = {name: environment[name] for name in environment if name.startswith("ANTHROPIC_")}
    secrets = [given[name] for name in _SECRETS if given.get(name)]
    base_url = given.get(_BASE_URL, f"https://{API_HOST}")
    if (
        not secrets
        or not given.keys() <= _PLAIN
        or not all(map(_PLAIN_SECRET.fullmatch, secrets))
        or not _is_plain(base_url)
        or not _is_readable(environment.get("SSL_CERT_FILE"))
        or getproxies()
        or not _is_installed()
    ):
        return None
    return LateClient(base_url=base_url, make=_of_environment)


def _is_plain(url: str) -> bool:
    try:
        return _PLAIN_URL.fullmatch(url) is not None and urlsplit(url).port != 0
    except ValueError:  # There is no such port.
        return False


def _is_readable(certificates: str | None) -> bool:
    """Whether the SDK's client, which reads them when it is made, will be able to."""
    if not certificates:
        return True
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificates)
    except OSError:
        return False
    return True


def is_bare(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether there is nothing at all where the SDK looks for a key or token."""
    named = {name for name, value in environment.items() if name.startswith("ANTHROPIC_") and value}
    return not named - {_BASE_URL, "ANTHROPIC_LOG"} and not _has_folder(environment)


def _has_folder(environment: Mapping[str, str]) -> bool:
    """Whether the SDK's folder for profiles is there, or cannot be looked for."""
    try:
        if sys.platform == "win32":
            return True
        return (Path.home() / ".config" / "anthropic").exists()
    except (OSError, RuntimeError):
        return True


def _is_installed() -> bool:
    # If it is not, that is said at the start.
    return importlib.util.find_spec("anthropic") is not None


def _of_environment() -> "Client":
    from turnwire_server.model.clients import client_of

    return client_of()


class LateClaude:
    """`Model` that becomes a `Claude` as soon as there is one: whoever calls it earlier waits for
    that, and the loop does not."""

    def __init__(
        self, client: LateClient, make: "Callable[[Client], Claude]", *, form: RequestForm
    ) -> None:
        self.has_failed = False
        """It could not be made, and nobody will be answered; why is in the log."""
        self._client = client
        self._make = make
        self._form = form
        self._loading: asyncio.Task[Claude | None] | None = None
        self._claude: Claude | None = None
        """Once it is there, nothing stands between it and a turn."""
        url = urlsplit(client.base_url)
        port = url.port or (80 if url.scheme == "http" else 443)
        self.upstream = Upstream(provider="anthropic", host=url.hostname or "", port=port)
        """Where it is, for those who watch."""
        self.has_list_prices = url.hostname == API_HOST
        """Whether it is the Claude API itself that is asked, which bills by its list."""

    def begin_to_load(self) -> "asyncio.Task[Claude | None]":
        """Begin to make it, unless that was done before."""
        if self._loading is None:
            self._loading = asyncio.create_task(self._load(), name="model")
        return self._loading

    async def load(self) -> "Claude | None":
        """Returns once it was made, by this call or an earlier one; None: it cannot be."""
        # Who waits may be stopped; the others go on waiting.
        return await asyncio.shield(self.begin_to_load())

    async def close(self) -> None:
        """Let go of connections."""
        if self._loading is not None and (claude := await self.load()) is not None:
            await claude.close()

    def context(self, model: str) -> Context:
        """See `Model.context`."""
        return self._form.context_of(model, is_own=self.has_list_prices)

    def stream(
        self, request: ModelRequest
    ) -> AbstractAsyncContextManager[AsyncIterator[list[Part]]]:
        """See `Model.stream`."""
        claude = self._claude
        return self._late_stream(request) if claude is None else claude.stream(request)

    @asynccontextmanager
    async def _late_stream(self, request: ModelRequest) -> AsyncIterator[AsyncIterator[list[Part]]]:
        claude = await self._loaded()
        async with claude.stream(request) as parts:
            yield parts

    async def open_file(self, id: str, *, max_bytes: int) -> ProviderFile:
        """See `Model.open_file`."""
        return await (await self._loaded()).open_file(id, max_bytes=max_bytes)

    async def _loaded(self) -> "Claude":
        claude = await self.load()
        if claude is None:
            raise ModelError(Code.INTERNAL, "the model cannot be called", retryable=False)
        return claude

    async def _load(self) -> "Claude | None":
        try:
            self._claude = await asyncio.to_thread(lambda: self._make(self._client.make()))
        except Exception:
            # Boundary: an import runs foreign code, and nobody may be waiting for this task.
            logger.exception("the Anthropic SDK cannot be loaded: no turn will be answered")
            self.has_failed = True
        return self._claude

"""The listening socket and uvicorn, hardened: what `serve` adds to the app.

Reasons are in the uvicorn 0.54 source: a peer that never reads pins `send()` for ever, because its
ping time-out closes the transport instead of aborting it, and pings are answered without looking at
what already waits to be written.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["DrainingServer", "bind", "server_for"]

_UNREAD_MILLISECONDS = 30_000
"""How long written bytes may stay unacknowledged by the peer until the kernel gives it up."""

_MAX_UNSENT_BYTES = 256 * 1024


class HardenedProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, with peers cut off that do not read."""

    def handle_ping(self) -> None:
        """Answer a ping, unless earlier answers pile up unread."""
        if self.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self.transport.abort()
            return
        super().handle_ping()

    def keepalive_timeout(self) -> None:
        """No pong in time: abort, because a close would wait for the unread bytes first."""
        super().keepalive_timeout()
        self.transport.abort()


class HardenedHttpProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's HTTP protocol, with peers cut off that begin a request and never end its headers.

    Its keep-alive time-out counts only between requests.
    """

    header_timeout_seconds = 10.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """A connection without a request must bring one in time."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take the data; then begin or end the wait for the rest of the headers."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        super().connection_lost(exc)
        self._relax()

    def _watch(self) -> None:
        if not self._is_waiting():
            self._relax()
        elif self._deadline is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self.header_timeout_seconds, self._give_up)

    def _is_waiting(self) -> bool:
        is_upgraded = self.transport.get_protocol() is not self
        return not is_upgraded and (self.cycle is None or self.cycle.response_complete)

    def _give_up(self) -> None:
        self._deadline = None
        if self._is_waiting():
            self.transport.abort()

    def _relax(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _PeersFaults(logging.Filter):
    """What a peer breaks is a line of uvicorn's log, and not a traceback through our code."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is logged; always."""
        fault = record.exc_info[1] if record.exc_info else None
        if isinstance(fault, h11.LocalProtocolError | UnicodeDecodeError):
            record.exc_info = record.exc_text = None
            record.msg, record.args = "a peer broke the protocol: %s", (fault,)
        return True


def bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: the address is in use or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's algorithm, which would delay tokens, only if the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            option = socket.TCP_USER_TIMEOUT
            listener.setsockopt(socket.IPPROTO_TCP, option, _UNREAD_MILLISECONDS)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


class DrainingServer(uvicorn.Server):
    """uvicorn that drains before it stops: it closes sockets before the app's lifespan ends, so the
    app would learn of it too late. The second signal exits at once: the log survives that."""

    def __init__(self, config: uvicorn.Config, drain: Callable[[], Awaitable[None]] | None) -> None:
        super().__init__(config)
        self._drain = drain
        self._draining: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; signals are handled on this loop from now on."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal drains, the second exits."""
        if self._loop is None or self._draining is not None:
            os._exit(128 + sig)
        self._loop.call_soon_threadsafe(self.stop)

    def stop(self) -> None:
        """Drain, then stop."""
        if self._draining is None:
            self._draining = asyncio.ensure_future(self._stop())

    async def _stop(self) -> None:
        try:
            if self._drain is not None:
                await self._drain()
        finally:
            self.should_exit = True


def server_for(
    app: FastAPI,
    *,
    max_frame_bytes: int,
    grace_seconds: float,
    drain: Callable[[], Awaitable[None]] | None = None,
) -> DrainingServer:
    """uvicorn for the app. Query strings are not logged, so there is no access log."""
    config = uvicorn.Config(
        app,
        http=HardenedHttpProtocol,
        ws=HardenedProtocol,
        ws_max_size=max_frame_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        timeout_graceful_shutdown=round(grace_seconds),
    )
    uvicorn_log = logging.getLogger("uvicorn.error")
    if not any(isinstance(one, _PeersFaults) for one in uvicorn_log.filters):
        uvicorn_log.addFilter(_PeersFaults())
    return DrainingServer(config, drain)

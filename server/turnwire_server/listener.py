"""The listening socket and uvicorn, hardened: what `serve` adds to the app."""

import asyncio
import ipaddress
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI

from turnwire_server.connections import (
    Acceptor,
    HardenedHttpProtocol,
    HardenedProtocol,
    Line,
    Place,
    Room,
    Window,
    room_for_connections,
)
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.rationed import PEERS_FAULT, RATIONED

__all__ = ["DrainingServer", "bind", "listen", "server_for"]

logger = logging.getLogger(__name__)

_IDLE_SECONDS = 620
"""How long a connection is kept on which nothing is asked: longer than proxies keep theirs (nginx
60 s, Caddy 120, Google's load balancers 600), or a request of theirs would meet the closing. Where
places are short those are the first to go."""
_UNREAD_MILLISECONDS = 30_000
"""How long written bytes may stay unacknowledged by the peer until the kernel gives it up."""


class _PeersFaults(logging.Filter):
    """What a peer breaks is a line of uvicorn's log, and not a traceback through our code."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is logged; always."""
        fault = record.exc_info[1] if record.exc_info else None
        if isinstance(fault, h11.LocalProtocolError | UnicodeDecodeError):
            record.exc_info = record.exc_text = None
            record.msg, record.args = PEERS_FAULT, (fault,)
        return True


_PEERS_FAULTS = _PeersFaults()


def bind(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    """A listening socket. One that `is_shared` does not listen yet (`listen`): other processes may
    have the same address, if theirs is shared, too.

    Raises:
        OSError: the address is in use or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's algorithm, which would delay tokens, only if the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            option = socket.TCP_USER_TIMEOUT
            listener.setsockopt(socket.IPPROTO_TCP, option, _UNREAD_MILLISECONDS)
        listener.bind((host, port))
        if not is_shared:
            listen(listener)
    except OSError:
        listener.close()
        raise
    return listener


def listen(listener: socket.socket) -> None:
    """Take connections from now on: they wait until somebody accepts them."""
    listener.listen(2048)


class DrainingServer(uvicorn.Server):
    """uvicorn that drains before it stops: it closes sockets before the app's lifespan ends, so the
    app would learn of it too late. The second signal exits at once: the log survives that.

    Connections are accepted by ours, not by asyncio's server, as far as there is room for them."""

    def __init__(
        self,
        config: uvicorn.Config,
        drain: Callable[[], Awaitable[None]] | None,
        *,
        limits: ServiceLimits,
        room: Room,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self.limits = limits
        self.room = room
        self._window = Window()
        self._line = Line()
        self._acceptors: list[Acceptor] = []
        self._draining: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.is_accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start; signals are handled on this loop from now on."""
        self._loop = asyncio.get_running_loop()
        await super().startup([])
        for listener in sockets or ():
            self._acceptors.append(Acceptor(listener, self.room, self._protocol_for))
        self.is_accepting.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nothing more, then let those who are in end."""
        await self.stop_accepting()
        await super().shutdown(sockets)

    async def stop_accepting(self) -> None:
        """Accept nothing more."""
        for acceptor in self._acceptors:
            await acceptor.close()

    def _protocol_for(self, place: Place) -> HardenedHttpProtocol:
        return HardenedHttpProtocol(
            place=place,
            window=self._window,
            line=self._line,
            limits=self.limits,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

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
    limits: ServiceLimits,
    grace_seconds: float,
    proxies: Sequence[str] = (),
    drain: Callable[[], Awaitable[None]] | None = None,
) -> DrainingServer:
    """uvicorn for the app. Query strings are not logged, so there is no access log.

    `proxies` are addresses and networks whose connections are not counted for each address.
    """
    config = uvicorn.Config(
        app,
        http=HardenedHttpProtocol,
        ws=HardenedProtocol,
        ws_max_size=limits.max_frame_bytes,
        ws_per_message_deflate=False,
        ws_ping_interval=20,
        ws_ping_timeout=20,
        access_log=False,
        log_level="warning",
        proxy_headers=False,
        timeout_graceful_shutdown=round(grace_seconds),
        timeout_keep_alive=_IDLE_SECONDS,
    )
    uvicorn_log = logging.getLogger("uvicorn.error")
    # In this order: what the first makes of a traceback is rationed, too.
    uvicorn_log.addFilter(_PEERS_FAULTS)
    uvicorn_log.addFilter(RATIONED)
    most = room_for_connections(limits.max_connections)
    if most < limits.max_connections:
        logger.info(
            "at most %d connections instead of limits.max_connections, %d: the process may not"
            " open more files (ulimit -n)",
            most,
            limits.max_connections,
        )
    room = Room(
        max_connections=most,
        max_per_address=limits.max_connections_per_address,
        proxies=[ipaddress.ip_network(network) for network in proxies],
    )
    return DrainingServer(config, drain, limits=limits, room=room)

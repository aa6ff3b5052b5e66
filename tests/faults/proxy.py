"""A TCP proxy between client and service that breaks a link at a chosen message of the service.

It knows the borders of the service's WebSocket frames (RFC 6455 §5.2; a server masks nothing), and
no more of the protocol than that a frame is a JSON object.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from types import TracebackType
from typing import Any, Self

from pydantic_core import from_json

__all__ = ["Damage", "Proxy"]

_TEXT = 1


class Damage(Enum):
    """What befalls the link."""

    RESET = auto()
    """Both ends get a TCP reset."""
    STALL = auto()
    """It stays open, and nothing passes in either direction any more."""


class Proxy:
    """Passes everything on, until the service sends a message for which `at` is true: that one and
    all after it are lost with the link. This happens once; later connections are left alone."""

    def __init__(
        self, upstream: str, *, damage: Damage, at: Callable[[dict[str, Any]], bool]
    ) -> None:
        self.passed: list[dict[str, Any]] = []
        """The messages of the service that were passed on, on all connections."""
        self.lost: dict[str, Any] | None = None
        """The message at which the link broke."""
        self.connections = 0
        self._host, port = upstream.split(":")
        self._port = int(port)
        self._damage = damage
        self._at = at
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def wait(self, predicate: Callable[[], bool]) -> None:
        """Returns as soon as the predicate holds; it is asked again at every message."""
        while not predicate():
            await self._changed.wait()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.create_task(self._link(reader, writer))
        self._links.add(link)
        link.add_done_callback(self._links.discard)

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        upstream, to_upstream = await asyncio.open_connection(self._host, self._port)
        passing = asyncio.create_task(_pass(reader, to_upstream))
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                if not await self._pass_frames(upstream, writer):
                    if self._damage is Damage.STALL:
                        passing.cancel()
                        await asyncio.Event().wait()
                    _reset(writer)
                    _reset(to_upstream)
        finally:
            passing.cancel()
            await asyncio.gather(passing, return_exceptions=True)
            for end in (writer, to_upstream):
                end.transport.abort()

    async def _pass_frames(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Pass on until the link is to break; raises when it ends by itself."""
        writer.write(await reader.readuntil(b"\r\n\r\n"))
        while True:
            head = await reader.readexactly(2)
            size = head[1]
            more = {126: 2, 127: 8}.get(size, 0)
            if more:
                length = await reader.readexactly(more)
                head, size = head + length, int.from_bytes(length)
            payload = await reader.readexactly(size)
            if head[0] & 0x0F == _TEXT and not self._take(from_json(payload)):
                return False
            writer.write(head + payload)
            await writer.drain()

    def _take(self, message: dict[str, Any]) -> bool:
        """Note a message; whether it may pass."""
        breaks = self.lost is None and self._at(message)
        if breaks:
            self.lost = message
        else:
            self.passed.append(message)
        # A fresh event for the next change: those who wait on the old one are all woken.
        self._changed.set()
        self._changed = asyncio.Event()
        return not breaks

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
        # The client has gone: its end of the link is read here only.
        writer.transport.abort()


def _reset(writer: asyncio.StreamWriter) -> None:
    end: socket.socket = writer.get_extra_info("socket")
    # Without lingering, close sends a reset in place of an orderly end.
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

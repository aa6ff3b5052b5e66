"""Where answers are played: a streaming HTTP response, or nowhere. Knows no answers."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator

from aiohttp import web

__all__ = ["HttpStage", "SilentStage"]


class SilentStage:
    """Keeps what a plain request never sees; its connection can still be cut."""

    def __init__(self, request: web.Request) -> None:
        if request.transport is None:
            raise asyncio.CancelledError("the client left before its answer began")
        self.transport: asyncio.Transport = request.transport

    async def open(self) -> None:
        """Gets ready for the first write."""

    async def write(self, data: bytes) -> None:
        """Drops the bytes."""

    async def flush(self) -> None:
        """Returns at once: nothing ever waits."""

    def abort(self) -> None:
        """Resets the TCP connection, as far as the peer can tell at once."""
        connection: socket.socket = self.transport.get_extra_info("socket")
        # Without lingering, close sends a reset in place of an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class HttpStage(SilentStage):
    """A chunked streaming response; each write leaves as one chunk."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        super().__init__(request)
        self._request = request
        self._response = response

    async def open(self) -> None:
        """Sends the response's head."""
        # With no allowance, a drain waits until the transport's own buffer is empty.
        self.transport.set_write_buffer_limits(high=0)
        with _leaving():
            await self._response.prepare(self._request)

    async def write(self, data: bytes) -> None:
        """Sends the bytes; blocks while the client does not read."""
        with _leaving():
            await self._response.write(data)

    async def flush(self) -> None:
        """Returns when everything written has been taken by the kernel."""
        with _leaving():
            await self._request.writer.drain()


@contextlib.contextmanager
def _leaving() -> Iterator[None]:
    """Whoever hangs up has the handler cancelled. What is written before that, in the same moment,
    fails: aiohttp would take it for a fault of the handler, and log it.
    """
    try:
        yield
    except ConnectionError as gone:
        raise asyncio.CancelledError from gone

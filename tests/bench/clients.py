"""Readers of the benchmarks: as bare as can be, so that they are not what is measured."""

import asyncio
import base64
import json
import os
import re
import struct
import time
from collections.abc import Mapping

__all__ = ["Reader", "read_sse", "read_ws"]

_TIME = re.compile(rb"@(\d+);")
_TAIL = 32
_END = {"turnwire": b'"type":"done"', "tutorial": b"[DONE]", "relay": b'"message_stop"'}


class Reader(asyncio.Protocol):
    """Scans what it is sent for the tokens' own times, until the mark of the end."""

    def __init__(self, hello: bytes, end: bytes, then: bytes = b"") -> None:
        self.delays_ns: list[int] = []
        self.received_bytes = 0
        self.first_at = 0.0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._hello = hello
        self._end = end
        self._then = then
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        self.received_bytes += len(data)
        if self._then:
            # After the 101: uvicorn drops what comes with the handshake.
            self.transport.write(self._then)
            self._then = b""
        data = self._tail + data
        last = 0
        for match in _TIME.finditer(data):
            self.delays_ns.append(now - int(match[1]))
            last = match.end()
        if last and not self.first_at:
            self.first_at = time.perf_counter()
        if self._end in data[max(last - _TAIL, 0) :] and not self.ended.done():
            self.ended.set_result(None)
        self._tail = data[max(last, len(data) - _TAIL) :]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(ConnectionError("the server closed"))


async def read_sse(kind: str, port: int, message: str) -> Reader:
    """POST a message and read the stream that answers."""
    body = json.dumps({"message": message}).encode()
    hello = (
        b"POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%s" % (port, len(body), body)
    )
    return await _connect(port, hello, _END[kind])


async def read_ws(port: int, *commands: Mapping[str, object], end: bytes | None = None) -> Reader:
    """Open a socket, send the commands, read."""
    hello = (
        b"GET /v1/ws HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nupgrade: websocket\r\n"
        b"connection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: %s\r\n"
        b"sec-websocket-protocol: turnwire.v1\r\n\r\n" % (port, base64.b64encode(os.urandom(16)))
    )
    frames = b"".join(_frame(json.dumps(command).encode()) for command in commands)
    return await _connect(port, hello, end or _END["turnwire"], frames)


async def _connect(port: int, hello: bytes, end: bytes, then: bytes = b"") -> Reader:
    loop = asyncio.get_running_loop()
    _, reader = await loop.create_connection(lambda: Reader(hello, end, then), "127.0.0.1", port)
    return reader


def _frame(payload: bytes) -> bytes:
    """A masked text frame (RFC 6455 §5.2); a mask of zeros is a mask."""
    length = len(payload)
    head = bytes([0x81, 0x80 | length]) if length < 126 else b"\x81\xfe" + struct.pack("!H", length)
    return head + bytes(4) + payload

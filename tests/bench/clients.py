"""Readers of the benchmarks: as bare as can be, so that they are not what is measured."""

import asyncio
import base64
import json
import os
import re
import struct
import time
from collections.abc import Mapping

__all__ = [
    "Reader",
    "WsReader",
    "ask_on",
    "open_reader",
    "post",
    "read_body",
    "read_sse",
    "read_ws",
]

_TIME = re.compile(rb"@(\d+);")
_TURN = re.compile(rb'"conversation":"(c_[^"]+)".*?"turn":"(t_[^"]+)"')
_TAIL = 32
_END = {
    "turnwire": b'"type":"done"',
    "tutorial": b"[DONE]",
    "relay": b'"message_stop"',
    "ai-sdk": b"[DONE]",
}
_CONTINUED_LENGTH = {126: (2, "!H"), 127: (8, "!Q")}
_PING = 0x89


class Reader(asyncio.Protocol):
    """Scans what it is sent for the tokens' own times, until the mark of the end."""

    def __init__(self, hello: bytes, end: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.delays_ns: list[int] = []
        self.received_bytes = 0
        self.conversation = ""
        self.turn = ""
        """Of the first event or ack."""
        self.first: asyncio.Future[float] = loop.create_future()
        """When the first token came."""
        self.ended: asyncio.Future[float] = loop.create_future()
        self._hello = hello
        self._end = end
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._hello)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter_ns()
        self.received_bytes += len(data)
        data = self._tail + data
        last = 0
        for match in _TIME.finditer(data):
            self.delays_ns.append(now - int(match[1]))
            last = match.end()
        if last and not self.first.done():
            self.first.set_result(now / 1e9)
        if not self.turn and (found := _TURN.search(data)):
            self.conversation, self.turn = found[1].decode(), found[2].decode()
        if self._end in data[max(last - _TAIL, 0) :] and not self.ended.done():
            self.ended.set_result(now / 1e9)
        self._tail = data[max(last, len(data) - _TAIL) :]

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(ConnectionError("the server closed"))

    def expect_end(self) -> None:
        """Wait for one more end."""
        self.ended = asyncio.get_running_loop().create_future()

    def expect(self, mark: bytes) -> None:
        """Wait for this mark from now on, and for another first token."""
        self.first = asyncio.get_running_loop().create_future()
        self._end = mark
        self._tail = b""
        self.expect_end()

    def leave(self) -> None:
        """Hang up, wherever it is."""
        self.ended.cancel()
        self.transport.abort()


class WsReader(Reader):
    """The same over a WebSocket: it sends commands, and answers pings."""

    def __init__(self, hello: bytes, end: bytes) -> None:
        super().__init__(hello, end)
        self.marked: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        """When the mark came that `expect_mark` was told."""
        self._mark: bytes | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done after the handshake; what is sent before is lost."""
        self.token_frames = 0
        self._frames = b""

    def expect_mark(self, mark: bytes) -> None:
        """Say when this comes, which ends nothing."""
        self._mark = mark

    def send(self, command: Mapping[str, object]) -> None:
        """Write one more command."""
        self.transport.write(_frame(0x81, json.dumps(command).encode()))

    def data_received(self, data: bytes) -> None:
        if not self.opened.done():
            head, found, data = (self._frames + data).partition(b"\r\n\r\n")
            if not found:
                self._frames = head
                return
            self._frames = b""
            self.opened.set_result(None)
        if self._mark is not None and self._mark in data:
            self.marked.set_result(time.perf_counter())
            self._mark = None
        self._answer_pings(data)
        super().data_received(data)

    def _answer_pings(self, data: bytes) -> None:
        data = self._frames + data
        start = 0
        while len(data) >= start + 2:
            length, at = data[start + 1] & 0x7F, start + 2
            if length in _CONTINUED_LENGTH:
                size, form = _CONTINUED_LENGTH[length]
                if len(data) < at + size:
                    break
                (length,) = struct.unpack(form, data[at : at + size])
                at += size
            if len(data) < at + length:
                break
            self.token_frames += data.startswith(b'{"type":"token"', at)
            if data[start] == _PING:
                self.transport.write(_frame(0x8A, data[at : at + length]))
            start = at + length
        self._frames = data[start:]


async def open_reader(way: str, port: int, message: str) -> Reader:
    """Ask in a way (`turnwire ws`, `relay sse`, …) and read the answer."""
    kind, transport = way.split()
    if transport == "ws":
        return await read_ws(port, {"type": "send", "id": "1", "content": message})
    return await read_sse(kind, port, message)


def ask_on(reader: Reader, port: int, message: str) -> None:
    """Ask once more, on the connection on which that reader's last answer came."""
    if isinstance(reader, WsReader):
        reader.expect(_END["turnwire"])
        reader.send({"type": "send", "id": "1", "content": message})
    else:
        # Its end, and that of the response: before that nothing may be asked.
        reader.expect(b"\r\n0\r\n\r\n")
        body = json.dumps({"message": message}).encode()
        reader.transport.write(_request(port, "/v1/chat", body))


async def read_sse(kind: str, port: int, message: str) -> Reader:
    """POST a message and read the stream that answers."""
    body = json.dumps({"message": message}).encode()
    return await read_body(port, "/v1/chat", body, _END[kind])


async def read_body(port: int, path: str, body: bytes, end: bytes) -> Reader:
    """POST a body of JSON and read the stream that answers, until the mark of its end."""
    hello = _request(port, path, body)
    loop = asyncio.get_running_loop()
    _, reader = await loop.create_connection(lambda: Reader(hello, end), "127.0.0.1", port)
    return reader


async def post(port: int, path: str, **body: str) -> None:
    """POST to the service; the answer is not looked at."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_request(port, path, json.dumps(body).encode()))
    await writer.drain()
    writer.close()


def _request(port: int, path: str, body: bytes) -> bytes:
    return (
        b"POST %s HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
        b"content-length: %d\r\n\r\n%s" % (path.encode(), port, len(body), body)
    )


async def read_ws(port: int, *commands: Mapping[str, object]) -> WsReader:
    """Open a socket, send the commands, read."""
    hello = (
        b"GET /v1/ws HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nupgrade: websocket\r\n"
        b"connection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: %s\r\n"
        b"sec-websocket-protocol: turnwire.v1\r\n\r\n" % (port, base64.b64encode(os.urandom(16)))
    )
    loop = asyncio.get_running_loop()
    _, reader = await loop.create_connection(
        lambda: WsReader(hello, _END["turnwire"]), "127.0.0.1", port
    )
    await reader.opened
    for command in commands:
        reader.send(command)
    return reader


def _frame(opcode: int, payload: bytes) -> bytes:
    """A masked frame (RFC 6455 §5.2); a mask of zeros is a mask."""
    length = len(payload)
    if length < 126:
        head = bytes([opcode, 0x80 | length])
    elif length < 65536:
        head = bytes([opcode, 0xFE]) + struct.pack("!H", length)
    else:
        head = bytes([opcode, 0xFF]) + struct.pack("!Q", length)
    return head + bytes(4) + payload

"""The model of the benchmarks: a bare HTTP server that streams tokens which carry their own time.

Not the simulator: it judges nothing and encodes almost nothing, so that it is not the bottleneck.
A request's last user message says how: `tokens=300 pace=50` (per second; 0: flat out).
"""

import asyncio
import json
import re
import time
from collections import defaultdict
from typing import Any

__all__ = ["Upstream"]

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"request-id: req_bench\r\ntransfer-encoding: chunked\r\n\r\n"
)


def _sent(*events: dict[str, Any]) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), json.dumps(event).encode())
        for event in events
    )


_START = _sent(
    {
        "type": "message_start",
        "message": {
            "id": "msg_bench",
            "type": "message",
            "role": "assistant",
            "model": "claude-bench",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 10, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
)
_END = _sent(
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 100},
    },
    {"type": "message_stop"},
)
_TOKEN = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"@%d; "}}\n\n'
)
_BURST = 64


class Upstream:
    """Counts what it writes and is asked."""

    def __init__(self) -> None:
        self.port = 0
        self.tokens = 0
        self.asked_bytes = 0
        self._closings: defaultdict[str, asyncio.Future[float]] = defaultdict(
            asyncio.get_running_loop().create_future
        )
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Stream(self), "127.0.0.1", 0, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def closing(self, name: str) -> float:
        """When the client of the stream of this name closed it before its end."""
        return await self._closings[name]

    def closed(self, name: str) -> None:
        """It did."""
        if not self._closings[name].done():
            self._closings[name].set_result(time.perf_counter())

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()


class _Stream(asyncio.Protocol):
    """One connection: one request after another."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._timer: asyncio.TimerHandle | None = None
        self._is_paused = False
        self._left = 0
        self._pace = 0.0
        self._due = 0.0
        self._name = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._left and self._name:
            self._upstream.closed(self._name)
        self._left = 0

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        if self._left and not self._pace:
            self._flood()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not found or (length and len(body) < int(length[1])):
            return
        self._received = b""
        # Not parsed: a long history would be a cost of its own. The last message stands last.
        text = body[body.rfind(b"tokens=") :].partition(b'"')[0].decode()
        asked = dict(part.split("=") for part in text.split() if "=" in part)
        self._left = int(asked.get("tokens", 100))
        self._pace = float(asked.get("pace", 0))
        self._name = asked.get("name", "")
        self._upstream.asked_bytes += len(body)
        self._transport.write(_HEAD)
        self._write(_START)
        if self._pace:
            self._due = self._loop.time()
            self._tick()
        else:
            self._flood()

    def _tick(self) -> None:
        self._write(_TOKEN % time.perf_counter_ns())
        self._upstream.tokens += 1
        self._left -= 1
        if self._left == 0:
            self._finish()
            return
        self._due += 1 / self._pace
        self._timer = self._loop.call_at(self._due, self._tick)

    def _flood(self) -> None:
        while self._left and not self._is_paused:
            burst = min(self._left, _BURST)
            self._write((_TOKEN % time.perf_counter_ns()) * burst)
            self._upstream.tokens += burst
            self._left -= burst
        if self._left == 0:
            self._finish()

    def _finish(self) -> None:
        self._write(_END)
        self._transport.write(b"0\r\n\r\n")

    def _write(self, data: bytes) -> None:
        self._transport.write(b"%x\r\n%s\r\n" % (len(data), data))

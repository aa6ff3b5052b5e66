"""What a token costs to read from each place where Claude runs: bytes in, parts out, flat out."""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args
from unittest import mock

from tests.bench.table import head, row
from tests.kit.platforms import chunk, environment
from turnwire_server.model.claude import Claude
from turnwire_server.model.clients import client_of
from turnwire_server.model.port import ModelRequest
from turnwire_server.model.providers import Provider

__all__ = ["providers"]

_TOKENS = 2000
_ANSWERS = 25
_OF_SDK = ("ANTHROPIC_", "AWS_", "GOOGLE_")


def _events() -> Iterator[bytes]:
    message = {"type": "message", "role": "assistant", "model": "m", "content": [], "usage": {}}
    block = {"type": "text", "text": ""}
    yield json.dumps({"type": "message_start", "message": message}).encode()
    yield json.dumps({"type": "content_block_start", "index": 0, "content_block": block}).encode()
    delta = {"type": "text_delta", "text": "token; "}
    for _ in range(_TOKENS):
        yield json.dumps({"type": "content_block_delta", "index": 0, "delta": delta}).encode()
    yield json.dumps({"type": "content_block_stop", "index": 0}).encode()
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}}
    yield json.dumps(end).encode()
    yield json.dumps({"type": "message_stop"}).encode()


def _response(content_type: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


_SSE = _response(
    "text/event-stream",
    b"".join(
        b"event: %s\ndata: %s\n\n" % (json.loads(event)["type"].encode(), event)
        for event in _events()
    ),
)
_AWS = _response("application/vnd.amazon.eventstream", b"".join(map(chunk, _events())))
_TOKEN = _response(
    "application/json", b'{"access_token": "t", "expires_in": 3600, "token_type": "Bearer"}'
)


class _Ready(asyncio.Protocol):
    """Sends an answer that was made before, so that sending costs nearly nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"POST"):
            path = data.partition(b"\r\n")[0]
            ready = _AWS if b"/model/" in path else _TOKEN if b"/token" in path else _SSE
            self._transport.write(ready)


@contextmanager
def _within(variables: dict[str, str]) -> Iterator[None]:
    others = {name for name in os.environ if name.startswith(_OF_SDK)}
    with mock.patch.dict(os.environ, variables):
        for name in others - variables.keys():
            del os.environ[name]
        yield


async def _cpu_seconds(model: Claude) -> float:
    request = ModelRequest("m", [{"role": "user", "content": "Hi"}], max_tokens=10)
    began = 0.0
    for number in range(_ANSWERS + 1):
        if number == 1:  # The first connects, and imports what signs.
            began = time.process_time()
        async with model.stream(request) as stream:
            async for _ in stream:
                pass
    return time.process_time() - began


async def providers() -> None:
    """Every provider, decoded from bytes and by the SDK's types; the plain API before and after."""
    server = await asyncio.get_running_loop().create_server(_Ready, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    head("provider", "CPU µs/token", "of the plain one", "by the SDK's types")
    plain = 0.0
    names: tuple[Provider, ...] = (*get_args(Provider), "anthropic")
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            with _within(environment(name, url, Path(folder))):
                figures = []
                for raw in (True, False):
                    model = Claude(client_of(name), raw=raw)
                    figures.append(1e6 * await _cpu_seconds(model) / (_TOKENS * _ANSWERS))
                    await model.close()
            plain = plain or figures[0]
            row(name, f"{figures[0]:.2f}", f"{figures[0] / plain:.2f}", f"{figures[1]:.1f}")
    server.close()

"""What a token costs on each wire, beside the native one: flat out and with 50 paced streams."""

import itertools
import json
from collections.abc import Callable

from tests.bench.clients import Reader, open_reader, read_body
from tests.bench.servers import serving
from tests.bench.streaming import PACE, flat_out, paced
from tests.bench.table import head, milliseconds, row
from tests.bench.upstream import Upstream
from turnwire_server.core.turn.options import DEFAULT_MODEL

__all__ = ["wires"]

STREAMS = 50

_numbers = itertools.count()


def _ai_sdk(message: str) -> dict[str, object]:
    number = next(_numbers)
    part = {"type": "text", "text": message}
    said = {"id": f"m{number}", "role": "user", "parts": [part]}
    return {"id": f"chat-{number}", "messages": [said], "trigger": "submit-message"}


def _ag_ui(message: str) -> dict[str, object]:
    number = next(_numbers)
    said = {"id": f"m{number}", "role": "user", "content": message}
    rest = {"tools": [], "context": [], "state": {}, "forwardedProps": {}, "protocolVersion": "1.0"}
    return {"threadId": f"thread-{number}", "runId": f"run-{number}", "messages": [said], **rest}


def _openai(message: str) -> dict[str, object]:
    said = {"role": "user", "content": message}
    conversation = {"conversation": f"talk-{next(_numbers)}"}
    return {"model": DEFAULT_MODEL, "messages": [said], "stream": True, "metadata": conversation}


WAYS: dict[str, tuple[str, Callable[[str], dict[str, object]], bytes]] = {
    "ai-sdk sse": ("/v1/ai-sdk/v7/chat", _ai_sdk, b"[DONE]"),
    "ag-ui sse": ("/v1/ag-ui", _ag_ui, b"RUN_FINISHED"),
    "openai sse": ("/openai/v1/chat/completions", _openai, b"[DONE]"),
}
"""Of each wire: where its clients post, what, and the mark of the end."""


async def _open(way: str, port: int, message: str) -> Reader:
    if way not in WAYS:
        return await open_reader(way, port, message)
    path, body, end = WAYS[way]
    return await read_body(port, path, json.dumps(body(message)).encode(), end)


async def wires(upstream: Upstream) -> None:
    """Every wire in turn, the native ones before and after."""
    head(
        "wire",
        "flat out: CPU µs/token",
        f"{STREAMS} × {PACE}/s: CPU µs/token (share of a core), p50, p99 ms",
    )
    async with serving("turnwire", upstream.port) as served:
        for way in ("turnwire ws", "turnwire sse", *WAYS, "turnwire sse"):
            flat = await flat_out(served, upstream, way, open=_open)
            used, share, delays = await paced(served, upstream, way, STREAMS, open=_open)
            cells = f"{used:.0f} ({share:.0%}), {milliseconds(delays, 0.5, 0.99)}"
            row(way, f"{flat:.1f}", cells)

"""How fast Stop is while 200 other streams run: to `done`, and to the closing of the model's.

For the others Stop is to hang up; they have no `done`.
"""

import asyncio
import time

from tests.bench.clients import Reader, WsReader, open_reader, post
from tests.bench.servers import serving
from tests.bench.streaming import WAYS, open_paced
from tests.bench.table import head, milliseconds, row
from tests.bench.upstream import Upstream

__all__ = ["cancel"]

OTHERS = 200
SAMPLES = 200
PATIENCE_SECONDS = 10


async def cancel(upstream: Upstream) -> None:
    """Every way in turn."""
    head(f"Stop beside {OTHERS} × 50/s", "to done: p50, p99 ms", "to the closing: p50, p99 ms")
    for way in WAYS:
        async with serving(way.split()[0], upstream.port) as served:
            others = await open_paced(way, served.port, OTHERS, seconds=120)
            done, closed = [], []
            for number in range(SAMPLES):
                name = f"{way.replace(' ', '-')}-{number}"
                reader = await open_reader(way, served.port, f"tokens=5000 pace=50 name={name}")
                await reader.first
                began = time.perf_counter()
                if (ended := await _stop(way, served.port, reader)) is not None:
                    done.append(ended - began)
                try:
                    closed.append(await _closed(upstream, name) - began)
                except TimeoutError:
                    break
            for reader in others:
                reader.leave()
            is_whole = len(closed) == SAMPLES
            row(
                way,
                milliseconds(done, 0.5, 0.99) if done else "—",
                milliseconds(closed, 0.5, 0.99) if is_whole else f"not in {PATIENCE_SECONDS} s",
            )


async def _stop(way: str, port: int, reader: Reader) -> float | None:
    """When `done` came, where there is such a thing."""
    if not way.startswith("turnwire"):
        reader.leave()
        return None
    if isinstance(reader, WsReader):
        what = {"conversation": reader.conversation, "turn": reader.turn}
        reader.send({"type": "cancel", "id": "2", **what})
    else:
        await post(port, f"/v1/conversations/{reader.conversation}/cancel", turn=reader.turn)
    ended = await reader.ended
    reader.leave()
    return ended


async def _closed(upstream: Upstream, name: str) -> float:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await upstream.closing(name)

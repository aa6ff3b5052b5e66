"""What a connection and a running turn hold of memory."""

import asyncio

from tests.bench.clients import Reader, open_reader, read_ws
from tests.bench.servers import Served, serving
from tests.bench.streaming import WAYS
from tests.bench.table import head, row
from tests.bench.upstream import Upstream

__all__ = ["memory"]

TURNS = 400
AT_ONCE = 50
LOOKED_SECONDS = 65.0
"""The service looks once a minute whether it can give memory back."""


async def memory(upstream: Upstream) -> None:
    """Idle sockets of ours, then running turns of every way."""
    head("memory", "KiB each")
    for count in (2_000, 10_000):
        async with serving("turnwire", upstream.port) as served:
            base = await _warm("turnwire ws", served)
            readers: list[Reader] = []
            for _ in range(0, count, AT_ONCE):
                opening = (read_ws(served.port) for _ in range(AT_ONCE))
                readers += await asyncio.gather(*opening)
            await asyncio.sleep(2)
            each = (served.memory_bytes() - base) / count / 1024
            row(f"turnwire ws, idle connection, {count:,}", f"{each:.1f}")
            for reader in readers:
                reader.leave()
            await asyncio.sleep(LOOKED_SECONDS)
            left = (served.memory_bytes() - base) / count / 1024
            row(f"the same, {LOOKED_SECONDS:.0f} s after all have gone", f"{left:.1f}")
    for way in WAYS:
        async with serving(way.split()[0], upstream.port) as served:
            base = await _warm(way, served)
            readers = [
                await open_reader(way, served.port, "tokens=1000 pace=2") for _ in range(TURNS)
            ]
            await asyncio.sleep(3)
            each = (served.memory_bytes() - base) / TURNS / 1024
            row(f"{way}, running turn with its reader, {TURNS}", f"{each:.1f}")
            for reader in readers:
                reader.leave()


async def _warm(way: str, served: Served) -> int:
    """The bytes that it takes once it has answered: a service imports the SDK beside its start."""
    warm = await open_reader(way, served.port, "tokens=10 pace=0")
    await warm.ended
    return served.memory_bytes()

"""Many readers of one turn, and the resume of a long answer. Only Turnwire has either."""

import asyncio
import time

from tests.bench.clients import open_reader, read_ws
from tests.bench.servers import serving
from tests.bench.table import head, milliseconds, row
from tests.bench.upstream import Upstream

__all__ = ["reading"]

READERS = 1_000
AT_ONCE = 50


async def reading(upstream: Upstream) -> None:
    """Both."""
    head("reading", "")
    async with serving("turnwire", upstream.port) as served:
        first = await open_reader("turnwire ws", served.port, "tokens=600 pace=50")
        await first.first
        subscribe = {"type": "subscribe", "id": "1", "conversation": first.conversation}
        used, began = served.cpu_seconds(), time.perf_counter()
        readers = []
        for _ in range(0, READERS, AT_ONCE):
            opening = (read_ws(served.port, subscribe) for _ in range(AT_ONCE))
            readers += await asyncio.gather(*opening)
        joined = time.perf_counter() - began
        marks = [len(reader.delays_ns) for reader in readers]
        await asyncio.gather(first.ended, *(reader.ended for reader in readers))
        used = served.cpu_seconds() - used
        delays = [
            delay / 1e9
            for reader, mark in zip(readers, marks, strict=True)
            for delay in reader.delays_ns[mark + 50 :]
        ]
        received = {len(reader.delays_ns) for reader in readers}
        row(f"{READERS:,} readers of one turn of 600 tokens: CPU s", f"{used:.1f}")
        row("the same: seconds until all had joined", f"{joined:.1f}")
        row("the same: delay p50, p99 ms", milliseconds(delays, 0.5, 0.99))
        row("the same: tokens that each got", ", ".join(map(str, sorted(received))))
        for reader in readers:
            reader.leave()

        long = await open_reader("turnwire ws", served.port, "tokens=10000 pace=0")
        await long.ended
        subscribe["conversation"] = long.conversation
        took = []
        for _ in range(20):
            began = time.perf_counter()
            reader = await read_ws(served.port, subscribe)
            took.append(await reader.ended - began)
            reader.leave()
        row("resume of a 10,000-token answer, connecting included: p50 ms", milliseconds(took, 0.5))
        row(
            "the same: tokens, bytes, text frames",
            f"{len(reader.delays_ns):,}, {reader.received_bytes:,}, {reader.token_frames}",
        )

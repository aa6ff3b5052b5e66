"""What uploads do to others: send to done, and Stop, beside none, 8 and 32 of 10 MiB at once.

The uploads never pause: where one has ended the next begins. They come from a process of their own,
on the core of the model and the readers.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.bench.clients import WsReader, read_ws
from tests.bench.servers import Served, serving
from tests.bench.table import head, milliseconds, row
from tests.bench.upstream import Upstream

__all__ = ["uploads"]

CONNECTIONS = (0, 8, 32, 0)
SAMPLES = 200
WARM_UP_SECONDS = 1.0
MIB = 1024 * 1024


class Counter:
    """How many mebibytes were sent, how many uploads taken and how many refused."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Count from 0."""
        self.mebibytes = 0
        self.taken = 0
        self.refused = 0

    async def read(self, lines: asyncio.StreamReader) -> None:
        """Count to the end."""
        async for line in lines:
            if not line.strip():
                self.mebibytes += 1
            elif line.strip() == b"201":
                self.taken += 1
            else:
                self.refused += 1


async def uploads(upstream: Upstream) -> None:
    """On one server, one after another."""
    head(
        "10 MiB uploads at once",
        "send to done: p50, p99 ms",
        "Stop to done: p50, p99 ms",
        "MiB/s, uploads taken, refused",
        "memory: before, most MiB",
    )
    async with serving("turnwire", upstream.port) as served:
        await _turns(await read_ws(served.port))  # To warm up.
        for connections in CONNECTIONS:
            before = served.memory_bytes()
            served.forget_most_memory()
            async with _uploading(served, connections) as counter:
                began = time.perf_counter()
                turns = await _turns(await read_ws(served.port))
                stops = await _stops(served.port)
                seconds = time.perf_counter() - began
            row(
                f"{connections}",
                milliseconds(turns, 0.5, 0.99),
                milliseconds(stops, 0.5, 0.99),
                f"{counter.mebibytes / seconds:.0f}, {counter.taken}, {counter.refused}",
                f"{before / MIB:.0f}, {served.most_memory_bytes() / MIB:.0f}",
            )


async def _turns(reader: WsReader) -> list[float]:
    """Turns of 20 tokens on one socket, each in a conversation of its own."""
    seconds: list[float] = []
    for number in range(SAMPLES):
        reader.expect_end()
        began = time.perf_counter()
        reader.send({"type": "send", "id": str(number), "content": "tokens=20 pace=0"})
        seconds.append(await reader.ended - began)
    reader.leave()
    return seconds


async def _stops(port: int) -> list[float]:
    seconds: list[float] = []
    for _ in range(SAMPLES):
        send = {"type": "send", "id": "1", "content": "tokens=5000 pace=50"}
        reader = await read_ws(port, send)
        await reader.first
        began = time.perf_counter()
        what = {"conversation": reader.conversation, "turn": reader.turn}
        reader.send({"type": "cancel", "id": "2", **what})
        seconds.append(await reader.ended - began)
        reader.leave()
    return seconds


@asynccontextmanager
async def _uploading(served: Served, connections: int) -> AsyncIterator[Counter]:
    counter = Counter()
    if not connections:
        yield counter
        return
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.uploader", str(served.port), str(connections)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    counting = asyncio.create_task(counter.read(process.stdout))
    try:
        await asyncio.sleep(WARM_UP_SECONDS)
        counter.begin()
        yield counter
    finally:
        process.kill()
        await process.wait()
        await counting

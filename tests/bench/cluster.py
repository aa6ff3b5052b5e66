"""What several processes on one PostgreSQL cost: beside SQLite, over workers, from node to node.

Servers and load have a core each, as everywhere here; PostgreSQL has both.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from tests.bench.clients import Reader, WsReader, open_reader, read_ws
from tests.bench.servers import Served, serving
from tests.bench.streaming import PACE, leave, open_paced
from tests.bench.table import head, milliseconds, row
from tests.bench.upstream import Upstream
from tests.kit.postgres import PostgresServer, postgres_server

__all__ = ["cluster"]

STREAMS = 200
READ_FAR = 50
SECONDS = 5.0
MARGIN_SECONDS = 4.0
PATIENCE_SECONDS = 30.0
STOPS = 100
SOCKETS = 400
IDLE_SECONDS = 20.0
_WS = "turnwire ws"


async def cluster(upstream: Upstream) -> None:
    """One table after another."""
    with _postgres() as postgres:
        await _stores(upstream, postgres)
        await _workers(upstream, postgres)
        await _far(upstream, postgres)
        await _idle(upstream, postgres)


@contextmanager
def _postgres() -> Iterator[PostgresServer]:
    """One that syncs, on all cores."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    with postgres_server(syncs=True) as postgres:
        os.sched_setaffinity(0, own)
        yield postgres


COLUMNS = ("CPU µs/token", "PostgreSQL's", "frames/token", "p50, p99 ms")


async def _measured(served: Served, upstream: Upstream, postgres: PostgresServer) -> list[str]:
    """`COLUMNS`. CPU goes with the frames, and these with the delay of a busy machine: only lines
    with as many frames per token can be compared."""
    streams = await open_paced(_WS, served.port, STREAMS, seconds=SECONDS + MARGIN_SECONDS)
    readers = [reader for reader in streams if isinstance(reader, WsReader)]
    marks = [len(reader.delays_ns) for reader in readers]
    frames = sum(reader.token_frames for reader in readers)
    own, engine, tokens = served.cpu_seconds(), postgres.cpu_seconds(), upstream.tokens
    await asyncio.sleep(SECONDS)
    own, engine = served.cpu_seconds() - own, postgres.cpu_seconds() - engine
    tokens = upstream.tokens - tokens
    frames = sum(reader.token_frames for reader in readers) - frames
    delays = _delays(readers, marks)
    # To their ends: turns that nobody reads run on, and would be in the next measurement.
    await asyncio.wait([reader.ended for reader in readers], timeout=PATIENCE_SECONDS)
    leave(readers)
    costs = [f"{seconds / tokens * 1e6:.1f}" for seconds in (own, engine)]
    return [*costs, f"{frames / len(delays):.2f}", milliseconds(delays, 0.5, 0.99)]


def _delays(readers: Sequence[Reader], marks: Sequence[int]) -> list[float]:
    """In seconds, of all tokens behind these marks."""
    return [
        delay / 1e9
        for reader, mark in zip(readers, marks, strict=True)
        for delay in reader.delays_ns[mark:]
    ]


async def _stores(upstream: Upstream, postgres: PostgresServer) -> None:
    """By turns, because machines drift."""
    head(f"{STREAMS} × {PACE}/s, one process", *COLUMNS)
    ways = {
        "SQLite": None,
        "PostgreSQL, no commit interval": "0",
        "PostgreSQL, 10 ms": "0.01",
        "PostgreSQL, 20 ms": "0.02",
    }
    for name, interval in [*ways.items(), *ways.items()]:
        db = None if interval is None else postgres.url()
        flags = () if interval is None else ("--commit-interval", interval)
        async with serving("turnwire", upstream.port, db=db, flags=flags) as served:
            row(name, *await _measured(served, upstream, postgres))


async def _workers(upstream: Upstream, postgres: PostgresServer) -> None:
    head(f"{STREAMS} × {PACE}/s, workers", *COLUMNS, f"{SOCKETS} sockets: the fullest ÷ the mean")
    for number in (1, 2, 4):
        flags = ("--workers", str(number))
        async with serving("turnwire", upstream.port, db=postgres.url(), flags=flags) as served:
            measured = await _measured(served, upstream, postgres)
            row(str(number), *measured, f"{await _spread(served):.2f}")


async def _spread(served: Served) -> float:
    """How full the fullest process is, of the mean."""
    readers = [await read_ws(served.port) for _ in range(SOCKETS)]
    counts = _counts(served)
    leave(readers)
    return max(counts) / (sum(counts) / len(counts))


def _counts(served: Served) -> list[int]:
    """The connections of each of its processes."""
    inodes = _connected(served.port)
    return [
        sum(os.readlink(file) in inodes for file in Path(f"/proc/{pid}/fd").iterdir())
        for pid in served.workers() or [served.pid]
    ]


def _connected(port: int) -> set[str]:
    """What descriptors of the connections that this port has taken lead to (proc(5), net/tcp)."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    local = f":{port:04X}"
    return {f"socket:[{line[9]}]" for line in lines if line[1].endswith(local) and line[3] == "01"}


@asynccontextmanager
async def _nodes(
    number: int, upstream: Upstream, postgres: PostgresServer
) -> AsyncIterator[list[Served]]:
    """So many processes on one database."""
    url = postgres.url()
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(serving("turnwire", upstream.port, db=url))
            for _ in range(number)
        ]


async def _far(upstream: Upstream, postgres: PostgresServer) -> None:
    async with _nodes(2, upstream, postgres) as (one, other):
        head(f"{READ_FAR} × {PACE}/s, read on both nodes", "p50, p99 ms")
        near: list[Reader] = await open_paced(_WS, one.port, READ_FAR, seconds=20 * SECONDS)
        far: list[Reader] = [await _follow(other.port, reader.conversation) for reader in near]
        await asyncio.sleep(1.0)
        # What was said before they came is read by then.
        await asyncio.sleep(MARGIN_SECONDS)
        ways = {"at the node that runs them": near, "at the other one": far}
        marks = {name: [len(reader.delays_ns) for reader in ways[name]] for name in ways}
        await asyncio.sleep(SECONDS)
        late = {name: _delays(ways[name], marks[name]) for name in ways}
        for name, delays in late.items():
            row(name, milliseconds(delays, 0.5, 0.99))
        head(f"far Stop beside {READ_FAR}", "receipt: p50, p99 ms", "done there", "model closed")
        receipts, ends, closings = [], [], []
        for stop in range(STOPS):
            name = f"far-{stop}"
            reader = await open_reader(_WS, one.port, f"tokens=5000 pace={PACE} name={name}")
            await reader.first
            reading = await _follow(other.port, reader.conversation)
            await reading.first
            reading.expect_mark(b'"cancelling"')
            began = time.perf_counter()
            turn = {"conversation": reader.conversation, "turn": reader.turn}
            reading.send({"type": "cancel", "id": "2", **turn})
            ends.append(await reading.ended - began)
            receipts.append(await reading.marked - began)
            closings.append(await upstream.closing(name) - began)
            for each in (reader, reading):
                each.leave()
        shares = (0.5, 0.99)
        row("", *(milliseconds(times, *shares) for times in (receipts, ends, closings)))
        leave([*near, *far])


async def _follow(port: int, conversation: str) -> WsReader:
    """A reader of all of a conversation."""
    subscribe = {"type": "subscribe", "id": "1", "conversation": conversation, "after": 0}
    return await read_ws(port, subscribe)


async def _idle(upstream: Upstream, postgres: PostgresServer) -> None:
    head("3 nodes that nobody uses", "PostgreSQL, share of a core", "a node's")
    async with _nodes(3, upstream, postgres) as nodes:
        await asyncio.sleep(5.0)
        used, own = postgres.cpu_seconds(), sum(node.cpu_seconds() for node in nodes)
        await asyncio.sleep(IDLE_SECONDS)
        used = postgres.cpu_seconds() - used
        own = sum(node.cpu_seconds() for node in nodes) - own
        row("", f"{used / IDLE_SECONDS:.2%}", f"{own / len(nodes) / IDLE_SECONDS:.2%}")

"""What a token costs and how late it comes: flat out, paced, in memory and on disk."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from tests.bench.clients import Reader, ask_on, open_reader
from tests.bench.servers import Served, serving
from tests.bench.table import head, milliseconds, row
from tests.bench.upstream import Upstream

__all__ = [
    "PACE",
    "WAYS",
    "durability",
    "flat_out",
    "leave",
    "open_paced",
    "paced",
    "streaming",
]

WAYS = ("turnwire ws", "turnwire sse", "tutorial sse", "relay sse")
PEERS = ("ai-sdk sse",)
PACED = (1, 50, 200, 400)
PACE = 50
OPENING_SECONDS = 1.5
SETTLING_SECONDS = 1.0
SECONDS = 5.0
MARGIN_SECONDS = 4.0
"""Opening many takes longer than planned; none may end while it is measured."""
PATIENCE_SECONDS = 30.0
TURNS = 200


Open = Callable[[str, int, str], Awaitable[Reader]]
"""(way, port, message) → the reader of the answer."""


async def open_paced(
    way: str, port: int, streams: int, *, seconds: float, open: Open = open_reader
) -> list[Reader]:
    """Streams that run for some seconds from now, and do not all tick at once."""
    tokens = round((seconds + OPENING_SECONDS) * PACE)
    opening: list[asyncio.Future[Reader]] = []
    for _ in range(streams):
        # Not one after another: the first would have ended before the last one has begun.
        opening.append(asyncio.ensure_future(open(way, port, f"tokens={tokens} pace={PACE}")))
        await asyncio.sleep(OPENING_SECONDS / streams)
    readers = await asyncio.gather(*opening)
    await asyncio.sleep(SETTLING_SECONDS)
    return readers


def leave(readers: Sequence[Reader]) -> None:
    """Hang up all of them."""
    for reader in readers:
        reader.leave()


async def paced(
    served: Served, upstream: Upstream, way: str, streams: int, *, open: Open = open_reader
) -> tuple[float, float, list[float]]:
    """Of streams that run already: CPU µs per token, share of a core, delays in seconds.

    What the beginning of a turn costs is measured by itself.
    """
    seconds = SECONDS + MARGIN_SECONDS
    readers = await open_paced(way, served.port, streams, seconds=seconds, open=open)
    marks = [len(reader.delays_ns) for reader in readers]
    used, tokens, began = served.cpu_seconds(), upstream.tokens, time.perf_counter()
    await asyncio.sleep(SECONDS)
    used, tokens = served.cpu_seconds() - used, upstream.tokens - tokens
    share = used / (time.perf_counter() - began)
    delays = [
        delay / 1e9
        for reader, mark in zip(readers, marks, strict=True)
        for delay in reader.delays_ns[mark:]
    ]
    # To their ends: turns that nobody reads run on, and would be in the next measurement.
    await asyncio.wait([reader.ended for reader in readers], timeout=PATIENCE_SECONDS)
    leave(readers)
    await asyncio.sleep(SETTLING_SECONDS)
    return used / tokens * 1e6, share, delays


async def flat_out(
    served: Served, upstream: Upstream, way: str, *, open: Open = open_reader
) -> float:
    """CPU µs per token of four streams as fast as they go."""
    for tokens in (200, 20_000):  # The first to warm up.
        used, sent = served.cpu_seconds(), upstream.tokens
        readers = [await open(way, served.port, f"tokens={tokens} pace=0") for _ in range(4)]
        await asyncio.gather(*(reader.ended for reader in readers))
        used, sent = served.cpu_seconds() - used, upstream.tokens - sent
        leave(readers)
    return used / sent * 1e6


async def turns(served: Served, way: str) -> tuple[float, list[float]]:
    """Turns of one token, one after another, each on a connection of its own: CPU ms of each, and
    seconds to its token."""
    for _ in range(2):  # The first round to warm up: no service is new for long.
        firsts = []
        used = served.cpu_seconds()
        for _ in range(TURNS):
            began = time.perf_counter()
            reader = await open_reader(way, served.port, "tokens=1 pace=0")
            await reader.ended
            firsts.append(reader.first.result() - began)
            reader.leave()
        used = served.cpu_seconds() - used
    return used / TURNS * 1e3, firsts


async def kept_turns(served: Served, way: str) -> tuple[float, list[float]]:
    """The same, all on one connection, as those of a page that is open."""
    reader = await open_reader(way, served.port, "tokens=1 pace=0")
    await reader.ended
    await asyncio.sleep(SETTLING_SECONDS)
    firsts = []
    used = served.cpu_seconds()
    for _ in range(TURNS):
        began = time.perf_counter()
        ask_on(reader, served.port, "tokens=1 pace=0")
        await reader.ended
        firsts.append(reader.first.result() - began)
    used = served.cpu_seconds() - used
    reader.leave()
    return used / TURNS * 1e3, firsts


async def streaming(upstream: Upstream, *, with_peers: bool = False) -> None:
    """Every way in turn; `with_peers`: those of others too, which npm installs."""
    head(
        "way",
        "flat out: CPU µs/token",
        *(
            f"{streams} × {PACE}/s: CPU µs/token (share of a core), p50, p99 ms"
            for streams in PACED
        ),
        "a turn of 1 token, each on a new connection: CPU ms; to its token, p50 ms",
        "all on one connection",
    )
    for way in (*WAYS, *PEERS) if with_peers else WAYS:
        async with serving(way.split()[0], upstream.port) as served:
            cells = [f"{await flat_out(served, upstream, way):.1f}"]
            cells_of_turns = []
            for measure in (turns, kept_turns):
                cost, firsts = await measure(served, way)
                cells_of_turns.append(f"{cost:.1f}; {milliseconds(firsts, 0.5)}")
            for streams in PACED:
                used, share, delays = await paced(served, upstream, way, streams)
                cells.append(f"{used:.0f} ({share:.0%}), {milliseconds(delays, 0.5, 0.99)}")
            row(way, *cells, *cells_of_turns)


async def durability(upstream: Upstream) -> None:
    """What storing costs, at 200 paced streams: by turns, because machines drift."""
    head("200 × 50/s over ws", "CPU µs/token", "p50, p99 ms")
    for durable in (False, True, False, True):
        async with serving("turnwire", upstream.port, durable=durable) as served:
            used, _, delays = await paced(served, upstream, "turnwire ws", 200)
            name = "SQLite" if durable else ":memory:"
            row(name, f"{used:.1f}", milliseconds(delays, 0.5, 0.99))

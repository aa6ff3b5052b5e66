"""How late a token comes where a commit takes long: no reader sees it before it is stored."""

from tests.bench.servers import serving
from tests.bench.streaming import PACE, paced
from tests.bench.table import head, milliseconds, row
from tests.bench.upstream import Upstream

__all__ = ["slow_disk"]

COMMITS = (0, 20)
STREAMS = (1, 50, 200)


async def slow_disk(upstream: Upstream) -> None:
    """Streams over a store whose commits take so many milliseconds more."""
    names = (f"{streams} × {PACE}/s: CPU µs/token, p50, p99 ms" for streams in STREAMS)
    head("a commit takes more by, ms", *names)
    for milliseconds_more in COMMITS:
        environment = {"COMMIT_MILLISECONDS": str(milliseconds_more)}
        async with serving("slow_store", upstream.port, environment=environment) as served:
            cells = []
            for streams in STREAMS:
                used, _, delays = await paced(served, upstream, "turnwire ws", streams)
                cells.append(f"{used:.0f}, {milliseconds(delays, 0.5, 0.99)}")
            row(str(milliseconds_more), *cells)

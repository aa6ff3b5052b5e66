"""What it costs to be watched: CPU of a turn and of a token, beside a server that nobody watches.

Servers run side by side and are asked in turns: machines drift. Each kind has several: one process
is some percent dearer than another that differs in nothing but where its memory lies. All that they
use from the first round to the end is counted, as spans are exported some seconds later, and what
they use of it while they are not asked is in it, too.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from statistics import median

from tests.bench.clients import open_reader
from tests.bench.servers import Served, serving
from tests.bench.streaming import flat_out
from tests.bench.table import head, row
from tests.bench.upstream import Upstream
from tests.kit.otlp import receiving

__all__ = ["telemetry"]

_WAY = "turnwire ws"
_PROCESSES = 5
_EXPORT_SECONDS = 6.0
"""Within which the SDK sends what it has, by its defaults."""


@dataclass(frozen=True)
class _Load:
    """Turns of a kind, asked of each process in rounds."""

    name: str
    message: str
    turns: int
    rounds: int
    is_paced: bool
    """All turns of all processes at once: none has long to do nothing, which costs something too.
    """


_LOADS = (
    # All that it costs is what is watched.
    _Load("a turn of 1 token", "tokens=1 pace=0", 60, 6, is_paced=False),
    _Load("a turn of 200 tokens, 50/s", "tokens=200 pace=50", 3, 10, is_paced=True),
)


async def _ask(served: Served, message: str) -> None:
    reader = await open_reader(_WAY, served.port, message)
    await reader.ended
    reader.leave()


async def _round(everybody: list[Served], load: _Load) -> None:
    if load.is_paced:
        asked = everybody * load.turns
        await asyncio.gather(*(_ask(served, load.message) for served in asked))
        return
    for served in everybody:
        for _ in range(load.turns):
            await _ask(served, load.message)


async def _used(everybody: list[Served], load: _Load) -> dict[int, float]:
    """CPU seconds of a turn, by process."""
    await _round(everybody, load)  # To warm up.
    await asyncio.sleep(_EXPORT_SECONDS)
    began = [served.cpu_seconds() for served in everybody]
    for _ in range(load.rounds):
        await _round(everybody, load)
    await asyncio.sleep(_EXPORT_SECONDS)
    return {
        served.pid: (served.cpu_seconds() - before) / load.turns / load.rounds
        for served, before in zip(everybody, began, strict=True)
    }


async def telemetry(upstream: Upstream) -> None:
    """Without, with spans and metrics over OTLP, with metrics for Prometheus."""
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        otlp = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        kinds: dict[str, list[Served]] = {}
        for name, environment, flags in (
            ("nobody", {}, ()),
            ("OTLP: spans and metrics", otlp, ()),
            ("Prometheus", {}, ("--metrics",)),
        ):
            kinds[name] = [
                await stack.enter_async_context(
                    serving("turnwire", upstream.port, flags=flags, environment=environment)
                )
                for _ in range(_PROCESSES)
            ]
        # One of each kind after another.
        everybody = [served for each in zip(*kinds.values(), strict=True) for served in each]
        for load in _LOADS:
            used = await _used(everybody, load)
            columns = ("CPU ms", "least to most of a process", "of the one that is not")
            head(f"{load.name} ({_PROCESSES} processes each); watched by", *columns)
            unwatched = median(used[served.pid] for served in kinds["nobody"])
            for name, servers in kinds.items():
                found = sorted(used[served.pid] for served in servers)
                row(
                    name,
                    f"{median(found) * 1e3:.2f}",
                    f"{found[0] * 1e3:.2f} to {found[-1] * 1e3:.2f}",
                    f"{median(found) / unwatched:.1%}",
                )
        head("watched by", "flat out: CPU µs/token")
        for name, servers in kinds.items():
            row(name, f"{await flat_out(servers[0], upstream, _WAY):.1f}")
        chats = len(receiver.named("chat"))
        print(f"The receiver has {len(receiver.spans):,} spans, {chats:,} of them calls")

"""What it costs to be watched: CPU of a turn and of a token, beside a server that nobody watches.

Servers run side by side and are asked in turns: machines drift. Each kind has several: one process
is some percent dearer than another that differs in nothing but where its memory lies. All that they
use from the first round to the end is counted, as spans are exported some seconds later, and what
they use of it while they are not asked is in it, too.
"""

import asyncio
from contextlib import AsyncExitStack
from statistics import median

from tests.bench.clients import open_reader
from tests.bench.servers import Served, serving
from tests.bench.streaming import flat_out
from tests.bench.table import head, row
from tests.bench.upstream import Upstream
from tests.kit.otlp import receiving

__all__ = ["telemetry"]

_WAY = "turnwire ws"
_TURNS = 60
_ROUNDS = 6
_PROCESSES = 5
_EXPORT_SECONDS = 6.0
"""Within which the SDK sends what it has, by its defaults."""


async def _ask(served: Served) -> None:
    for _ in range(_TURNS):
        reader = await open_reader(_WAY, served.port, "tokens=1 pace=0")
        await reader.ended
        reader.leave()


async def telemetry(upstream: Upstream) -> None:
    """Without, with spans and metrics over OTLP, with metrics for Prometheus."""
    head(
        f"watched by ({_PROCESSES} × {_ROUNDS} × {_TURNS} turns)",
        "a turn of 1 token: CPU ms",
        "least to most of a process",
        "of the one that is not",
        "flat out: CPU µs/token",
    )
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
        for served in everybody:
            await _ask(served)  # To warm up.
        await asyncio.sleep(_EXPORT_SECONDS)
        began = [served.cpu_seconds() for served in everybody]
        for _ in range(_ROUNDS):
            for served in everybody:
                await _ask(served)
        await asyncio.sleep(_EXPORT_SECONDS)
        used = {
            served.pid: (served.cpu_seconds() - before) / _TURNS / _ROUNDS
            for served, before in zip(everybody, began, strict=True)
        }
        unwatched = median(used[served.pid] for served in kinds["nobody"])
        for name, servers in kinds.items():
            found = sorted(used[served.pid] for served in servers)
            row(
                name,
                f"{median(found) * 1e3:.2f}",
                f"{found[0] * 1e3:.2f} to {found[-1] * 1e3:.2f}",
                f"{median(found) / unwatched:.1%}",
                f"{await flat_out(servers[0], upstream, _WAY):.1f}",
            )
        chats = len(receiver.named("chat"))
        print(f"The receiver has {len(receiver.spans):,} spans, {chats:,} of them calls")

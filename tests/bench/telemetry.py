"""What it costs to be watched: CPU of a turn and of a token, beside a server that nobody watches.

Servers run side by side and are asked in turns: machines drift. All that they use from the first
round to the end is counted, as spans are exported some seconds later, and what they use of it
while they are not asked is in it, too.
"""

import asyncio
from contextlib import AsyncExitStack

from tests.bench.clients import open_reader
from tests.bench.servers import Served, serving
from tests.bench.streaming import flat_out
from tests.bench.table import head, row
from tests.bench.upstream import Upstream
from tests.kit.otlp import receiving

__all__ = ["telemetry"]

_WAY = "turnwire ws"
_TURNS = 150
_ROUNDS = 9
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
        f"watched by ({_ROUNDS} × {_TURNS} turns)",
        "a turn of 1 token: CPU ms",
        "of the one that is not",
        "flat out: CPU µs/token",
    )
    async with AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(receiving())
        otlp = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        servers: dict[str, Served] = {}
        for name, environment, flags in (
            ("nobody", {}, ()),
            ("nobody, again", {}, ()),
            ("OTLP: spans and metrics", otlp, ()),
            ("Prometheus", {}, ("--metrics",)),
        ):
            server = serving("turnwire", upstream.port, flags=flags, environment=environment)
            servers[name] = await stack.enter_async_context(server)
        for served in servers.values():
            await _ask(served)  # To warm up.
        await asyncio.sleep(_EXPORT_SECONDS)
        began = {name: served.cpu_seconds() for name, served in servers.items()}
        for _ in range(_ROUNDS):
            for served in servers.values():
                await _ask(served)
        await asyncio.sleep(_EXPORT_SECONDS)
        used = {name: served.cpu_seconds() - began[name] for name, served in servers.items()}
        for name, served in servers.items():
            row(
                name,
                f"{used[name] / _TURNS / _ROUNDS * 1e3:.2f}",
                f"{used[name] / used['nobody']:.1%}",
                f"{await flat_out(served, upstream, _WAY):.1f}",
            )
        chats = len(receiver.named("chat"))
        print(f"The receiver has {len(receiver.spans):,} spans, {chats:,} of them calls")

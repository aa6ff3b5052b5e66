"""What a command costs that comes in over the WebSocket: small ones, and large frames."""

import time

from tests.bench.clients import WsReader, read_ws
from tests.bench.servers import Served, serving
from tests.bench.table import head, row
from tests.bench.upstream import Upstream

__all__ = ["inbound"]

COMMANDS = 20_000
AT_ONCE = 40
LARGE = 200
LARGE_BYTES = 1_000_000
ROUNDS = 3


async def inbound(upstream: Upstream) -> None:
    """CPU per command; the best of some rounds, as other work only adds to it."""
    head("inbound", "CPU µs each", "a second")
    async with serving("turnwire", upstream.port) as served:
        reader = await read_ws(served.port)
        small = [await _cost(served, reader, "c_none", COMMANDS, AT_ONCE) for _ in range(ROUNDS)]
        row("command", f"{min(small)[0]:.1f}", f"{min(small)[1]:,.0f}")
        name = "x" * LARGE_BYTES
        large = [await _cost(served, reader, name, LARGE, 1) for _ in range(ROUNDS)]
        row("frame of 1 MB, refused", f"{min(large)[0]:,.0f}", f"{min(large)[1]:,.0f}")
        reader.leave()


async def _cost(
    served: Served, reader: WsReader, conversation: str, commands: int, at_once: int
) -> tuple[float, float]:
    used, began = served.cpu_seconds(), time.perf_counter()
    for first in range(0, commands, at_once):
        reader.expect(b'"last"')
        for number in range(first, first + at_once):
            id = "last" if number == first + at_once - 1 else "x"
            reader.send({"type": "unsubscribe", "id": id, "conversation": conversation})
        await reader.ended
    seconds = time.perf_counter() - began
    return 1e6 * (served.cpu_seconds() - used) / commands, commands / seconds

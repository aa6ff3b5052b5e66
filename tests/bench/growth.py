"""Whether a turn costs more in a long conversation."""

from tests.bench.clients import WsReader, read_ws
from tests.bench.servers import serving
from tests.bench.table import head, row
from tests.bench.upstream import Upstream

__all__ = ["growth"]

LENGTHS = (10, 100, 1_000)
SAMPLES = 30


async def growth(upstream: Upstream) -> None:
    """Turns of 20 tokens, on one socket in one conversation."""
    head("a turn of 20 tokens in a conversation of", "CPU ms of the service", "KiB to the model")
    async with serving("turnwire", upstream.port) as served:
        reader = await read_ws(served.port)
        done = 0
        for length in LENGTHS:
            while done < length:
                await _turn(reader, done)
                done += 1
            used, asked = served.cpu_seconds(), upstream.asked_bytes
            for _ in range(SAMPLES):
                await _turn(reader, done)
                done += 1
            used, asked = served.cpu_seconds() - used, upstream.asked_bytes - asked
            row(f"{length:,} turns", f"{used / SAMPLES * 1e3:.1f}", f"{asked / SAMPLES / 1024:.0f}")


async def _turn(reader: WsReader, number: int) -> None:
    send = {"type": "send", "id": str(number), "content": "tokens=20 pace=0", "key": f"k{number}"}
    if reader.conversation:
        send["conversation"] = reader.conversation
    reader.expect_end()
    reader.send(send)
    await reader.ended

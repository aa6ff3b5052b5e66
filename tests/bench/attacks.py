"""What another user notices of an attack: send to done, Stop, and a request on a new connection.

Each attacker is a process of its own, beside a user whose turns go on all the time; the server may
open 256 files. Unless the name says otherwise the attacker has no credentials.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from tests.bench.attacker import KINDS
from tests.bench.clients import WsReader, read_ws
from tests.bench.servers import Served, serving
from tests.bench.table import head, milliseconds, row
from tests.bench.upstream import Upstream

__all__ = ["attacks"]

SAMPLES = 100
PAUSE_SECONDS = 0.05
"""Between samples: the user keeps to the rate of commands that there is by default."""
FILES = 256
TOKEN = "the-token-of-the-bench"
WARMING_SECONDS = 2.0
PATIENCE_SECONDS = 25
_MIB = 1024 * 1024


async def attacks(upstream: Upstream) -> None:
    """Without, then beside each attack, then without again: the machine is not always the same."""
    head(
        f"beside (p50, p99 ms of {SAMPLES})",
        "send to done",
        "Stop to done",
        "a new connection's GET /health",
        "memory, MiB",
    )
    for kind in ("nothing", *KINDS, "nothing again"):
        async with serving(
            "turnwire", upstream.port, limits={}, flags=["--token", TOKEN], files=FILES
        ) as served:
            reader = await _enter(served.port)
            await _send_to_done(reader, {})
            before = served.memory_bytes()
            async with _attacking(kind, served.port):
                await asyncio.sleep(WARMING_SECONDS)
                try:
                    async with asyncio.timeout(PATIENCE_SECONDS):
                        cells = await _cells(served, reader)
                except (TimeoutError, OSError) as error:
                    cells = [f"{type(error).__name__} within {PATIENCE_SECONDS} s", "—", "—"]
                grown = (served.memory_bytes() - before) / _MIB
            row(kind, *cells, f"{before / _MIB:.0f} + {grown:.1f}")
            reader.leave()


async def _cells(served: Served, reader: WsReader) -> list[str]:
    # One kind of sample after the other in turn: all see the same of the attack.
    samples: list[list[float]] = [[], [], []]
    for number in range(SAMPLES):
        # A conversation that grows for ever would be measured too.
        where = {} if number % 20 == 0 else {"conversation": reader.conversation}
        samples[0].append(await _send_to_done(reader, where))
        where = {"conversation": reader.conversation}
        samples[1].append(await _stop_to_done(reader, where))
        samples[2].append(await _health(served.port))
        await asyncio.sleep(PAUSE_SECONDS)
    return [milliseconds(seconds, 0.5, 0.99) for seconds in samples]


async def _enter(port: int) -> WsReader:
    reader = await read_ws(port)
    reader.expect(b'"type":"welcome"')
    reader.send({"type": "hello", "id": "0", "token": TOKEN})
    await reader.ended
    return reader


async def _send_to_done(reader: WsReader, where: Mapping[str, str]) -> float:
    reader.turn = ""
    reader.expect(b'"type":"done"')
    began = time.perf_counter()
    reader.send({"type": "send", "id": "1", "content": "tokens=10 pace=0", **where})
    await reader.ended
    return time.perf_counter() - began


async def _stop_to_done(reader: WsReader, where: Mapping[str, str]) -> float:
    reader.turn = ""
    reader.expect(b'"type":"done"')
    reader.send({"type": "send", "id": "2", "content": "tokens=5000 pace=50", **where})
    await reader.first
    began = time.perf_counter()
    reader.send({"type": "cancel", "id": "3", "turn": reader.turn, **where})
    await reader.ended
    return time.perf_counter() - began


async def _health(port: int) -> float:
    began = time.perf_counter()
    while True:
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
            if b" 200 OK" in answer:
                return time.perf_counter() - began


@asynccontextmanager
async def _attacking(kind: str, port: int) -> AsyncIterator[None]:
    if kind not in KINDS:
        yield
        return
    attacker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.attacker", kind, str(port), TOKEN
    )
    try:
        yield
    finally:
        attacker.kill()
        await attacker.wait()

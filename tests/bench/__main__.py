"""`python -m tests.bench`: one table. The server has one core, load and model have the other."""

import asyncio
import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Awaitable, Callable

from tests.bench.browser import browser
from tests.bench.clients import Reader, read_sse, read_ws
from tests.bench.servers import Served, serving
from tests.bench.upstream import Upstream

WAYS = ("turnwire ws", "turnwire sse", "tutorial sse", "relay sse")
PACED = (1, 50, 200, 400)
SECONDS = 6
PACE = 50


def row(name: str, *cells: str) -> None:
    """A line of the table."""
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def opener(way: str, port: int) -> Callable[[str], Awaitable[Reader]]:
    """How a message is sent and its answer read, in that way."""
    kind, transport = way.split()

    async def open_(message: str) -> Reader:
        if transport == "ws":
            return await read_ws(port, {"type": "send", "id": "1", "content": message})
        return await read_sse(kind, port, message)

    return open_


async def run(
    served: Served, upstream: Upstream, way: str, *, streams: int, tokens: int, pace: float
) -> tuple[float, list[int]]:
    """CPU microseconds per token, and all delays in nanoseconds."""
    open_ = opener(way, served.port)
    before, sent = served.cpu_seconds(), upstream.tokens
    readers = []
    for _ in range(streams):
        readers.append(await open_(f"tokens={tokens} pace={pace}"))
        if pace:
            # Spread over a token's time, so that they do not all tick at once.
            await asyncio.sleep(1 / pace / streams)
    await asyncio.gather(*(reader.ended for reader in readers))
    used = served.cpu_seconds() - before
    for reader in readers:
        reader.transport.close()
    delays = [delay for reader in readers for delay in reader.delays_ns]
    return used / (upstream.tokens - sent) * 1e6, delays


def percentile(delays: list[int], share: float) -> str:
    """Milliseconds."""
    if len(delays) < 2:
        return "-"
    return f"{statistics.quantiles(delays, n=1000)[round(share * 1000) - 1] / 1e6:.1f}"


async def streaming(upstream: Upstream, ways: tuple[str, ...]) -> None:
    """CPU and delay, flat out and paced, of every way in turn."""
    print(
        "\n| way | flat out, CPU µs/token | "
        + " | ".join(f"{n} × 50/s: CPU µs, p50, p99 ms" for n in PACED)
        + " | first token ms |"
    )
    print("|---|" + "---|" * (len(PACED) + 2))
    for way in ways:
        async with serving(way.split()[0], upstream.port) as served:
            await run(served, upstream, way, streams=2, tokens=200, pace=0)
            flat, _ = await run(served, upstream, way, streams=4, tokens=20_000, pace=0)
            cells = [f"{flat:.1f}"]
            for streams in PACED:
                used, delays = await run(
                    served, upstream, way, streams=streams, tokens=SECONDS * PACE, pace=PACE
                )
                p50, p99 = percentile(delays, 0.5), percentile(delays, 0.99)
                cells.append(f"{used:.0f}, {p50}, {p99}")
            firsts = []
            for _ in range(50):
                began = time.perf_counter()
                reader = await opener(way, served.port)("tokens=1 pace=0")
                await reader.ended
                firsts.append(reader.first_at - began)
                reader.transport.close()
            cells.append(f"{statistics.median(firsts) * 1e3:.1f}")
            row(way, *cells)


async def durability(upstream: Upstream) -> None:
    """What storing costs, at 200 paced streams."""
    print("\n| 200 × 50/s over ws | CPU µs/token |\n|---|---|")
    for durable in (False, True):
        async with serving("turnwire", upstream.port, durable=durable) as served:
            await run(served, upstream, "turnwire ws", streams=20, tokens=50, pace=PACE)
            used, _ = await run(
                served, upstream, "turnwire ws", streams=200, tokens=SECONDS * PACE, pace=PACE
            )
            row("SQLite" if durable else ":memory:", f"{used:.1f}")


async def memory(upstream: Upstream) -> None:
    """What a connection and a running turn hold."""
    print("\n| memory | KiB each |\n|---|---|")
    async with serving("turnwire", upstream.port) as served:
        base = served.memory_bytes()
        for count in (1_000, 10_000):
            readers = [await read_ws(served.port) for _ in range(count)]
            await asyncio.sleep(1)
            each = (served.memory_bytes() - base) / count / 1024
            row(f"idle connection, {count:,}", f"{each:.1f}")
            for reader in readers:
                reader.ended.cancel()
                reader.transport.abort()
            await asyncio.sleep(2)
    async with serving("turnwire", upstream.port) as served:
        base = served.memory_bytes()
        open_ = opener("turnwire ws", served.port)
        readers = [await open_("tokens=1000 pace=2") for _ in range(400)]
        await asyncio.sleep(3)
        row(
            "running turn with its reader, 400",
            f"{(served.memory_bytes() - base) / 400 / 1024:.1f}",
        )
        for reader in readers:
            reader.ended.cancel()
            reader.transport.abort()


async def reading(upstream: Upstream) -> None:
    """Many readers of one turn, and the resume of a long answer."""
    print("\n| reading | |\n|---|---|")
    async with serving("turnwire", upstream.port) as served:
        first = await read_ws(
            served.port, {"type": "send", "id": "1", "content": "tokens=400 pace=50", "key": "k"}
        )
        conversation = await _conversation(served.port)
        subscribe = {"type": "subscribe", "id": "1", "conversation": conversation}
        before = served.cpu_seconds()
        began = time.perf_counter()
        readers = [await read_ws(served.port, subscribe) for _ in range(1000)]
        opened = time.perf_counter() - began
        await asyncio.gather(first.ended, *(reader.ended for reader in readers))
        used = served.cpu_seconds() - before
        delays = [delay for reader in readers for delay in reader.delays_ns[-100:]]
        row("1,000 readers of one turn: CPU s for 400 tokens", f"{used:.1f}")
        row("the same: seconds until all had joined", f"{opened:.1f}")
        row("the same: delay p50, p99 ms", f"{percentile(delays, 0.5)}, {percentile(delays, 0.99)}")
        for reader in readers:
            reader.transport.abort()

        long = await read_ws(
            served.port, {"type": "send", "id": "1", "content": "tokens=10000 pace=0", "key": "l"}
        )
        await long.ended
        conversation = await _conversation(served.port)
        subscribe = {"type": "subscribe", "id": "1", "conversation": conversation}
        began = time.perf_counter()
        reader = await read_ws(served.port, subscribe)
        await reader.ended
        took = (time.perf_counter() - began) * 1e3
        row("resume of a 10,000-token answer: ms", f"{took:.1f}")
        row("the same: tokens, bytes", f"{len(reader.delays_ns):,}, {reader.received_bytes:,}")


async def growth(upstream: Upstream) -> None:
    """Whether a turn costs more in a long conversation."""
    print("\n| turn in a conversation of | CPU ms per turn |\n|---|---|")
    async with serving("turnwire", upstream.port) as served:
        send = {"type": "send", "id": "1", "content": "tokens=20 pace=0", "key": "g"}
        reader = await read_ws(served.port, send)
        await reader.ended
        conversation = await _conversation(served.port)
        done = 1
        for length in (10, 100, 1000):
            while done < length:
                await _turn(served.port, conversation)
                done += 1
            before = served.cpu_seconds()
            for _ in range(20):
                await _turn(served.port, conversation)
            done += 20
            row(f"{length} turns", f"{(served.cpu_seconds() - before) / 20 * 1e3:.1f}")


async def _turn(port: int, conversation: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b'{"message": "tokens=20 pace=0", "conversation": "%s"}' % conversation.encode()
    writer.write(
        b"POST /v1/chat HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
        b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (port, len(body), body)
    )
    data = await reader.read()
    assert b'"type":"done"' in data, data[-300:]
    writer.close()


async def _conversation(port: int) -> str:
    """The newest conversation."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"GET /v1/conversations?limit=1 HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n"
        b"connection: close\r\n\r\n" % port
    )
    data = (await reader.read()).decode()
    writer.close()
    return data.partition('"conversation":"')[2].partition('"')[0]


async def ceiling(upstream: Upstream) -> None:
    """How fast the model and the readers are without a server between them."""
    hello = b"POST /v1/messages HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s"
    body = b'{"messages": [{"role": "user", "content": "tokens=100000 pace=0"}]}'
    loop = asyncio.get_running_loop()
    began = time.process_time()
    _, reader = await loop.create_connection(
        lambda: Reader(hello % (len(body), body), b'"message_stop"'), "127.0.0.1", upstream.port
    )
    await reader.ended
    used = time.process_time() - began
    print(f"Ceiling of model and readers together: {used / 100_000 * 1e6:.1f} µs CPU per token")


async def main(only: list[str]) -> None:
    """All of it, or the parts named."""
    os.sched_setaffinity(0, {1})
    gc.freeze()
    upstream = Upstream()
    await upstream.start()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    await ceiling(upstream)
    parts: dict[str, Callable[[], Awaitable[None]]] = {
        "streaming": lambda: streaming(upstream, WAYS),
        "durability": lambda: durability(upstream),
        "memory": lambda: memory(upstream),
        "reading": lambda: reading(upstream),
        "growth": lambda: growth(upstream),
        "browser": browser,
    }
    for name, part in parts.items():
        if not only or name in only:
            await part()
    upstream.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

"""`python -m tests.bench [part …]`: tables. The server has one core, load and model the other.

`python -m tests.bench streaming --peers`: with the AI SDK on Node.js in the same table.
"""

import asyncio
import gc
import os
import platform
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.bench.attacks import attacks
from tests.bench.browser import browser
from tests.bench.cancel import cancel
from tests.bench.clients import Reader
from tests.bench.cluster import cluster
from tests.bench.growth import growth
from tests.bench.inbound import inbound
from tests.bench.memory import memory
from tests.bench.providers import providers
from tests.bench.reading import reading
from tests.bench.slow_disk import slow_disk
from tests.bench.streaming import durability, streaming
from tests.bench.telemetry import telemetry
from tests.bench.uploads import uploads
from tests.bench.upstream import Upstream
from tests.bench.wires import wires


async def ceiling(upstream: Upstream) -> None:
    """How fast the model and the readers are without a server between them."""
    body = b'{"messages": [{"role": "user", "content": "tokens=200000 pace=0"}]}'
    hello = b"POST /v1/messages HTTP/1.1\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    loop = asyncio.get_running_loop()
    began = time.process_time()
    _, reader = await loop.create_connection(
        lambda: Reader(hello, b'"message_stop"'), "127.0.0.1", upstream.port
    )
    await reader.ended
    used = time.process_time() - began
    print(f"Ceiling of model and readers together: {200_000 / used:,.0f} tokens per second")


def machine() -> str:
    """What it runs on."""
    found = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return (
        f"{os.cpu_count()} × {found[0] if found else platform.machine()}, {platform.platform()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} before"
    )


async def main(only: list[str]) -> None:
    """All of it, or the parts named."""
    with_peers = "--peers" in only
    only = [name for name in only if name != "--peers"]
    upstream = Upstream()
    parts: dict[str, Callable[[], Awaitable[None]]] = {
        "streaming": lambda: streaming(upstream, with_peers=with_peers),
        "durability": lambda: durability(upstream),
        "slow_disk": lambda: slow_disk(upstream),
        "cancel": lambda: cancel(upstream),
        "reading": lambda: reading(upstream),
        "growth": lambda: growth(upstream),
        "memory": lambda: memory(upstream),
        "uploads": lambda: uploads(upstream),
        "inbound": lambda: inbound(upstream),
        "attacks": lambda: attacks(upstream),
        "wires": lambda: wires(upstream),
        "providers": providers,
        "telemetry": lambda: telemetry(upstream),
        "cluster": lambda: cluster(upstream),
        "browser": browser,
    }
    if unknown := set(only) - parts.keys():
        sys.exit(f"no such part: {', '.join(unknown)}. There are: {', '.join(parts)}")
    print(machine())
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {1})
    gc.freeze()
    await upstream.start()
    await ceiling(upstream)
    for name, part in parts.items():
        if not only or name in only:
            # Chromium has several processes of its own.
            os.sched_setaffinity(0, cores if name == "browser" else {1})
            await part()
    upstream.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

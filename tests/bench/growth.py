"""Whether a turn costs more in a long conversation.

The API wants the whole conversation with every request, so encoding that grows; beside it stands
what the SDK alone takes for the same request.
"""

import time

from anthropic import AsyncAnthropic, DefaultAioHttpClient
from anthropic.types import MessageParam

from tests.bench.clients import WsReader, read_ws
from tests.bench.servers import serving
from tests.bench.table import head, row
from tests.bench.upstream import Upstream

__all__ = ["growth"]

LENGTHS = (10, 100, 1_000)
SAMPLES = 30


async def growth(upstream: Upstream) -> None:
    """Turns of 20 tokens, on one socket in one conversation."""
    head(
        "a turn of 20 tokens in a conversation of",
        "CPU ms of the service",
        "of the SDK alone, for the same request",
        "KiB of the request",
    )
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
            alone = await _sdk_alone(upstream, done)
            cells = f"{used / SAMPLES * 1e3:.1f}", f"{alone * 1e3:.1f}"
            row(f"{length:,} turns", *cells, f"{asked / SAMPLES / 1024:.0f}")


async def _sdk_alone(upstream: Upstream, turns: int) -> float:
    """CPU seconds of this process for one call; the model's side of it is next to nothing."""
    ask = "tokens=20 pace=0"
    answer = "".join(f"@{time.perf_counter_ns()}; " for _ in range(20))
    messages: list[MessageParam] = []
    for _ in range(turns):
        messages.append({"role": "user", "content": ask})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    messages.append({"role": "user", "content": ask})
    url = f"http://127.0.0.1:{upstream.port}"
    async with AsyncAnthropic(
        base_url=url, api_key="bench", http_client=DefaultAioHttpClient()
    ) as client:
        for samples in (3, SAMPLES):  # The first to warm up.
            used = time.process_time()
            for _ in range(samples):
                async with client.messages.with_streaming_response.create(
                    model="claude-bench", max_tokens=1024, messages=messages, stream=True
                ) as response:
                    await response.read()
            used = time.process_time() - used
    return used / SAMPLES


async def _turn(reader: WsReader, number: int) -> None:
    send = {"type": "send", "id": str(number), "content": "tokens=20 pace=0"}
    if reader.conversation:
        send["conversation"] = reader.conversation
    reader.expect_end()
    reader.send(send)
    await reader.ended

"""How fast Stop is, from the cancel frame to `done` and to the closing of the model's stream.

`python -m tests.bench.cancel`: 200 other streams of 50 tokens per second run meanwhile. Service,
model and clients are three processes; the service stores in SQLite, as it does by default.
"""

import asyncio
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
from pydantic_core import to_json

from tests.server.wire import Wire, wired
from turnwire_simulator import Answer, Simulator, Text

OTHERS = 200
TOKENS_PER_SECOND = 50.0
ANSWER_TOKENS = 6000
SAMPLES = 200
SERVE = "from turnwire_server.cli import serve; serve()"
LIMITS = '{"max_running_turns": 1000}'


async def model() -> None:
    """Simulate the model; say where, then the monotonic time whenever a client hangs up."""
    async with Simulator(tokens_per_second=TOKENS_PER_SECOND) as simulator:
        answer = Answer(Text(["word "] * ANSWER_TOKENS))
        simulator.answer_with(lambda body: answer)
        print(simulator.url, flush=True)
        seen = 0
        while True:
            await simulator.wait(lambda: simulator.aborted_streams > seen)  # noqa: B023
            print(time.monotonic(), flush=True)
            seen += 1


@asynccontextmanager
async def running(*arguments: str, **environment: str) -> AsyncIterator[Process]:
    """A Python process whose lines can be read; ended at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=PIPE, stderr=DEVNULL, env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def line_of(process: Process) -> str:
    """The next line that the process says."""
    assert process.stdout is not None
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode()


def cpu_seconds(process: Process) -> float:
    """What the process has used so far (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def read_on(address: str, content: str) -> None:
    """Ask, and read the stream until the end of the benchmark, unparsed: clients cost little."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = to_json({"content": content})
    head = f"POST /v1/chat HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    while await reader.read(65536):
        pass


async def open_streams(http: httpx2.AsyncClient, url: str) -> int:
    """How many answers the model sends now."""
    count: int = (await http.get(f"{url}/_simulator")).json()["open"]
    return count


async def sample(wire: Wire, simulator: Process, conversation: dict[str, str]) -> tuple[float, ...]:
    """Seconds from a cancel frame to `done` and to the model's side of the closing."""
    ack = await wire.ask("send", content="Stop me", **conversation)
    conversation["conversation"] = ack["conversation"]
    await wire.until("token", turn=ack["turn"])
    began = time.monotonic()
    await wire.send("cancel", conversation=ack["conversation"], turn=ack["turn"])
    await wire.until("done", turn=ack["turn"])
    done = time.monotonic()
    return done - began, float(await line_of(simulator)) - began


def told(name: str, seconds: list[float]) -> str:
    """The middle, the tail and the worst, in milliseconds."""
    ordered = sorted(seconds)
    points = {"p50": 0.5, "p99": 0.99}
    figures = {point: ordered[int(len(ordered) * share)] for point, share in points.items()}
    figures["max"] = ordered[-1]
    return f"{name:<16}" + "".join(f"  {at} {1000 * s:6.1f} ms" for at, s in figures.items())


async def measure(directory: Path) -> None:
    """Run it all and print the figures."""
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(running("-m", "tests.bench.cancel", "model"))
        url = (await line_of(simulator)).strip()
        server = await stack.enter_async_context(
            running(
                *("-c", SERVE, "--port", "0", "--db", str(directory / "bench.db")),
                *("--limits", LIMITS),
                ANTHROPIC_API_KEY="test-key",
                ANTHROPIC_BASE_URL=url,
            )
        )
        address = (await line_of(server)).split("http://")[1].split()[0]
        others = [asyncio.create_task(read_on(address, f"Number {n}")) for n in range(OTHERS)]
        async with wired(address) as wire, httpx2.AsyncClient(trust_env=False, timeout=30) as http:
            async with asyncio.timeout(60):
                while await open_streams(http, url) < OTHERS:  # noqa: ASYNC110 (of a process)
                    await asyncio.sleep(0.2)
            conversation: dict[str, str] = {}
            began, busy = time.monotonic(), cpu_seconds(server)
            samples = [await sample(wire, simulator, conversation) for _ in range(SAMPLES)]
            share = (cpu_seconds(server) - busy) / (time.monotonic() - began)
            still = await open_streams(http, url)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    print(f"{SAMPLES} cancels while {still} other streams run")
    print(f"the service takes {share:.0%} of a core; load of the machine {os.getloadavg()[0]:.1f}")
    print(told("to done", [done for done, _ in samples]))
    print(told("to the closing", [closed for _, closed in samples]))


if __name__ == "__main__":
    if sys.argv[1:] == ["model"]:
        asyncio.run(model())
    else:
        with TemporaryDirectory() as directory:
            asyncio.run(measure(Path(directory)))

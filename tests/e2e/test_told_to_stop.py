"""SIGTERM to somebody else's app, under the servers that people use, with endless readers open."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from tests.kit.forked import UNHURRIED, Forked, fork
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.port import listened, reserved_port
from tests.kit.sse import SseReader
from turnwire_simulator import Answer, Gate, Simulator, Text

pytestmark = pytest.mark.slow

APP = """
from fastapi import FastAPI
from turnwire_server import Turnwire

app = FastAPI()
app.include_router(Turnwire(drain_grace={grace}).router, prefix="/ai")
"""

AS_MODULE = """
import os, runpy, sys
from tests.kit.fork_python import fork_pythons

os.setsid()
if sys.argv[1] == "uvicorn":
    fork_pythons()
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""`python -m`, in a session of its own; what it writes to its standard output is of no interest.
What uvicorn spawns is forked; what hypercorn spawns is not, as it is of another kind."""

AT = "127.0.0.1:{port}"
LONG = str(round(PATIENCE_SECONDS))
"""For which a worker may be silent: it is killed and replaced then."""
SERVERS = {
    "uvicorn": ["uvicorn", "app:app", "--port", "{port}"],
    "uvicorn with workers": [
        *("uvicorn", "app:app", "--port", "{port}", "--workers", "2"),
        *("--timeout-worker-healthcheck", LONG),
    ],
    "uvicorn with reload": ["uvicorn", "app:app", "--port", "{port}", "--reload"],
    "gunicorn": [
        *("gunicorn", "app:app", "-k", "uvicorn_worker.UvicornWorker", "-b", AT),
        *("--timeout", LONG),
    ],
    "hypercorn": ["hypercorn", "app:app", "-b", AT, "--workers", "0"],
    "granian": ["granian", "app:app", "--interface", "asgi", "--port", "{port}"],
}


class Served:
    """The process, and where it serves."""

    def __init__(self, process: Forked, address: str) -> None:
        self.process = process
        self.address = address

    def terminate(self) -> None:
        """What a supervisor does: the one process that it knows is told."""
        self.process.send_signal(signal.SIGTERM)

    async def ended(self) -> None:
        """It is gone, and so are its workers: nobody has the pipe any more."""
        assert self.process.stderr is not None
        await self.process.stderr.read()
        await self.process.wait()


@asynccontextmanager
async def served(
    command: list[str], simulator: Simulator, folder: Path, *, grace: float
) -> AsyncIterator[Served]:
    """The app under this server, killed with all its workers if it does not end."""
    (folder / "app.py").write_text(APP.format(grace=grace))
    names = ("PATH", "PYTHONPATH", "VIRTUAL_ENV")
    with reserved_port() as port:
        process = await fork(
            AS_MODULE,
            *(word.format(port=port) for word in command),
            folder=folder,
            environment={
                **{name: os.environ[name] for name in names if name in os.environ},
                "HOME": str(folder),
                "ANTHROPIC_API_KEY": "test-key",
                "ANTHROPIC_BASE_URL": simulator.url,
                **UNHURRIED,
            },
        )
        try:
            await listens(process, port)
            yield Served(process, f"127.0.0.1:{port}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()


async def listens(process: Forked, port: int) -> None:
    """Returns once somebody listens there."""
    listening = asyncio.create_task(listened(port))
    ending = asyncio.create_task(process.wait())
    await asyncio.wait([listening, ending], return_when=asyncio.FIRST_COMPLETED)
    if ending.done():
        listening.cancel()
        raise AssertionError((await process.communicate())[1].decode())
    ending.cancel()


def client_of(served: Served) -> httpx2.AsyncClient:
    """A client with one connection, which leads to one worker."""
    limits = httpx2.Limits(max_connections=1)
    url = f"http://{served.address}/ai"
    return httpx2.AsyncClient(
        base_url=url, trust_env=False, verify=False, timeout=None, limits=limits
    )


@asynccontextmanager
async def endless(http: httpx2.AsyncClient) -> AsyncIterator[SseReader]:
    """A reader of a conversation in which nothing happens any more."""
    accept = {"Accept": "application/json"}
    answer = await http.post("/v1/chat", json={"content": "hi"}, headers=accept)
    path = f"/v1/conversations/{answer.json()['conversation']}/events"
    async with http.stream("GET", path) as response:
        reader = SseReader(response)
        await reader.until("done")
        yield reader


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """What answers in place of Claude."""
    async with Simulator() as simulator:
        yield simulator


@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
async def test_the_running_turn_finishes_its_readers_are_told_and_the_app_ends(
    simulator: Simulator, tmp_path: Path, command: list[str]
) -> None:
    async with (
        patience(),
        served(command, simulator, tmp_path, grace=600) as app,
        client_of(app) as http,
        client_of(app) as other,
        endless(http) as idle,
    ):
        gate = Gate()
        simulator.program(Answer(Text(["one ", gate, "two"])))
        async with other.stream("POST", "/v1/chat", json={"content": "hi"}) as response:
            running = SseReader(response)
            await running.until("token")
            app.terminate()
            # Of several workers this client may ask another one than that of the turn.
            if "2" not in command:
                await drains(app)
            gate.open()
            assert (await running.until("done")).data["stop_reason"] == "end_turn"
        await idle.rest()
        await app.ended()


async def drains(app: Served) -> None:
    """Returns once the service says that it takes no more work."""
    async with client_of(app) as http:
        while (await http.get("/ready")).status_code == 200:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("command", SERVERS.values(), ids=SERVERS)
async def test_after_the_grace_time_the_turn_is_interrupted_and_the_app_ends(
    simulator: Simulator, tmp_path: Path, command: list[str]
) -> None:
    async with (
        patience(),
        served(command, simulator, tmp_path, grace=0.1) as app,
        client_of(app) as http,
        client_of(app) as other,
        endless(http) as idle,
    ):
        simulator.program(Answer(Text(["one ", Gate(), "never"])))
        async with other.stream("POST", "/v1/chat", json={"content": "hi"}) as response:
            running = SseReader(response)
            await running.until("token")
            app.terminate()
            assert (await running.until("done")).data["stop_reason"] == "interrupted"
        await idle.rest()
        await app.ended()


async def test_hypercorn_tells_its_worker_processes_by_no_signal_and_ends_all_the_same(
    simulator: Simulator, tmp_path: Path
) -> None:
    command = ["hypercorn", "app:app", "-b", AT, "--graceful-timeout", "1"]
    async with (
        patience(),
        served(command, simulator, tmp_path, grace=600) as app,
        client_of(app) as http,
        endless(http) as idle,
    ):
        app.terminate()
        with pytest.raises(httpx2.RemoteProtocolError):
            await idle.rest()
        await app.ended()

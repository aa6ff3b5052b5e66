"""A running service for tests: the real app on a real port, over the simulator's real HTTP."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI
from starlette.requests import HTTPConnection

from tests.kit.patience import patience
from tests.kit.postgres import fresh_url
from turnwire_server import Turnwire, create_app
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.listener import DrainingServer, bind, server_for
from turnwire_server.model.clients import connect
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Batch
from turnwire_simulator import Simulator

__all__ = ["HeldStore", "by_name", "serving", "turnwire_over", "upstream_left"]

FAST: dict[str, Any] = {
    "base_delay": 0.001,
    "max_delay": 0.002,
    "detach_grace": 0.0,
    "lease": 10_000.0,
    "stall_timeout": 10_000.0,
}
"""Settings without which tests would wait, or a slow machine would let a lease run out, or take an
answer that its test holds for one that has stalled, and ask the simulator for another."""

LOOPBACK = ("127.0.0.0/8",)

STORE = os.environ.get("TURNWIRE_TEST_STORE", "memory")
"""Where a service keeps what its test says nothing of: `postgres`, and all that is tested of one
process is tested on PostgreSQL."""


def turnwire_over(simulator: Simulator, **settings: Any) -> Turnwire:
    """A Turnwire whose model is the simulator."""
    if STORE == "postgres" and not settings.keys() & {"db", "store"}:
        settings["db"] = fresh_url()
    return Turnwire(client=connect(simulator.url, "test-key"), **{**FAST, **settings})


def by_name(connection: HTTPConnection) -> str | None:
    """An authenticator that knows Anna and Bert, by tokens that are their names."""
    name = connection.headers.get("authorization", "").removeprefix("Bearer ")
    return name if name in ("anna", "bert") else None


class HeldStore(MemoryStore):
    """A store that makes nothing durable until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.released = asyncio.Event()

    async def append(self, batches: list[Batch]) -> None:
        """Announces itself and waits."""
        self.asked.set()
        await self.released.wait()
        await super().append(batches)


async def upstream_left(simulator: Simulator) -> None:
    """Returns once the service has hung up on one answer of the model before its end."""
    async with patience():
        await simulator.wait(lambda: simulator.aborted_streams == 1)


class _PromptServer(DrainingServer):
    """uvicorn without the pauses of its loop and its end, which hundreds of tests would sit out.

    How a service really ends is tested on processes: tests/server/test_cli.py, tests/e2e.
    """

    def __init__(self, like: DrainingServer) -> None:
        super().__init__(like.config, None, limits=like.limits, room=like.room)
        self.ending = asyncio.Event()

    async def main_loop(self) -> None:
        """Until the test has ended."""
        await self.on_tick(0)
        await self.ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the connections, for as long as the grace time wait for them, end the app."""
        await self.stop_accepting()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
        for task in self.server_state.tasks:
            task.cancel()
        await self.lifespan.shutdown()


@asynccontextmanager
async def serving(
    app: FastAPI | Turnwire,
    *,
    proxies: Sequence[str] = LOOPBACK,
    send_buffer_bytes: int | None = None,
) -> AsyncIterator[str]:
    """Serve on a free port of 127.0.0.1; gives `127.0.0.1:port`.

    `send_buffer_bytes` shrinks what the kernel takes for a reader who does not read.
    """
    listener = bind("127.0.0.1", 0)
    if send_buffer_bytes is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
    limits = app.settings.limits if isinstance(app, Turnwire) else ServiceLimits()
    app = app if isinstance(app, FastAPI) else create_app(app)
    server = _PromptServer(server_for(app, limits=limits, proxies=proxies, grace_seconds=1))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with patience():
            while not (server.started or task.done()):  # noqa: ASYNC110 (uvicorn sets no event)
                await asyncio.sleep(0)
        assert server.started
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.ending.set()
        await task

"""A running service for tests: the real app on a real port, over the simulator's real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from turnwire_server import Turnwire, create_app
from turnwire_server.listener import bind, server_for
from turnwire_server.model.claude import connect
from turnwire_simulator import Simulator

__all__ = ["serving", "turnwire_over"]

FAST: dict[str, Any] = {"base_delay": 0.001, "max_delay": 0.002, "detach_grace": 0.0}
"""Settings without which tests would wait."""


def turnwire_over(simulator: Simulator, **settings: Any) -> Turnwire:
    """A Turnwire whose model is the simulator."""
    return Turnwire(client=connect(simulator.url, "test-key"), **{**FAST, **settings})


@asynccontextmanager
async def serving(app: FastAPI | Turnwire, *, max_frame_bytes: int = 2**20) -> AsyncIterator[str]:
    """Serve on a free port of 127.0.0.1; gives `127.0.0.1:port`."""
    listener = bind("127.0.0.1", 0)
    server = server_for(
        app if isinstance(app, FastAPI) else create_app(app),
        max_frame_bytes=max_frame_bytes,
        grace_seconds=1,
    )
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task

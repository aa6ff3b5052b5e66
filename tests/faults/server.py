"""A service in a process of its own that tests kill with -9 and start again on its database."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from tests.faults.island import Island
from tests.kit.forked import SERVE, UNHURRIED, Forked, fork
from tests.kit.patience import patience
from tests.kit.port import listened, reserved_port

__all__ = ["KillableServer", "killable", "several"]


class KillableServer:
    """`turnwire serve` on a fixed port and database."""

    def __init__(self, host: str, port: int, start: Callable[[], Awaitable[Forked]]) -> None:
        self.address = f"{host}:{port}"
        self.url = f"http://{self.address}"
        self._host = host
        self._port = port
        self._start = start
        self._process: Forked | None = None

    async def start(self) -> None:
        """Fork it, and wait until it listens; one that was killed is gone by then."""
        if self._process is not None:
            await self.ended()
        async with patience():
            self._process = await self._start()
            await listened(self._port, host=self._host)

    def kill(self) -> None:
        """`kill -9`."""
        os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """SIGSTOP: it stands still, and its sockets stay open."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    async def ended(self) -> None:
        """Wait until the process is gone; its database is free then."""
        assert self._process is not None
        async with patience():
            await self._process.wait()
        self._process = None

    async def close(self) -> None:
        """`kill -9`, if it runs."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self.kill()
            await self.ended()

    @property
    def pid(self) -> int:
        """The process that serves now."""
        assert self._process is not None
        return self._process.pid


@asynccontextmanager
async def killable(
    model_url: str,
    database: Path | str,
    *flags: str,
    log: Path | None = None,
    place: Island | None = None,
) -> AsyncIterator[KillableServer]:
    """A service that is not started yet; whatever runs at the end is killed.

    `log`: where it writes; beside the database, where that is a file. `place`: where it runs.
    """
    async with several(1, model_url, database, *flags, log=log, place=place) as (server,):
        yield server


@asynccontextmanager
async def several(
    count: int,
    model_url: str,
    database: Path | str,
    *flags: str,
    log: Path | None = None,
    place: Island | None = None,
) -> AsyncIterator[list[KillableServer]]:
    """So many on one database, each on a port of its own; see `killable`."""
    if log is None:
        log = Path(database).with_suffix(".log")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANTHROPIC_", "TURNWIRE_"))
    }
    environment |= {
        "ANTHROPIC_API_KEY": "test-key",
        "ANTHROPIC_BASE_URL": model_url,
        **UNHURRIED,
    }
    with ExitStack() as stack:
        errors = stack.enter_context(log.open("wb"))
        ports = [stack.enter_context(reserved_port()) for _ in range(count)]

        host = "127.0.0.1" if place is None else place.host
        program = SERVE if place is None else f"{place.entry}\n{SERVE}"

        def server(port: int) -> KillableServer:
            address = ("--host", host, "--port", str(port))
            start = partial(
                fork,
                program,
                *(*address, "--db", str(database), *flags),
                folder=Path.cwd(),
                environment=environment,
                stdout=errors,
                stderr=errors,
            )
            return KillableServer(host, port, start)

        servers = [server(port) for port in ports]
        try:
            yield servers
        finally:
            for each in servers:
                await each.close()

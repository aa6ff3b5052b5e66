"""A service in a process of its own that tests kill with -9 and start again on its database."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path

from tests.kit.patience import patience
from tests.kit.port import listened, reserved_port

__all__ = ["KillableServer", "killable", "several"]


class KillableServer:
    """`turnwire serve` on a fixed port and database."""

    def __init__(self, zygote: asyncio.subprocess.Process, port: int, arguments: list[str]) -> None:
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        self._port = port
        self._zygote = zygote
        self._arguments = arguments
        self._pid = 0

    async def start(self) -> None:
        """Fork it, and wait until it listens; one that was killed is gone by then."""
        if self._pid:
            await self.ended()
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._zygote.stdin.write((" ".join(self._arguments) + "\n").encode())
        async with patience():
            self._pid = int(await self._zygote.stdout.readline())
            await listened(self._port)

    def kill(self) -> None:
        """`kill -9`."""
        os.kill(self._pid, signal.SIGKILL)

    def stop(self) -> None:
        """SIGSTOP: it stands still, and its sockets stay open."""
        os.kill(self._pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self._pid, signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM."""
        os.kill(self._pid, signal.SIGTERM)

    async def ended(self) -> None:
        """Wait until the process is gone; its database is free then."""
        async with patience():
            while True:
                try:
                    os.kill(self._pid, 0)
                except ProcessLookupError:
                    self._pid = 0
                    return
                await asyncio.sleep(0.005)

    @property
    def pid(self) -> int:
        """The process that serves now."""
        return self._pid


@asynccontextmanager
async def killable(
    model_url: str, database: Path | str, *flags: str, log: Path | None = None
) -> AsyncIterator[KillableServer]:
    """A service that is not started yet; whatever runs at the end is killed.

    `log`: where it writes; beside the database, where that is a file.
    """
    async with several(1, model_url, database, *flags, log=log) as (server,):
        yield server


@asynccontextmanager
async def several(
    count: int, model_url: str, database: Path | str, *flags: str, log: Path | None = None
) -> AsyncIterator[list[KillableServer]]:
    """So many on one database, each on a port of its own; see `killable`."""
    if log is None:
        log = Path(database).with_suffix(".log")
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANTHROPIC_", "TURNWIRE_"))
    }
    environment |= {"ANTHROPIC_API_KEY": "test-key", "ANTHROPIC_BASE_URL": model_url}
    with ExitStack() as stack:
        errors = stack.enter_context(log.open("wb"))
        ports = [stack.enter_context(reserved_port()) for _ in range(count)]
        zygote = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.fork_server",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=environment,
        )
        servers = [
            KillableServer(zygote, port, ["--port", str(port), "--db", str(database), *flags])
            for port in ports
        ]
        try:
            yield servers
        finally:
            for server in servers:
                if server.pid:
                    with suppress(ProcessLookupError):
                        server.kill()
            assert zygote.stdin is not None
            zygote.stdin.close()
            # It reads to the end of the output too: only then is that pipe closed.
            await zygote.communicate()

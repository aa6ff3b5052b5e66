"""`turnwire serve` as a process of its own, for tests of what it prints, refuses and logs."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.kit.forked import SERVE, UNHURRIED, Forked, fork
from tests.kit.patience import patience

__all__ = ["Running", "refused_start", "served"]


@dataclass
class Running:
    """A served process; `printed` and `logged` are whole once it has ended."""

    process: Forked
    address: str
    printed: str
    logged: str = ""


@asynccontextmanager
async def served(
    folder: Path, *flags: str, start: str = SERVE, **environment: str
) -> AsyncIterator[Running]:
    """`turnwire serve --port 0` with these flags, in `folder`, ended on leaving."""
    names = ("PATH", "PYTHONPATH", "SYSTEMROOT")
    inherited = {name: os.environ[name] for name in names if name in os.environ}
    process = await fork(
        *(start, "--port", "0", *flags),
        folder=folder,
        environment={**inherited, "HOME": str(folder), **UNHURRIED, **environment},
    )
    assert process.stdout is not None
    try:
        async with patience():
            first = (await process.stdout.readline()).decode()
        if not first:
            raise AssertionError((await process.communicate())[1].decode())
        address = first.partition("http://")[2].split()[0]
        running = Running(process, address, first)
        yield running
    finally:
        if process.returncode is None:
            # A test may have killed it, and not waited for its end.
            with suppress(ProcessLookupError):
                process.terminate()
        async with patience():
            rest, logged = await process.communicate()
    running.printed += rest.decode()
    running.logged = logged.decode()


async def refused_start(
    folder: Path, environment: dict[str, str], *flags: str, start: str = SERVE
) -> list[str]:
    """The lines of a start that ends at once, before anything is said of its address."""
    process = await fork(
        *(start, "--port", "0", *flags),
        folder=folder,
        environment={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
    )
    async with patience():
        printed, said = await process.communicate()
    assert (process.returncode, printed) == (1, b"")
    errors = said.decode()
    assert errors.startswith("Error: ")
    return errors.splitlines()

"""`turnwire serve` as a process of its own, for tests of what it prints, refuses and logs."""

import asyncio
import os
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.kit.patience import PATIENCE_SECONDS, patience

__all__ = ["START", "Running", "refused_start", "served"]

START = "from turnwire_server.cli import serve; serve(prog_name='turnwire serve')"


@dataclass
class Running:
    """A served process; `printed` and `logged` are whole once it has ended."""

    process: Process
    address: str
    printed: str
    logged: str = ""


@asynccontextmanager
async def served(
    folder: Path, *flags: str, start: str = START, **environment: str
) -> AsyncIterator[Running]:
    """`turnwire serve --port 0` with these flags, in `folder`, ended on leaving."""
    names = ("PATH", "PYTHONPATH", "SYSTEMROOT")
    inherited = {name: os.environ[name] for name in names if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", start, "--port", "0", *flags),
        stdout=PIPE,
        stderr=PIPE,
        cwd=folder,
        env={**inherited, "HOME": str(folder), "PYTHONUNBUFFERED": "1", **environment},
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
            process.terminate()
        async with patience():
            rest, logged = await process.communicate()
    running.printed += rest.decode()
    running.logged = logged.decode()


def refused_start(folder: Path, environment: dict[str, str], *flags: str) -> list[str]:
    """The lines of a start that ends at once, before anything is said of its address."""
    ended = subprocess.run(
        [sys.executable, "-c", START, "--port", "0", *flags],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: ")
    return ended.stderr.splitlines()

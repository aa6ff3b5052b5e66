"""Programs of Node.js as processes: one that runs to its end, one that listens on a port."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from pathlib import Path

from tests.kit.npm import Packages
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.port import answered, reserved_port

__all__ = ["listening", "run_program"]


async def run_program(
    packages: Packages, folder: Path, *arguments: str, variables: Mapping[str, str]
) -> None:
    """Run Node.js in `folder`; fails unless it succeeds."""
    process = await _started(packages, folder, *arguments, variables=variables)
    # A build is the work of a minute where nothing else runs.
    async with _ended(process), asyncio.timeout(5 * PATIENCE_SECONDS):
        assert await process.wait() == 0


@asynccontextmanager
async def listening(
    packages: Packages,
    folder: Path,
    *arguments: str,
    variables: Mapping[str, str],
    reserved: int | None = None,
) -> AsyncIterator[str]:
    """Node.js in `folder`, told a port by `PORT` or by `{port}` in an argument; gives its URL once
    it answers there. `reserved` is a port that the caller has reserved."""
    with reserved_port() if reserved is None else nullcontext(reserved) as port:
        process = await _started(
            packages,
            folder,
            *(argument.replace("{port}", str(port)) for argument in arguments),
            variables={**variables, "PORT": str(port)},
        )
        async with _ended(process):
            async with patience():
                await answered(port, process)
            yield f"http://127.0.0.1:{port}"


async def _started(
    packages: Packages, folder: Path, *arguments: str, variables: Mapping[str, str]
) -> asyncio.subprocess.Process:
    environment = {
        "HOME": str(folder),
        "HOSTNAME": "127.0.0.1",
        "NEXT_TELEMETRY_DISABLED": "1",
        "PATH": os.environ["PATH"],
        **variables,
    }
    # With a group of its own: Next.js starts processes of its own.
    return await asyncio.create_subprocess_exec(
        packages.node, *arguments, cwd=folder, env=environment, start_new_session=True
    )


@asynccontextmanager
async def _ended(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    """Ends it and all that it started."""
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()

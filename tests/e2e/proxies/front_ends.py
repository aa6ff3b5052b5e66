"""Apps of Node.js that pass a part of their addresses on to the service, as processes."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from tests.kit.npm import Packages
from tests.kit.patience import patience
from tests.kit.port import reserved_port

__all__ = ["express", "next_app", "next_dev"]

HERE = Path(__file__).parent
_NEXT = "next/dist/bin/next"


@asynccontextmanager
async def express(packages: Packages, service: str) -> AsyncIterator[str]:
    """`express.mjs` before the service at this URL; gives the URL of the service behind it."""
    with packages.work_folder(HERE / "express.mjs") as folder:
        async with _listening(packages, folder, service, "express.mjs") as url:
            yield f"{url}/ai"


@asynccontextmanager
async def next_app(packages: Packages, service: str) -> AsyncIterator[str]:
    """The Next.js app, built as for production (`next build`, `next start`)."""
    program = str(packages.path(_NEXT))
    with packages.work_folder(*(HERE / "next").iterdir()) as folder:
        build = await _started(packages, folder, service, program, "build")
        async with _ended(build), patience():
            assert await build.wait() == 0
        async with _listening(packages, folder, service, program, "start") as url:
            yield f"{url}/ai"


@asynccontextmanager
async def next_dev(packages: Packages, service: str) -> AsyncIterator[str]:
    """The Next.js app, as one writes it (`next dev`)."""
    program = str(packages.path(_NEXT))
    with packages.work_folder(*(HERE / "next").iterdir()) as folder:
        async with _listening(packages, folder, service, program, "dev") as url:
            yield f"{url}/ai"


@asynccontextmanager
async def _listening(
    packages: Packages, folder: Path, service: str, *arguments: str
) -> AsyncIterator[str]:
    with reserved_port() as port:
        process = await _started(packages, folder, service, *arguments, port=port)
        async with _ended(process):
            async with patience():
                while True:
                    assert process.returncode is None, "it ended before it listened"
                    try:
                        _, writer = await asyncio.open_connection("127.0.0.1", port)
                    except OSError:
                        await asyncio.sleep(0.01)
                        continue
                    writer.close()
                    break
            yield f"http://127.0.0.1:{port}"


async def _started(
    packages: Packages, folder: Path, service: str, *arguments: str, port: int = 0
) -> asyncio.subprocess.Process:
    environment = {
        "HOME": str(folder),
        "HOSTNAME": "127.0.0.1",
        "NEXT_TELEMETRY_DISABLED": "1",
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "SERVICE": service,
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

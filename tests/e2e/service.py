"""`turnwire serve` in a process of its own, answered by a simulator; it knows no browser."""

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.kit.forked import SERVE, Forked, fork
from tests.kit.patience import patience

__all__ = ["serving"]

_LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, {}))"


@asynccontextmanager
async def serving(
    model_url: str | None, folder: Path, *flags: str, files: int | None = None
) -> AsyncIterator[str]:
    """The service's address, while it runs with `folder` as its working directory.

    `model_url` is where the Claude API is, as far as it knows; without one it is the demo. `files`
    is how many files it may open, if it asks for more than the few that it has at first.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANTHROPIC_", "TURNWIRE_"))
    }
    environment["HOME"] = str(folder)
    if model_url is not None:
        environment |= {"ANTHROPIC_API_KEY": "e2e", "ANTHROPIC_BASE_URL": model_url}
    program = SERVE if files is None else f"{_LIMIT.format(files)}; {SERVE}"
    with (folder / "stderr.txt").open("wb") as stderr:
        process = await fork(
            *(program, "--port", "0", "--db", "chat.db", "--base-delay", "0.2"),
            *("--drain-grace", "0", *flags),
            folder=folder,
            environment=environment,
            stderr=stderr,
        )
        try:
            async with patience():
                address = await _address(process)
            yield address
        finally:
            if process.returncode is None:
                process.terminate()
            await process.communicate()


async def _address(process: Forked) -> str:
    assert process.stdout is not None
    async for line in process.stdout:
        if match := re.search(r"http://[\d.]+:\d+", line.decode()):
            return match[0]
    raise AssertionError("turnwire serve ended before it said where it is")

"""`turnwire serve` in a process of its own, answered by a simulator; it knows no browser."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.kit.forked import SERVE, UNHURRIED, Forked, fork
from tests.kit.patience import patience

__all__ = ["serving"]

_LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, {}))"


@asynccontextmanager
async def serving(
    model_url: str | None,
    folder: Path,
    *flags: str,
    files: int | None = None,
    imports: bool = False,
) -> AsyncIterator[str]:
    """The service's address, while it runs with `folder` as its working directory.

    `model_url` is where the Claude API is, as far as it knows; without one it is the demo. `files`
    is how many files it may open, if it asks for more than the few that it has at first. With
    `imports` it imports all by itself, from where PYTHONPATH says.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANTHROPIC_", "TURNWIRE_"))
    }
    environment |= {"HOME": str(folder), **UNHURRIED}
    if model_url is not None:
        environment |= {"ANTHROPIC_API_KEY": "e2e", "ANTHROPIC_BASE_URL": model_url}
    program = SERVE if files is None else f"{_LIMIT.format(files)}; {SERVE}"
    with (folder / "stderr.txt").open("wb") as stderr:
        arguments = [program, "--port", "0", "--db", "chat.db", "--base-delay", "0.2"]
        arguments += ["--drain-grace", "0", *flags]
        process: Forked | asyncio.subprocess.Process
        if imports:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", *arguments),
                cwd=folder,
                env=environment,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
            )
        else:
            process = await fork(*arguments, folder=folder, environment=environment, stderr=stderr)
        try:
            async with patience():
                address = await _address(process.stdout)
            yield address
        finally:
            if process.returncode is None:
                process.terminate()
            await process.communicate()


async def _address(output: asyncio.StreamReader | None) -> str:
    assert output is not None
    async for line in output:
        if match := re.search(r"http://[\d.]+:\d+", line.decode()):
            return match[0]
    raise AssertionError("turnwire serve ended before it said where it is")

"""Pages that people would write, built by Vite; it knows nothing of what is on them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.kit.node_process import run_program
from tests.kit.npm import packages_of

__all__ = ["built"]

_FLAGS = ("--base", "./", "--minify", "false", "--logLevel", "error")


@asynccontextmanager
async def built(page: Path, *, area: Path) -> AsyncIterator[Path]:
    """The page of `index.html` and `main.jsx` in the folder `page`, of the packages of `area`:
    a folder to serve, under any address, for as long as the context lasts.
    """
    packages = await asyncio.to_thread(packages_of, area)
    with packages.work_folder(page / "index.html", page / "main.jsx") as folder:
        vite = str(packages.path("vite/bin/vite.js"))
        await run_program(packages, folder, vite, "build", *_FLAGS, variables={})
        yield folder / "dist"

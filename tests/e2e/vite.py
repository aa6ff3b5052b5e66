"""Pages that people would write, built by Vite, served and opened; it knows nothing of what is on
them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page
from starlette.staticfiles import StaticFiles

from tests.kit.node_process import run_program
from tests.kit.npm import packages_of
from tests.kit.patience import PATIENCE_SECONDS
from tests.kit.service import serving
from turnwire_server import Turnwire, create_app

__all__ = ["opened", "served"]

_FLAGS = ("--base", "./", "--minify", "false", "--logLevel", "error")


@asynccontextmanager
async def _built(page: Path, *, area: Path) -> AsyncIterator[Path]:
    """The page of `index.html` and `main.jsx` in the folder `page`, of the packages of `area`:
    a folder to serve, under any address, for as long as the context lasts.
    """
    packages = await asyncio.to_thread(packages_of, area)
    with packages.work_folder(page / "index.html", page / "main.jsx") as folder:
        vite = str(packages.path("vite/bin/vite.js"))
        await run_program(packages, folder, vite, "build", *_FLAGS, variables={})
        yield folder / "dist"


@asynccontextmanager
async def served(page: Path, turnwire: Turnwire, *, area: Path) -> AsyncIterator[str]:
    """The page of the folder `page` beside the service, from one address: the page's URL."""
    async with _built(page, area=area) as folder:
        app = create_app(turnwire)
        app.mount("/page", StaticFiles(directory=folder, html=True))
        async with serving(app) as address:
            yield f"http://{address}/page/"


@asynccontextmanager
async def opened(
    browser: Browser, *, width: int, height: int, hears_console: bool = True
) -> AsyncIterator[Page]:
    """A tab of its own, on which nothing may go wrong; `hears_console`: nor be complained of."""
    context = await browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = await context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    if hears_console:
        page.on(
            "console", lambda said: problems.append(said.text) if said.type == "error" else None
        )
    yield page
    await context.close()
    assert problems == []

"""Chromium, the service in a process of its own, and the simulator that answers it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.e2e.chromium import ARGUMENTS, require_chromium
from tests.e2e.service import serving
from tests.kit.service import serving as serving_here
from tests.kit.service import turnwire_over
from turnwire_simulator import Simulator

__all__: list[str] = []

TOOLS = Path(__file__).with_name("tools.py")

OpenTab = Callable[..., Awaitable["Tab"]]
Serve = Callable[..., Awaitable[str]]

expect.set_options(timeout=30_000)


class Tab:
    """A tab with the chat page; `problems` is what its console and its security policy reported."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.message = page.get_by_label("Message to Claude")
        self.send_button = page.get_by_role("button", name="Send message")
        self.stop_button = page.locator("#stop")
        self.answers = page.locator(".answer .prose:not(.thinking-text)")
        self.bubbles = page.locator(".bubble")
        self.marks = page.locator(".mark")
        self.queued = page.locator(".turn[data-state=queued] .bubble")
        self.entries = page.locator(".entry-link")
        self.announced = page.locator("#announcer")
        self.banner = page.locator("#banner")
        self.tools = page.locator(".tool")
        self.verdicts = page.locator(".tool-verdict:not([hidden])")

    async def ask(self, text: str) -> None:
        """Type and send, as a user does."""
        await self.message.fill(text)
        await self.message.press("Enter")

    def _heard(self, message: object) -> None:
        if getattr(message, "type", "") in ("error", "warning"):
            self.problems.append(getattr(message, "text", ""))


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, started anew for each file: one that has run for long may stop drawing frames."""
    path = require_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def simulator() -> AsyncIterator[Simulator]:
    """What answers in place of Claude, to all tests: count from where a test begins."""
    async with Simulator() as simulator:
        yield simulator


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def address(
    simulator: Simulator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """The address of the service; every test has its own conversations in it."""
    folder = tmp_path_factory.mktemp("service")
    async with serving(simulator.url, folder, "--tools", str(TOOLS)) as address:
        yield address


@pytest_asyncio.fixture(loop_scope="session")
async def serve(simulator: Simulator) -> AsyncIterator[Serve]:
    """Serves tools of the test, in this process; gives the address. Wanted before any tab."""
    async with AsyncExitStack() as stack:

        async def serve(*tools: object, **settings: Any) -> str:
            turnwire = turnwire_over(
                simulator, **{"tools": tools, "detach_grace": 30.0, **settings}
            )
            return f"http://{await stack.enter_async_context(serving_here(turnwire))}/"

        yield serve


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: Browser) -> AsyncIterator[OpenTab]:
    """Opens tabs of one browser profile; afterwards none of them may have had a problem."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    tabs: list[Tab] = []

    async def open_tab(url: str) -> Tab:
        tab = Tab(await context.new_page())
        tabs.append(tab)
        await tab.page.goto(url)
        return tab

    yield open_tab
    await context.close()
    assert [problem for tab in tabs for problem in tab.problems] == []


@pytest_asyncio.fixture(loop_scope="session")
async def tab(address: str, open_tab: OpenTab) -> Tab:
    """One tab, with an empty new chat."""
    return await open_tab(address)

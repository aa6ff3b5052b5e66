"""Chromium, the service in a process of its own, and the simulator that answers it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.e2e.chromium import ARGUMENTS, require_chromium
from tests.e2e.stage import Stage
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import serving, turnwire_over
from turnwire_simulator import Simulator

__all__: list[str] = []

OpenTab = Callable[..., Awaitable["Tab"]]
Serve = Callable[..., Awaitable[str]]

# What playwright calls a timeout is in milliseconds.
expect.set_options(timeout=PATIENCE_SECONDS * 1000)

HAS_FAILED = pytest.StashKey[bool]()
"""Whether a test has failed since the stage was built."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Notes a failure, for the next test."""
    report = yield
    if report.failed:
        item.session.stash[HAS_FAILED] = True
    return report


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

    async def over(self) -> None:
        """Once the last answer is over: what comes with its end scrolls what stands above it, and a
        button that moves between the two halves of a click is not clicked."""
        await expect(self.page.get_by_role("button", name="Regenerate")).to_be_visible()

    def _heard(self, message: object) -> None:
        if getattr(message, "type", "") in ("error", "warning"):
            self.problems.append(getattr(message, "text", ""))


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, one for all tests of a worker; every test has a profile of its own in it."""
    path = require_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, timeout=PATIENCE_SECONDS * 1000
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def stage_of_session(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Where `stage` comes from."""
    stage = Stage(tmp_path_factory)
    yield stage
    await stage.clear()


@pytest_asyncio.fixture(loop_scope="session")
async def stage(request: pytest.FixtureRequest, stage_of_session: Stage) -> Stage:
    """What the tests share, with nothing on it from a test that failed."""
    if request.session.stash.get(HAS_FAILED, False):
        request.session.stash[HAS_FAILED] = False
        await stage_of_session.clear()
    return stage_of_session


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def model_of_module() -> AsyncIterator[Simulator]:
    """Where `model` comes from."""
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
def model(request: pytest.FixtureRequest, model_of_module: Simulator) -> Iterator[Simulator]:
    """What answers in place of Claude, for the tests of a page that others build."""
    yield model_of_module
    _nothing_is_left(request, model_of_module)


@pytest_asyncio.fixture(loop_scope="session")
async def simulator(request: pytest.FixtureRequest, stage: Stage) -> AsyncIterator[Simulator]:
    """What answers in place of Claude, to all tests: count from where a test begins.

    To one that serves for itself (`serve`) another: a turn that an earlier test left in the service
    of all may ask once more, and would be given the answer that is meant for this one.
    """
    async with AsyncExitStack() as own:
        is_own = "serve" in request.fixturenames
        simulator = await (own.enter_async_context(Simulator()) if is_own else stage.simulator())
        yield simulator
        _nothing_is_left(request, simulator)
        if not is_own and not request.session.stash.get(HAS_FAILED, False):
            # Nor does a turn of it run on in the service of all.
            async with patience():
                await simulator.wait(lambda: simulator.open_streams == 0)


def _nothing_is_left(request: pytest.FixtureRequest, simulator: Simulator) -> None:
    """A test that succeeds has asked for all that it programmed: its successor would be given it.

    So that it fails itself, and not whatever happens to come after it on its worker.
    """
    left = simulator.take_back()
    if not request.session.stash.get(HAS_FAILED, False):
        assert left == 0


@pytest_asyncio.fixture(loop_scope="session")
async def address(stage: Stage) -> str:
    """The address of the service; every test has its own conversations in it."""
    return await stage.address()


@pytest_asyncio.fixture(loop_scope="session")
async def serve(simulator: Simulator) -> AsyncIterator[Serve]:
    """Serves tools of the test, in this process; gives the address. Wanted before any tab."""
    async with AsyncExitStack() as stack:

        async def serve(*tools: object, **settings: Any) -> str:
            turnwire = turnwire_over(
                simulator, **{"tools": tools, "detach_grace": PATIENCE_SECONDS, **settings}
            )
            return f"http://{await stack.enter_async_context(serving(turnwire))}/"

        yield serve


@pytest_asyncio.fixture(loop_scope="session")
async def open_tab(browser: Browser) -> AsyncIterator[OpenTab]:
    """Opens tabs of one browser profile; afterwards none of them may have had a problem."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
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

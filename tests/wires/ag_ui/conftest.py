"""One service and one process of pages for all tests of a file; a conversation for each."""

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx2
import pytest
import pytest_asyncio

from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from tests.wires.ag_ui.pages import Page, Pages, opened
from turnwire_server import tool
from turnwire_simulator import Simulator

MODEL = "claude-simulated-opus"

Opens = Callable[..., Awaitable[Page]]


@tool
def look(path: str) -> str:
    """Look at a file."""
    return f"saw {path}"


@tool(approval=True)
def erase(path: str) -> str:
    """Erase a file."""
    return f"erased {path}"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def simulator() -> AsyncIterator[Simulator]:
    """What answers in place of Claude."""
    async with Simulator() as simulator:
        yield simulator


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def address(simulator: Simulator) -> AsyncIterator[str]:
    """A service that ends what nobody reads at once."""
    settings = {"model": MODEL, "tools": [look, erase], "system": "Be brief."}
    async with serving(turnwire_over(simulator, **settings)) as address:
        yield address


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pages() -> AsyncIterator[Pages]:
    """Where pages are opened."""
    async with opened() as pages:
        yield pages


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def http(address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody else who knows the service, and no AG-UI."""
    async with asking(address) as client:
        yield client


@pytest.fixture
def thread(request: pytest.FixtureRequest) -> str:
    """The conversation's name: the test's, which shows that a name may have anything in it."""
    return f"chats/{request.node.name}"


@pytest.fixture
def opens(pages: Pages, address: str, thread: str) -> Opens:
    """Opens a page on the test's conversation."""

    async def open_page(client: str) -> Page:
        return await pages.open(client, address, thread)

    return open_page


@pytest.fixture(autouse=True)
def no_client_crashes(request: pytest.FixtureRequest, simulator: Simulator) -> object:
    """What a client throws where nobody can catch it fails the test; no answer is left over."""
    yield
    simulator.take_back()
    if "pages" in request.fixturenames:
        pages: Pages = request.getfixturevalue("pages")
        fatal, pages.fatal = pages.fatal, []
        assert fatal == []

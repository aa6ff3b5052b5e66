"""One service, one simulator and one Node.js for all pages of these tests."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from tests.wires.ai_sdk.page import Browser, browsing
from turnwire_server import tool
from turnwire_simulator import Simulator

__all__: list[str] = []


@tool
def look(path: str) -> dict[str, Any]:
    """Look at a file."""
    return {"path": path, "size": 7}


@tool(approval=True)
def erase(path: str) -> str:
    """Erase a file."""
    return f"erased {path}"


@dataclass
class Stage:
    """What a test acts on."""

    simulator: Simulator
    browser: Browser
    http: httpx2.AsyncClient

    async def get(self, path: str) -> Any:
        """The JSON of an endpoint."""
        response = await self.http.get(path)
        assert response.status_code == 200, response.text
        return response.json()

    async def post(self, path: str, body: Any = None) -> Any:
        """The JSON of an endpoint that takes a body."""
        response = await self.http.post(path, json={} if body is None else body)
        assert response.status_code == 200, response.text
        return response.json()


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def shared_stage() -> AsyncIterator[Stage]:
    """Readers who go are gone at once: there is no grace time."""
    async with (
        Simulator() as simulator,
        serving(turnwire_over(simulator, tools=[look, erase])) as address,
        browsing(address) as browser,
        asking(address) as http,
    ):
        yield Stage(simulator, browser, http)


@pytest.fixture
def stage(shared_stage: Stage) -> Stage:
    """The stage, on which nothing is left of the test before."""
    shared_stage.simulator.take_back()
    shared_stage.simulator.requests.clear()
    return shared_stage

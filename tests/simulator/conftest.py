"""A simulator and the real SDK pointed at it."""

from collections.abc import AsyncIterator

import pytest
from anthropic import AsyncAnthropic

from turnwire_simulator import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as running:
        yield running


@pytest.fixture
async def claude(simulator: Simulator) -> AsyncIterator[AsyncAnthropic]:
    async with AsyncAnthropic(base_url=simulator.url, api_key="x", max_retries=0) as client:
        yield client

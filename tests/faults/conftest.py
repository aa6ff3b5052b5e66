"""Fixtures: the model of the fault tests."""

from collections.abc import AsyncIterator

import pytest

from turnwire_simulator import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A strict stand-in for the Claude API."""
    async with Simulator() as simulator:
        yield simulator

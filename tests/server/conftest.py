"""Fixtures: the simulator and a service over it, both on real sockets of this machine."""

from collections.abc import AsyncIterator

import pytest

from tests.server.service import serving, turnwire_over
from turnwire_simulator import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A strict stand-in for the Claude API."""
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def address(simulator: Simulator) -> AsyncIterator[str]:
    """`host:port` of a service with default settings."""
    async with serving(turnwire_over(simulator)) as address:
        yield address

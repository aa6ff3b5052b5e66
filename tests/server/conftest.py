"""Fixtures: the simulator and a service over it, both on real sockets of this machine."""

import gc
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest

from tests.kit.openapi import documented
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
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


@pytest.fixture
async def http(address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """An HTTP client of that service; what is answered must be documented."""
    async with asking(address, event_hooks={"response": [documented().judge]}) as client:
        yield client


@pytest.fixture
def without_collector() -> Iterator[None]:
    """What is let go of in the test must leave memory by itself."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()

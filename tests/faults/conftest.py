"""Fixtures: the model of the fault tests, and a PostgreSQL that comes to harm."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.kit.patience import PATIENCE_SECONDS
from tests.kit.postgres import PostgresServer, postgres_server
from turnwire_server.core import turn_queue
from turnwire_simulator import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A strict stand-in for the Claude API."""
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgresServer]:
    """A server that may be killed, or fail over. A turn waits for it as long as the test does: how
    soon it is back is the machine's affair."""
    monkeypatch.setattr(turn_queue, "_MAX_UNDURABLE_SECONDS", PATIENCE_SECONDS)
    with postgres_server() as server:
        yield server

"""Fixtures: the model of the fault tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.postgres import fresh_url
from turnwire_simulator import Simulator


@pytest.fixture(params=["sqlite", "postgres"])
def db(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that nobody has used: a file, and a PostgreSQL."""
    return str(tmp_path / "chat.db") if request.param == "sqlite" else fresh_url()


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A strict stand-in for the Claude API."""
    async with Simulator() as simulator:
        yield simulator

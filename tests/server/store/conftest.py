"""Fixtures: an open store of each kind, and a place for SQLite files."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.postgres import fresh_url
from tests.server.store.store_rows import opened
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a SQLite file may be made."""
    return tmp_path / "turnwire.db"


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Store]:
    """An open store, of each kind in turn."""
    if request.param == "memory":
        yield MemoryStore()
        return
    place = path if request.param == "sqlite" else fresh_url()
    async with opened(place) as store:
        yield store

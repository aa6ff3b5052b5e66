"""`turnwire vacuum` on a stopped database, on one in use, on none."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.kit.fence import fence_of
from tests.server.store.store_rows import bodies_of, fill, opened, row_body
from turnwire_server.cli import vacuum
from turnwire_server.store.port import Batch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "turnwire.db"


def vacuumed(path: Path) -> Result:
    """`turnwire vacuum --db …`; it has an event loop of its own, and so needs a thread."""
    return CliRunner().invoke(vacuum, ["--db", str(path)])


async def made(path: Path) -> None:
    """A database of one conversation, and the room of a larger one that was deleted."""
    async with opened(path) as store:
        await fill(store, "c_1", 1)
        fence = await fence_of(store, "c_2")
        await store.append([Batch(fence, 1, 1, bytes(1_000_000), is_open=False)])
        await store.delete("c_2")


def size_of(path: Path) -> int:
    """In bytes."""
    return path.stat().st_size


async def test_the_room_of_a_deleted_conversation_goes_back_to_the_disk(path: Path) -> None:
    await made(path)
    before = size_of(path)
    result = await asyncio.to_thread(vacuumed, path)
    assert result.exit_code == 0
    assert str(path) in result.output
    assert size_of(path) < before - 900_000
    async with opened(path) as store:
        assert await bodies_of(store, "c_1") == [row_body(1, 1)]


async def test_a_database_in_use_is_left_alone(path: Path) -> None:
    await made(path)
    async with opened(path):
        result = await asyncio.to_thread(vacuumed, path)
    assert result.exit_code == 1
    assert "another process" in result.output


def test_where_there_is_no_database_none_is_made(path: Path) -> None:
    result = vacuumed(path)
    assert result.exit_code == 1
    assert str(path) in result.output
    assert not path.exists()


def test_a_database_in_memory_has_no_file() -> None:
    assert vacuumed(Path(":memory:")).exit_code == 1

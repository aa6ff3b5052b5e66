"""The SQLite store while writing fails or blocks: reads go on, and it recovers by itself."""

import asyncio
import resource
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.kit.fence import fence_of
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.server.store.store_rows import bodies_of, fill, join_all, opened, row_body
from turnwire_server.errors import StoreError
from turnwire_server.store.port import Batch, Row
from turnwire_server.store.sqlite import SqliteStore

BIG = 64 * 1024


@contextmanager
def limited_files(max_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond `max_bytes`: the store's writes fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", tmp_path], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system takes root")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


async def append_until_it_fails(store: SqliteStore) -> tuple[int, Batch]:
    """Append big batches; the last seq stored, and the batch that was refused."""
    fence = await fence_of(store, "c_1")
    for seq in range(1, 100):
        batch = Batch(fence, seq, seq, bytes([seq]) * BIG, True)
        try:
            await store.append([batch])
        except StoreError:
            return seq - 1, batch
    raise AssertionError("nothing failed")


async def seqs_of(store: SqliteStore) -> list[int]:
    """The seqs stored by `append_until_it_fails`, from their bodies."""
    bodies = await bodies_of(store, "c_1")
    assert all(body == body[:1] * BIG for body in bodies)
    return [body[0] for body in bodies]


async def test_reads_and_the_event_loop_go_on_while_a_write_blocks(path: Path) -> None:
    entered, release = threading.Event(), threading.Event()

    def join(bodies: list[bytes]) -> list[Row]:
        entered.set()
        release.wait(timeout=PATIENCE_SECONDS)
        return join_all(bodies)

    async with opened(path) as store, patience():
        fence = await fill(store, "c_1", 2)
        compacting = asyncio.create_task(store.compact("c_1", join))
        await asyncio.to_thread(entered.wait, 10)
        appending = asyncio.create_task(store.append([Batch(fence, 3, 3, b"later", False)]))
        assert await bodies_of(store, "c_1") == [row_body(1, 1), row_body(2, 2)]
        assert [head.seq for head in await store.list_heads("ann", limit=9, before=None)] == [2]
        assert not compacting.done()
        assert not appending.done()
        release.set()
        await compacting
        await appending
        assert await bodies_of(store, "c_1") == [row_body(1, 1) + row_body(2, 2), b"later"]


async def test_a_locked_database_fails_writes_until_it_is_unlocked_but_no_reads(
    path: Path,
) -> None:
    async with opened(path) as store:
        fence = await fill(store, "c_1", 1)
        batch = Batch(fence, 2, 2, b"two", False)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StoreError) as failed:
                await store.append([batch])
            assert isinstance(failed.value.__cause__, sqlite3.OperationalError)
            with pytest.raises(StoreError):
                await store.append([])
            assert await bodies_of(store, "c_1") == [row_body(1, 1)]
            other.execute("ROLLBACK")
            await store.append([batch])
        assert await bodies_of(store, "c_1") == [row_body(1, 1), b"two"]


async def test_a_full_disk_fails_writes_until_there_is_room_but_no_reads_and_no_opening(
    small_disk: Path,
) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1280 * 1024))
    path = small_disk / "turnwire.db"
    async with opened(path) as store:
        stored, refused = await append_until_it_fails(store)
        assert await seqs_of(store) == list(range(1, stored + 1))
    async with opened(path) as store:
        assert await seqs_of(store) == list(range(1, stored + 1))
        with pytest.raises(StoreError):
            await store.append([refused])
        ballast.unlink()
        await store.append([refused])
    async with opened(path) as store:
        assert await seqs_of(store) == list(range(1, stored + 2))


async def test_a_write_error_fails_writes_until_it_is_gone_but_no_reads(path: Path) -> None:
    async with opened(path) as store:
        with limited_files(8 * BIG):
            stored, refused = await append_until_it_fails(store)
            assert await seqs_of(store) == list(range(1, stored + 1))
        with limited_files(1), pytest.raises(StoreError):
            await store.append([])
        await store.append([])
        await store.append([refused])
        assert await seqs_of(store) == list(range(1, stored + 2))
    async with opened(path) as store:
        assert await seqs_of(store) == list(range(1, stored + 2))


async def test_a_current_file_opens_and_reads_where_nothing_can_be_written(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, "c_1", 2)
        other = sqlite3.connect(path)  # Keeps what SQLite makes anew with the first connection.
        other.execute("SELECT count(*) FROM batches").fetchone()
    with closing(other), limited_files(1):
        async with opened(path) as store:
            assert await bodies_of(store, "c_1") == [row_body(1, 1), row_body(2, 2)]


async def test_closing_while_writes_fail_loses_nothing_and_frees_the_lock(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    fence = await fence_of(store, "c_1")
    await store.append([Batch(fence, seq, seq, bytes([seq]) * BIG, True) for seq in (1, 2, 3)])
    with limited_files(BIG):
        await store.close()
    async with opened(path) as again:
        assert await seqs_of(again) == [1, 2, 3]

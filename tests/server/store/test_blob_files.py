"""The blobs of the SQLite store: files beside the database, and those of older versions in it."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.server.store.store_rows import batch_of, blob_of, bytes_of, fill, opened, put
from turnwire_server.errors import StoreError
from turnwire_server.store.port import Spool, Usage
from turnwire_server.store.sqlite import SqliteStore

ID, OTHER = f"b_{'1' * 32}", f"b_{'2' * 32}"
MIB = 1024 * 1024

VERSION_4 = f"""
    CREATE TABLE conversations (id TEXT PRIMARY KEY, owner TEXT NOT NULL, epoch TEXT NOT NULL,
        seq INTEGER NOT NULL, title TEXT NOT NULL, created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL, is_open INTEGER NOT NULL DEFAULT 1) WITHOUT ROWID;
    CREATE INDEX conversations_by_owner ON conversations (owner, updated_at, id);
    CREATE TABLE batches (conversation TEXT NOT NULL, first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (conversation, first_seq))
        WITHOUT ROWID;
    CREATE TABLE blobs (id TEXT PRIMARY KEY, owner TEXT NOT NULL, media_type TEXT NOT NULL,
        data BLOB NOT NULL);
    CREATE TABLE tail (id INTEGER PRIMARY KEY, conversation TEXT NOT NULL, epoch TEXT NOT NULL,
        first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL, body BLOB NOT NULL);
    INSERT INTO conversations VALUES ('c_1', 'ann', 'epoch', 1, 'Old',
        '2026-01-01T00:00:00.000000Z', '2026-01-02T00:00:00.000000Z', 0);
    INSERT INTO batches VALUES ('c_1', 1, 1, CAST('[{{"blob":"{ID}"}}]' AS BLOB));
    INSERT INTO blobs VALUES ('{ID}', 'ann', 'image/png', zeroblob({MIB}));
    INSERT INTO blobs VALUES ('{OTHER}', 'ann', 'image/png', CAST('other' AS BLOB));
    PRAGMA user_version = 4;
"""
FAR = 2**40
"""A time at which everything has been put long ago."""


def folder(path: Path) -> Path:
    """Where the files of the blobs lie."""
    return Path(f"{path}.blobs")


def names(path: Path) -> list[str]:
    """What lies there."""
    return sorted(os.listdir(folder(path)))


def size_of(path: Path) -> int:
    """Of the database, with its write-ahead log."""
    log = Path(f"{path}-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def run_sql(path: Path, script: str) -> None:
    """What another program, or an older version, does to the file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


async def finished(store: SqliteStore, data: bytes) -> Spool:
    """A spool that holds all of its bytes."""
    spool = await store.blobs.spool()
    await spool.write(data)
    await spool.finish()
    return spool


async def tidied(store: SqliteStore) -> None:
    """Do all that is left to do."""
    while await store.blobs.tidy():
        pass


async def test_without_a_blob_there_is_no_folder(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, "c_1", 1)
        await tidied(store)
    assert not folder(path).exists()


async def test_bytes_are_no_part_of_the_database(path: Path) -> None:
    async with opened(path) as store:
        before = size_of(path)
        await put(store.blobs, blob_of(ID, bytes(MIB)), bytes(MIB))
        assert size_of(path) < before + 100_000
    assert names(path) == [ID]
    async with opened(path) as store:
        assert await bytes_of(store.blobs, ID) == bytes(MIB)


async def test_a_discarded_spool_leaves_no_file(path: Path) -> None:
    async with opened(path) as store:
        (await finished(store, b"some")).discard()
        half = await store.blobs.spool()
        await half.write(b"half")
        half.discard()
        await half.write(b"after its end")
    assert names(path) == []


async def test_a_spool_that_was_put_is_not_harmed_by_a_discard(path: Path) -> None:
    async with opened(path) as store:
        spool = await finished(store, b"some")
        await spool.put(blob_of(ID, b"some"), at=0)
        spool.discard()
    assert names(path) == [ID]


async def test_what_a_crash_left_of_an_upload_is_gone_after_the_next_opening(path: Path) -> None:
    async with opened(path) as store:
        await put(store.blobs, blob_of(ID, b"whole"), b"whole")
    (folder(path) / "upload-0123456789abcdef").write_bytes(b"half")
    async with opened(path) as store:
        assert names(path) == [ID]
        assert await bytes_of(store.blobs, ID) == b"whole"


async def test_a_file_whose_row_was_not_committed_is_no_blob_and_is_removed(path: Path) -> None:
    async with opened(path) as store:
        await put(store.blobs, blob_of(ID, b"whole"), b"whole")
    (folder(path) / OTHER).write_bytes(b"whole, but unknown")
    (folder(path) / "notes.txt").write_bytes(b"somebody's own")
    async with opened(path) as store:
        assert await store.blobs.find(OTHER) is None
        await tidied(store)
    assert names(path) == [ID, "notes.txt"]


async def test_a_file_without_a_row_becomes_a_blob_when_it_is_put_in_again(path: Path) -> None:
    async with opened(path) as store:
        await put(store.blobs, blob_of(ID, b"one"), b"one")
    (folder(path) / OTHER).write_bytes(b"two")
    async with opened(path) as store:
        await put(store.blobs, blob_of(OTHER, b"two"), b"two")
        await tidied(store)
        assert await bytes_of(store.blobs, OTHER) == b"two"


async def test_a_blob_whose_file_is_lost_is_healed_by_putting_it_in_again(path: Path) -> None:
    async with opened(path) as store:
        await put(store.blobs, blob_of(ID, b"one"), b"one")
        (folder(path) / ID).unlink()
        assert await bytes_of(store.blobs, ID) is None
        await put(store.blobs, blob_of(ID, b"one"), b"one")
        assert await bytes_of(store.blobs, ID) == b"one"


async def test_a_folder_that_cannot_be_used_fails_uploads_and_nothing_else(path: Path) -> None:
    async with opened(path) as store:
        folder(path).write_bytes(b"a file in its place")
        with pytest.raises(StoreError):
            await finished(store, b"some")
        await fill(store, "c_1", 1)
        folder(path).unlink()
        await put(store.blobs, blob_of(ID, b"one"), b"one")


async def test_after_closing_nothing_can_be_put_in(path: Path) -> None:
    async with opened(path) as store:
        await put(store.blobs, blob_of(ID, b"one"), b"one")
        spool = await store.blobs.spool()
    with pytest.raises(StoreError):
        await spool.write(b"late")
    with pytest.raises(StoreError):
        await finished(store, b"late")
    spool.discard()
    assert names(path) == [ID]


async def test_of_more_unused_blobs_than_are_looked_at_at_once_none_is_missing(
    path: Path,
) -> None:
    async with opened(path):
        pass
    rows = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1199)"
    insert = "INSERT INTO blobs SELECT printf('b_%04d', i), 'ann', 'image/png', 1, i % 2 FROM n"
    run_sql(path, f"{rows} {insert}")
    async with opened(path) as store:
        found = [id async for id in store.blobs.unused(before=1)]
    assert found == [f"b_{number:04}" for number in range(0, 1200, 2)]


# From the present version's predecessor


async def test_blobs_in_an_older_file_are_served_before_and_after_they_are_moved(
    path: Path,
) -> None:
    run_sql(path, VERSION_4)
    async with opened(path) as store:
        assert not folder(path).exists(), "opening moves nothing"
        for _ in range(2):
            assert await bytes_of(store.blobs, ID) == bytes(MIB)
            assert await store.blobs.read(ID, MIB - 5, 100) == bytes(5)
            assert await store.blobs.find(OTHER) == blob_of(OTHER, b"other")
            assert await store.blobs.usage("ann") == Usage(2, MIB + 5)
            await tidied(store)
        assert await bytes_of(store.blobs, OTHER) == b"other"
    assert names(path) == [ID, OTHER]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM unmoved_blobs").fetchone() == (0,)


async def test_moving_goes_on_after_a_restart_in_the_middle_of_it(path: Path) -> None:
    run_sql(path, VERSION_4)
    async with opened(path) as store:
        await store.blobs.tidy()
        assert len(names(path)) == 1
    async with opened(path) as store:
        await tidied(store)
        assert await bytes_of(store.blobs, ID) == bytes(MIB)
        assert await bytes_of(store.blobs, OTHER) == b"other"


async def test_nothing_of_an_older_file_counts_as_unused_before_its_logs_have_been_read(
    path: Path,
) -> None:
    run_sql(path, VERSION_4)
    async with opened(path) as store:
        assert [id async for id in store.blobs.unused(before=FAR)] == []
        assert not await store.blobs.delete(OTHER, unused_before=FAR)
        await tidied(store)
        assert [id async for id in store.blobs.unused(before=FAR)] == [OTHER]
        await store.delete("c_1")
        assert [id async for id in store.blobs.unused(before=FAR)] == [ID, OTHER]


async def test_a_conversation_that_is_deleted_before_its_log_was_read_keeps_nothing(
    path: Path,
) -> None:
    run_sql(path, VERSION_4)
    async with opened(path) as store:
        await store.delete("c_1")
        await tidied(store)
        assert [id async for id in store.blobs.unused(before=FAR)] == [ID, OTHER]


async def test_a_blob_of_an_older_file_may_be_deleted_before_it_is_moved(path: Path) -> None:
    run_sql(path, VERSION_4)
    async with opened(path) as store:
        assert await store.blobs.delete(ID)
        assert await bytes_of(store.blobs, ID) is None
        await tidied(store)
    assert names(path) == [OTHER]


async def test_vacuum_gives_the_room_of_moved_blobs_and_deleted_logs_back(path: Path) -> None:
    run_sql(path, VERSION_4)
    async with opened(path) as store:
        fence = await fill(store, "c_2", 1)
        await tidied(store)
    before = size_of(path)
    async with opened(path) as store:
        await store.vacuum()
        assert size_of(path) < before - 0.9 * MIB
        await store.append([batch_of(fence, 2)])
        assert await bytes_of(store.blobs, ID) == bytes(MIB)

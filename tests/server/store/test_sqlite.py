"""The SQLite store by itself: reopening, what it refuses to store, and older or foreign files."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.kit.fence import fence_of
from tests.server.store.store_rows import (
    batch_of,
    blob_of,
    bodies_of,
    bytes_of,
    fill,
    join_all,
    opened,
    put,
    row_body,
)
from turnwire_server.errors import Fenced, SettingsError, StoreError, Unreadable
from turnwire_server.store.port import Batch, Fence, Row
from turnwire_server.store.sqlite import SqliteStore
from turnwire_server.store.sqlite.schema import VERSION


async def refusal(path: Path) -> str:
    """The message with which a store at `path` does not open."""
    with pytest.raises(SettingsError) as refused:
        await SqliteStore(path).open()
    return str(refused.value)


def run_sql(path: Path, script: str) -> None:
    """What another program does to the file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)


def content_of(path: Path) -> bytes | None:
    """The bytes of the file, None if there is none."""
    return path.read_bytes() if path.exists() else None


async def test_everything_is_there_after_reopening_in_the_same_process(path: Path) -> None:
    async with opened(path) as store:
        fence = await fill(store, "c_1", 3)
        await store.append([batch_of(fence, 4, is_open=True, title="Hello")])
        head = await store.head("c_1")
    async with opened(path) as store:
        assert await store.head("c_1") == head
        assert await store.orphans() == [head]
        assert await bodies_of(store, "c_1") == [row_body(seq, seq) for seq in (1, 2, 3, 4)]


async def test_a_closed_store_is_one_file_beside_its_lock(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, "c_1", 3)
    assert sorted(os.listdir(path.parent)) == [path.name, f"{path.name}.lock"]


async def test_closing_empties_the_write_ahead_log_while_another_program_looks(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, "c_1", 3)
        other = sqlite3.connect(path)
        assert other.execute("SELECT count(*) FROM tail").fetchone() == (3,)
    assert content_of(Path(f"{path}-wal")) == b""
    other.close()


async def test_missing_folders_are_made(tmp_path: Path) -> None:
    async with opened(tmp_path / "some" / "where" / "turnwire.db") as store:
        await fill(store, "c_1", 1)


async def test_a_store_that_is_not_open_reads_and_writes_nothing(path: Path) -> None:
    store = SqliteStore(path)
    batch = batch_of(Fence("c_1", "ann", "epoch"), 1)
    with pytest.raises(StoreError):
        await store.append([batch])
    with pytest.raises(StoreError):
        await store.head("c_1")
    assert content_of(path) is None
    await store.open()
    await store.close()
    with pytest.raises(StoreError):
        await store.append([batch])
    with pytest.raises(StoreError):
        await store.head("c_1")


# What it refuses to store


@pytest.mark.parametrize(
    ("conversation", "first_seq", "last_seq"),
    [("c_1", 5, 5), ("c_1", 3, 4), ("c_1", 1, 4), ("c_new", 2, 2)],
    ids=["gap", "overlap", "overlap from the start", "no beginning"],
)
async def test_a_batch_that_does_not_continue_its_log_stores_nothing_of_the_commit(
    path: Path, conversation: str, first_seq: int, last_seq: int
) -> None:
    async with opened(path) as store:
        fence = await fill(store, "c_1", 3)
        good = [batch_of(fence, 4), batch_of(Fence("c_2", "ann", "epoch"), 1)]
        if conversation == "c_1":
            good = good[1:]
        bad = batch_of(Fence(conversation, "ann", "epoch"), first_seq, last_seq)
        with pytest.raises(StoreError):
            await store.append([*good, bad])
        assert len(await bodies_of(store, "c_1")) == 3
        assert await store.head("c_2") is None
        await store.append([batch_of(fence, 4)])
        assert len(await bodies_of(store, "c_1")) == 4


async def test_a_fence_of_a_deleted_log_cannot_append_to_its_successor(path: Path) -> None:
    async with opened(path) as store:
        old = await fill(store, "c_1", 1)
        await store.delete("c_1")
        new = await fence_of(store, "c_1", "ann", "another epoch")
        await store.append([batch_of(new, 1)])
        with pytest.raises(Fenced):
            await store.append([batch_of(old, 2)])
        assert await bodies_of(store, "c_1") == [row_body(1, 1)]


async def test_times_have_six_digits_so_that_they_compare_as_strings(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, "c_1", 2)
        head = await store.head("c_1")
        assert head is not None
        for time in (head.created_at, head.updated_at):
            assert len(time) == len("2026-11-20T00:00:00.000000Z")
            assert time.endswith("Z")


async def test_compaction_keeps_the_rows_that_join_returns_unchanged(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, "c_1", 5)
        rows = await bodies_of(store, "c_1")
        await store.compact("c_1", lambda bodies: [Row(1, 1, bodies[0]), *join_all(bodies[1:])])
        assert await bodies_of(store, "c_1") == [rows[0], b"".join(rows[1:])]
        assert await store.read("c_1", 1, max_bytes=1) == [b"".join(rows[1:])]


@pytest.mark.parametrize(
    "joined",
    [[], [Row(1, 2, b"")], [Row(2, 3, b"")], [Row(1, 1, b""), Row(3, 3, b"")], [Row(1, 4, b"")]],
    ids=["nothing", "no end", "no beginning", "a hole", "too much"],
)
async def test_compaction_that_would_lose_something_changes_nothing(
    path: Path, joined: list[Row]
) -> None:
    async with opened(path) as store:
        await fill(store, "c_1", 3)
        with pytest.raises(ValueError, match="c_1"):
            await store.compact("c_1", lambda bodies: joined)
        assert await bodies_of(store, "c_1") == [row_body(seq, seq) for seq in (1, 2, 3)]


# The tail


def counts_of(path: Path) -> tuple[int, int]:
    """How many rows are in the tail, and how many at their place."""
    with closing(sqlite3.connect(path)) as connection:
        (tail,) = connection.execute("SELECT count(*) FROM tail").fetchone()
        (batches,) = connection.execute("SELECT count(*) FROM batches").fetchone()
    return tail, batches


async def test_compaction_brings_rows_to_their_place_and_empties_the_tail(path: Path) -> None:
    async with opened(path) as store:
        await fill(store, "c_1", 3)
        assert counts_of(path) == (3, 0)
        await store.compact("c_1", join_all)
        assert counts_of(path) == (0, 1)


async def test_a_log_is_read_alike_whether_it_stands_at_its_place_or_in_the_tail(
    path: Path,
) -> None:
    async with opened(path) as store:
        fence = await fill(store, "c_1", 3)
        await store.compact("c_1", join_all, after=1)
        await store.append([batch_of(fence, 4, 5), batch_of(fence, 6)])
        await check_reading(store)
    assert counts_of(path) == (2, 2)
    async with opened(path) as store:
        await check_reading(store)
        head = await store.head("c_1")
        assert head is not None
        assert head.seq == 6


async def check_reading(store: SqliteStore) -> None:
    """From every cursor, with and without bounds."""
    rows = [row_body(1, 1), row_body(2, 2) + row_body(3, 3), row_body(4, 5), row_body(6, 6)]
    read = [await store.read("c_1", after, max_bytes=1000) for after in range(7)]
    assert read == [rows[first:] for first in (0, 1, 1, 2, 2, 3, 4)]
    for after, rest in enumerate(read):
        assert await store.read("c_1", after, max_bytes=1) == rest[:1]


async def test_the_rows_of_a_long_turn_leave_the_tail_before_it_ends(path: Path) -> None:
    store = SqliteStore(path, max_tail_rows=4)
    await store.open()
    long, short = [await fence_of(store, f"c_{name}") for name in ("long", "short")]
    for seq in range(1, 30):
        await store.append([batch_of(long, seq, is_open=True), batch_of(short, seq)])
        await store.compact("c_short", join_all)
    assert await bodies_of(store, "c_long") == [row_body(seq, seq) for seq in range(1, 30)]
    assert counts_of(path)[0] <= 8
    await store.close()


async def test_the_tail_stays_short_however_many_turns_write_at_once(path: Path) -> None:
    store = SqliteStore(path, max_tail_rows=40)
    await store.open()
    fences = [await fence_of(store, f"c_{number}") for number in range(20)]
    for seq in range(1, 60):
        await store.append([batch_of(fence, seq, is_open=True) for fence in fences])
        assert counts_of(path)[0] <= 40 + 5 * len(fences)
    for fence in fences:
        expected = [row_body(seq, seq) for seq in range(1, 60)]
        assert await bodies_of(store, fence.conversation) == expected
    await store.close()


async def test_what_a_deleted_log_left_in_the_tail_is_no_part_of_its_successor(
    path: Path,
) -> None:
    async with opened(path) as store:
        await fill(store, "c_0", 1)
        await fill(store, "c_1", 3)
        await store.delete("c_1")
        assert counts_of(path) == (1, 0)
        fence = await fence_of(store, "c_1", "ann", "another epoch")
        await store.append([batch_of(fence, 1)])
    async with opened(path) as store:
        assert await bodies_of(store, "c_1") == [row_body(1, 1)]
        await store.append([batch_of(fence, 2)])
        assert await bodies_of(store, "c_1") == [row_body(1, 1), row_body(2, 2)]


# Older, newer and foreign files

VERSION_1 = """
    CREATE TABLE conversations (id TEXT PRIMARY KEY, owner TEXT NOT NULL, epoch TEXT NOT NULL,
        seq INTEGER NOT NULL, title TEXT NOT NULL, created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX conversations_by_owner ON conversations (owner, updated_at, id);
    CREATE TABLE batches (conversation TEXT NOT NULL, first_seq INTEGER NOT NULL,
        last_seq INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (conversation, first_seq))
        WITHOUT ROWID;
    INSERT INTO conversations VALUES ('c_1', 'ann', 'epoch', 2, 'Old',
        '2026-01-01T00:00:00.000000Z', '2026-01-02T00:00:00.000000Z');
    INSERT INTO batches VALUES ('c_1', 1, 2, x'6f6c64');
    PRAGMA user_version = 1;
"""


async def test_a_file_of_version_1_is_upgraded_and_its_conversations_count_as_open(
    path: Path,
) -> None:
    run_sql(path, VERSION_1)
    async with opened(path) as store:
        (head,) = await store.orphans()
        assert (head.conversation, head.seq, head.title) == ("c_1", 2, "Old")
        assert await store.count("ann") == 1
        fence = await fence_of(store, "c_1", "ann", "other")
        await store.append([batch_of(fence, 3, is_open=False)])
    async with opened(path) as store:
        assert await store.orphans() == []
        assert await bodies_of(store, "c_1") == [b"old", row_body(3, 3)]


async def test_a_file_of_version_2_is_upgraded_and_takes_blobs(path: Path) -> None:
    version_2 = "ALTER TABLE conversations ADD COLUMN is_open INTEGER NOT NULL DEFAULT 0;"
    run_sql(path, f"{VERSION_1} {version_2} PRAGMA user_version = 2;")
    blob = blob_of("b_1", b"one")
    async with opened(path) as store:
        assert await store.orphans() == []
        assert await bodies_of(store, "c_1") == [b"old"]
        await put(store.blobs, blob, b"one")
    async with opened(path) as store:
        assert await store.blobs.find("b_1") == blob
        assert await bytes_of(store.blobs, "b_1") == b"one"


async def test_a_newer_file_is_refused_with_both_versions_and_left_as_it_is(path: Path) -> None:
    run_sql(path, "CREATE TABLE future (x); PRAGMA user_version = 99;")
    content = content_of(path)
    message = await refusal(path)
    assert str(path) in message
    assert "99" in message
    assert str(VERSION) in message
    assert content_of(path) == content


async def test_the_database_of_another_program_is_refused_and_left_as_it_is(path: Path) -> None:
    run_sql(path, "CREATE TABLE recipes (x);")
    content = content_of(path)
    assert str(path) in await refusal(path)
    assert content_of(path) == content


async def test_a_file_that_is_no_database_is_refused_until_it_is_moved_away(
    path: Path, tmp_path: Path
) -> None:
    diary = tmp_path / "diary"
    diary.write_bytes(b"Dear diary, " * 1000)
    os.rename(diary, path)
    assert str(path) in await refusal(path)
    assert content_of(path) == b"Dear diary, " * 1000
    os.rename(path, diary)
    async with opened(path) as store:
        await fill(store, "c_1", 1)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write any file")
async def test_a_file_that_may_only_be_read_is_refused(path: Path) -> None:
    async with opened(path):
        pass
    os.chmod(path, 0o444)
    assert str(path) in await refusal(path)


async def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    message = await refusal(tmp_path)
    assert str(tmp_path) in message
    assert "it is a folder" in message


async def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "turnwire.db"
    assert str(path) in await refusal(path)


async def test_the_same_file_over_a_link_is_in_use(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    async with opened(path) as store:
        message = await refusal(link)
        assert str(path) in message
        assert "--db" in message
        await store.append([Batch(Fence("c_1", "ann", "epoch"), 1, 1, b"still works", False)])


async def test_what_only_moves_rows_is_not_synced_and_whatever_follows_is(path: Path) -> None:
    def level() -> int:
        assert store._writer is not None
        return int(store._writer.execute("PRAGMA synchronous").fetchone()[0])

    def fail(bodies: list[bytes]) -> list[Row]:
        raise Unreadable("no log")

    levels = []

    def join(bodies: list[bytes]) -> list[Row]:
        levels.append(level())
        return join_all(bodies)

    async with opened(path) as store:
        fence = await fill(store, "c_1", 3)
        await store.compact("c_1", join)
        assert (levels, level()) == ([1], 2)
        await store.append([batch_of(fence, 4), batch_of(fence, 5)])
        with pytest.raises(Unreadable):
            await store.compact("c_1", fail)
        await store.append([batch_of(fence, 6)])
        assert level() == 2

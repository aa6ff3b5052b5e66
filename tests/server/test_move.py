"""`turnwire move`: into PostgreSQL and back nothing is changed; what is in use is left alone."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.kit.fence import fence_of
from tests.kit.postgres import fresh_url
from tests.server.store.store_rows import batch_of, blob_of, bytes_of, fill, join_all, opened, put
from turnwire_server.cli import move
from turnwire_server.store.port import Head, Row, Spent
from turnwire_server.store.postgres import PostgresStore
from turnwire_server.store.sqlite import SqliteStore

DATA = bytes(range(256)) * 3000
SPENT = Spent("2026-01-01", 7, 0.25)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "turnwire.db"


async def moved(source: Path | str, target: Path | str) -> Result:
    """`turnwire move`; it has an event loop of its own, and so needs a thread."""
    arguments = ["--from", str(source), "--to", str(target)]
    return await asyncio.to_thread(CliRunner().invoke, move, arguments)


async def make(path: Path) -> None:
    """Conversations of two owners, one compact, one unfinished; blobs, one of them unused."""
    async with opened(path) as store:
        fences = [await fence_of(store, f"c_{number}") for number in range(250)]
        await store.append([batch_of(fence, 1) for fence in fences])
        await fill(store, "c_long", 8, owner="bob")
        await store.compact("c_long", join_all)
        fence = await fill(store, "c_open", 2)
        late = batch_of(fence, 3, 9, is_open=True, title="Hello", blobs=["b_1"], spent=(SPENT,))
        await store.append([late])
        await put(store.blobs, blob_of("b_1", DATA), DATA, at=10)
        await put(store.blobs, blob_of("b_2", b""), b"", at=20)


Whole = tuple[list[Head], list[list[Row]], list[object]]


async def whole(store: SqliteStore | PostgresStore) -> Whole:
    """Everything in it that anybody could notice."""
    heads = [head for owner in ("ann", "bob") for head in await heads_of(store, owner)]
    rows = [await store.archive.rows(head.conversation) for head in heads]
    rest: list[object] = [
        await bytes_of(store.blobs, "b_1") == DATA,
        await store.blobs.find("b_2"),
        [id async for id in store.blobs.unused(before=15)],
        [id async for id in store.blobs.unused(before=25)],
        await store.spent("ann", SPENT.day),
        [await store.count(owner) for owner in ("ann", "bob")],
        [await store.count_open(owner) for owner in ("ann", "bob")],
        [head.conversation for head in await store.orphans()],
    ]
    return heads, rows, rest


async def heads_of(store: SqliteStore | PostgresStore, owner: str) -> list[Head]:
    """The owner's whole list."""
    return await store.list_heads(owner, limit=1000, before=None)


async def test_what_was_moved_to_postgresql_and_back_is_what_it_was(path: Path) -> None:
    url, back = fresh_url(), path.with_name("back.db")
    await make(path)
    async with opened(path) as store:
        before = await whole(store)
    result = await moved(path, url)
    assert result.output == "252 conversations and 2 blobs have come, 0 and 0 were there before\n"
    async with opened(url) as there:
        assert await whole(there) == before
    result = await moved(url, back)
    assert result.output == "252 conversations and 2 blobs have come, 0 and 0 were there before\n"
    async with opened(back) as again:
        assert await whole(again) == before
        await again.append([batch_of(await fence_of(again, "c_open"), 10)])


async def test_what_was_cut_off_is_repeated_and_what_changed_since_comes_anew(path: Path) -> None:
    url = fresh_url()
    await make(path)
    await moved(path, url)
    async with opened(url) as there:
        await there.delete("c_7")
        await there.blobs.delete("b_1")
    async with opened(path) as store:
        await store.append([batch_of(await fence_of(store, "c_8"), 2)])
        await store.compact("c_8", join_all)
        before = await whole(store)
    result = await moved(path, url)
    assert result.output == "2 conversations and 1 blobs have come, 250 and 1 were there before\n"
    async with opened(url) as there:
        assert await whole(there) == before


async def test_unless_it_is_named_the_source_is_what_serve_would_use(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as store:
        await fill(store, "c_1", 1)
    monkeypatch.setenv("TURNWIRE_DB", str(path))
    target = path.with_name("other.db")
    result = await asyncio.to_thread(CliRunner().invoke, move, ["--to", str(target)])
    assert result.output == "1 conversations and 0 blobs have come, 0 and 0 were there before\n"


async def test_a_conversation_that_has_gone_on_in_the_target_is_not_overwritten(path: Path) -> None:
    url = fresh_url()
    await make(path)
    await moved(path, url)
    async with opened(url) as there:
        await there.append([batch_of(await fence_of(there, "c_8"), 2)])
    result = await moved(path, url)
    assert result.exit_code == 1
    assert "c_8" in result.output
    async with opened(url) as there:
        head = await there.head("c_8")
        assert head is not None
        assert head.seq == 2


async def test_databases_in_use_are_left_alone(path: Path) -> None:
    url = fresh_url()
    await make(path)
    async with opened(url):
        result = await moved(path, url)
        assert (result.exit_code, "stop it first" in result.output) == (1, True)
    async with opened(path):
        result = await moved(path, url)
        assert (result.exit_code, "another process" in result.output) == (1, True)
    async with opened(url) as there:
        assert await heads_of(there, "ann") == []


def test_where_there_is_no_database_none_is_made(path: Path) -> None:
    result = asyncio.run(moved(path, path.with_name("other.db")))
    assert (result.exit_code, "--from" in result.output) == (1, True)
    assert (path.exists(), path.with_name("other.db").exists()) == (False, False)

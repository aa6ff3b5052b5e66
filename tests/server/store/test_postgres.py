"""The PostgreSQL store: its fence, its nodes, and what it refuses."""

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from tests.kit.core import ANNA, HeldModel, core_on
from tests.kit.fence import fence_of
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.postgres import fresh_url
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
from turnwire_protocol import SendBody
from turnwire_protocol.extras import how_to_install
from turnwire_server.errors import Fenced, Rejected, SettingsError, StoreError
from turnwire_server.parts import store_of
from turnwire_server.store.port import Head, Row
from turnwire_server.store.postgres import PostgresStore
from turnwire_server.store.postgres.address import Address
from turnwire_server.store.postgres.schema import VERSION, check_server, upgrade


@pytest.fixture
def url() -> str:
    """A schema that nobody has used."""
    return fresh_url()


async def ask(url: str, statement: str, *parameters: Any) -> list[Any]:
    """What the rows of an answer begin with, from somebody who is no node."""
    connection = await asyncpg.connect(url)
    try:
        return [row[0] for row in await connection.fetch(statement, *parameters)]
    finally:
        await connection.close()


async def bury(url: str, node: str) -> None:
    """Declare a node dead, which knows nothing of it."""
    assert await ask(url, "DELETE FROM nodes WHERE id = $1 RETURNING id", node) == [node]


# The fence


async def test_what_a_dead_node_appends_has_no_effect_and_all_it_held_is_lost(url: str) -> None:
    async with opened(url) as zombie, opened(url) as other:
        one, two = await fill(zombie, "c_1", 2), await fill(zombie, "c_2", 2)
        await bury(url, one.node)
        with pytest.raises(Fenced):
            await zombie.append([batch_of(one, 3), batch_of(two, 3)])
        assert await bodies_of(other, "c_1") == [row_body(1, 1), row_body(2, 2)]
        for fence in (one, two):
            with pytest.raises(Fenced):
                await zombie.append([batch_of(fence, 3)])
            with pytest.raises(Fenced):
                await zombie.reach(fence)
        # It lives on as another node.
        again = await fence_of(zombie, "c_1")
        await zombie.append([batch_of(again, 3)])
        assert again.node != one.node
        assert len(await bodies_of(other, "c_1")) == 3


async def test_of_an_append_with_one_void_fence_nothing_is_stored(url: str) -> None:
    async with opened(url) as store:
        good, bad = await fill(store, "c_1", 1), await fill(store, "c_2", 1)
        await store.delete("c_2")
        await store.append([batch_of(await fence_of(store, "c_2", "ann", "another epoch"), 1)])
        with pytest.raises(Fenced):
            await store.append([batch_of(good, 2), batch_of(bad, 2)])
        with pytest.raises(Fenced):
            await store.append([batch_of(good, 2), batch_of(good, 4)])
        with pytest.raises(Fenced):
            await store.append([batch_of(good, 3)])
        assert await bodies_of(store, "c_1") == [row_body(1, 1)]


async def test_what_an_earlier_connection_still_sends_has_no_effect(url: str) -> None:
    async with opened(url) as store:
        fence = await fill(store, "c_1", 1)
        await ask(url, "UPDATE nodes SET writer = writer + 1 RETURNING 1")
        with pytest.raises(StoreError):
            await store.append([batch_of(fence, 2)])
        assert await store.reach(fence) == 1
        await store.append([batch_of(fence, 2)])
        assert await store.reach(fence) == 2


async def test_an_append_that_meets_the_death_of_its_node_waits_for_it_and_has_no_effect(
    url: str,
) -> None:
    async with opened(url) as store, patience():
        fence = await fill(store, "c_1", 1)
        other = await asyncpg.connect(url)
        transaction = other.transaction()
        await transaction.start()
        await other.execute("DELETE FROM nodes WHERE id = $1", fence.node)
        appending = asyncio.create_task(store.append([batch_of(fence, 2)]))
        # Reads go on meanwhile.
        assert await bodies_of(store, "c_1") == [row_body(1, 1)]
        await transaction.commit()
        with pytest.raises(Fenced):
            await appending
        assert await bodies_of(store, "c_1") == [row_body(1, 1)]
        await other.close()


# Who holds what


async def test_of_eight_nodes_that_claim_a_new_conversation_at_once_one_gets_it(url: str) -> None:
    async with AsyncExitStack() as stack, patience():
        stores = [await stack.enter_async_context(opened(url)) for _ in range(8)]
        for round in range(5):
            id = f"c_{round}"
            claims = await asyncio.gather(
                *(store.claim(id, "ann", f"e_{index}") for index, store in enumerate(stores))
            )
            (winner,) = [index for index, claim in enumerate(claims) if claim.fence is not None]
            fence = claims[winner].fence
            assert fence is not None
            assert fence.epoch == f"e_{winner}"
            assert {claim.holder for claim in claims} == {None, fence.node}
            await stores[winner].append([batch_of(fence, 1, is_open=True)])
            late = await stores[winner - 1].claim(id, "ann", "late")
            assert (late.fence, late.head, late.is_open) == (None, 1, True)


async def test_what_is_let_go_of_is_the_next_one_s_and_the_old_fence_is_void(url: str) -> None:
    async with opened(url) as one, opened(url) as two:
        fence = await fill(one, "c_1", 2)
        held = await two.head("c_1")
        assert held is not None
        assert held.holder == fence.node
        await one.append([batch_of(fence, 3, releases=True)])
        claim = await two.claim("c_1", "ann", "other")
        assert claim.fence == fence
        assert (claim.head, claim.is_open) == (3, False)
        with pytest.raises(Fenced):
            await one.append([batch_of(fence, 4)])
        with pytest.raises(Fenced):
            await one.delete("c_1")
        await one.append([batch_of(fence, 3, releases=True)])  # A repetition, which is passed over.
        assert (await one.claim("c_1", "ann", "")).holder is not None


async def test_a_dead_node_leaves_its_unfinished_conversations_as_orphans(url: str) -> None:
    async with opened(url) as dead, opened(url) as other:
        fence = await fence_of(dead, "c_1")
        await dead.append([batch_of(fence, 1, is_open=True)])
        await fill(dead, "c_2", 1)
        await fence_of(dead, "c_unbegun")
        assert await other.orphans() == []
        await bury(url, fence.node)
        assert [head.conversation for head in await other.orphans()] == ["c_1"]
        claims = [await other.claim(id, "ann", "") for id in ("c_1", "c_2")]
        assert [claim.is_open for claim in claims] == [True, False]
        assert await other.orphans() == []
        assert await ask(url, "SELECT id FROM conversations WHERE id = 'c_unbegun'") == []


async def test_a_node_whose_lease_has_run_out_is_declared_dead(url: str) -> None:
    other = PostgresStore(url, lease_seconds=0.2)
    async with opened(url) as silent, patience():
        await other.open()
        fence = await fence_of(silent, "c_1")
        await silent.append([batch_of(fence, 1, is_open=True)])
        query = "UPDATE nodes SET lease_until = 'yesterday' WHERE id = $1 RETURNING 1"
        await ask(url, query, fence.node)
        while not await other.orphans():  # noqa: ASYNC110 (PostgreSQL may have just been started)
            await asyncio.sleep(0.01)
        await other.close()


async def test_who_comes_to_the_same_place_finds_its_predecessor_dead(url: str) -> None:
    killed, next = PostgresStore(url, node="here"), PostgresStore(url, node="here")
    async with opened(url) as elsewhere:
        await killed.open()
        mine, its = await fence_of(killed, "c_1"), await fence_of(elsewhere, "c_2")
        await killed.append([batch_of(mine, 1, is_open=True)])
        await elsewhere.append([batch_of(its, 1, is_open=True)])
        await next.open()
        assert [head.conversation for head in await next.orphans()] == ["c_1"]
        with pytest.raises(Fenced):
            await killed.append([batch_of(mine, 2)])
        await elsewhere.append([batch_of(its, 2)])
        await killed.close()
        await next.close()


async def test_a_node_that_closes_leaves_everything_to_others_at_once(url: str) -> None:
    async with opened(url) as other:
        async with opened(url) as store:
            await fill(store, "c_1", 1)
            await fence_of(store, "c_unbegun")
        assert (await other.claim("c_1", "ann", "")).fence is not None
        assert await ask(url, "SELECT count(*) FROM nodes") == [1]
        assert await ask(url, "SELECT id FROM conversations") == ["c_1"]


async def test_a_living_node_is_kept_alive_by_its_heartbeat(url: str) -> None:
    store = PostgresStore(url, lease_seconds=0.3)
    async with patience():
        await store.open()
        fence = await fence_of(store, "c_1")
        query = """SELECT 1 FROM nodes
            WHERE id = $1 AND lease_until > started_at + interval '0.35 s'"""
        while not await ask(url, query, fence.node):  # noqa: ASYNC110 (nobody is told)
            await asyncio.sleep(0.01)
        await store.close()


async def test_a_message_that_is_refused_leaves_no_trace_of_the_conversation_it_would_begin(
    url: str,
) -> None:
    store = PostgresStore(url)
    core = core_on(store, HeldModel())
    async with patience():
        await core.start()
        for key in (None, "k"):
            with pytest.raises(Rejected):
                await core.send(ANNA, SendBody(content="Hello", key=key, model="no such model"))
        # In the background: a store that hangs must not hold up the refusal.
        while await ask(url, "SELECT id FROM conversations"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        ack = (await core.send(ANNA, SendBody(content="Hello", key="k"))).ack
        await core.close()
    assert await ask(url, "SELECT id FROM conversations") == [ack.conversation]


# Rows


async def test_long_logs_of_short_rows_are_read_a_part_at_a_time(url: str) -> None:
    async with opened(url) as store:
        fence = await fence_of(store, "c_1")
        await store.append([batch_of(fence, seq) for seq in range(1, 2501)])
        seq, read = 0, []
        while bodies := await store.read("c_1", seq, max_bytes=2**30):
            read += bodies
            seq = len(read)
        assert read == [row_body(seq, seq) for seq in range(1, 2501)]


async def test_rows_that_somebody_else_has_joined_first_are_left_alone(url: str) -> None:
    async with opened(url) as store, opened(url) as other:
        await fill(store, "c_1", 4)
        loop = asyncio.get_running_loop()

        def join(bodies: list[bytes]) -> list[Row]:
            asyncio.run_coroutine_threadsafe(other.compact("c_1", join_all), loop).result(
                PATIENCE_SECONDS
            )
            return join_all(bodies)

        with pytest.raises(StoreError):
            await store.compact("c_1", join)
        assert len(await bodies_of(store, "c_1")) == 1


async def test_joining_the_rows_of_what_is_deleted_meanwhile_brings_none_of_them_back(
    url: str,
) -> None:
    async with opened(url) as store:
        await fill(store, "c_1", 4)
        loop = asyncio.get_running_loop()

        def join(bodies: list[bytes]) -> list[Row]:
            gone = asyncio.run_coroutine_threadsafe(store.delete("c_1"), loop)
            gone.result(PATIENCE_SECONDS)
            return join_all(bodies)

        with pytest.raises(StoreError):
            await store.compact("c_1", join)
        assert await ask(url, "SELECT count(*) FROM batches") == [0]


async def test_a_nul_which_postgresql_does_not_take_stops_no_commit(url: str) -> None:
    async with opened(url) as store:
        fence = await fence_of(store, "c_1")
        await store.append([batch_of(fence, 1, title="one\0two")])
        head = await store.head("c_1")
        assert head is not None
        assert head.title == "one\ufffdtwo"
        await store.rename("c_1", "a\0b")
        assert await store.head("c_\0") is None
        await store.list_heads("ann", limit=9, before="\0|\0")
        assert await store.blobs.find("b_\0") is None
        with pytest.raises(StoreError):
            await store.claim("c_2", "a\0b", "epoch")


async def test_what_an_upload_of_a_dead_node_has_left_is_removed_and_of_a_living_one_stays(
    url: str,
) -> None:
    async with opened(url) as dead, opened(url) as other:
        cut = await dead.blobs.spool()
        await cut.write(b"half")
        under_way = await other.blobs.spool()
        await under_way.write(b"one")
        await put(other.blobs, blob_of("b_2", b"two"), b"two")
        assert not await other.blobs.tidy()
        await bury(url, (await fence_of(dead, "c_1")).node)
        assert await other.blobs.tidy()
        assert not await other.blobs.tidy()
        with pytest.raises(StoreError):
            await cut.put(blob_of("b_1", b"half"), at=0)
        await under_way.put(blob_of("b_3", b"one"), at=0)
        assert await bytes_of(other.blobs, "b_3") == b"one"
        assert await ask(url, "SELECT count(*) FROM blob_parts") == [3]


# Opening


async def test_nodes_that_open_a_new_database_at_once_make_its_tables_once(url: str) -> None:
    stores = [PostgresStore(url) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    await fill(stores[0], "c_1", 1)
    heads = [await store.head("c_1") for store in stores]
    assert all(isinstance(head, Head) for head in heads)
    for store in stores:
        await store.close()


async def refusal(url: str) -> str:
    """What is said when the store cannot be opened."""
    with pytest.raises(SettingsError) as refused:
        await PostgresStore(url).open()
    assert str(refused.value).startswith("db: ")
    assert "secret" not in str(refused.value)
    return str(refused.value)


async def test_a_database_that_a_newer_program_has_written_is_refused(url: str) -> None:
    async with opened(url):
        pass
    await ask(url, "UPDATE meta SET version = version + 1 RETURNING 1")
    assert f"version {VERSION + 1}" in await refusal(url)


async def test_a_schema_of_another_program_is_refused_and_left_as_it_is(url: str) -> None:
    schema = url.rpartition("=")[2]
    await ask(url, f'CREATE SCHEMA "{schema}"')
    await ask(url, "CREATE TABLE theirs (id int)")
    assert "another program" in await refusal(url)
    tables = await ask(url, "SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    assert tables == ["theirs"]


async def test_a_role_that_does_not_wait_for_its_commits_is_refused(url: str) -> None:
    assert "synchronous_commit" in await refusal(f"{url}&synchronous_commit=off")


async def test_a_connection_that_hears_nothing_as_through_some_poolers_is_refused(url: str) -> None:
    async with AsyncExitStack() as stack:
        here = await asyncpg.connect(url)
        stack.push_async_callback(here.close)
        # Nothing is heard of another database either.
        elsewhere = await asyncpg.connect(url.replace("/postgres?", "/template1?"))
        stack.push_async_callback(elsewhere.close)
        await check_server(here, here)
        with pytest.raises(SettingsError) as refused:
            await check_server(here, elsewhere, listen_seconds=0.1)
        assert "LISTEN" in str(refused.value)


async def test_a_pooler_that_drops_the_schema_is_refused_before_anything_is_made(url: str) -> None:
    connection = await asyncpg.connect(url)
    with pytest.raises(SettingsError):
        await upgrade(connection, "another")
    assert not await connection.fetch("SELECT FROM pg_namespace WHERE nspname = 'another'")
    await connection.close()


async def test_a_server_that_takes_no_writes_is_refused(url: str) -> None:
    assert "name the primary" in await refusal(f"{url}&default_transaction_read_only=on")


@pytest.mark.parametrize(
    ("host", "is_refused"),
    [
        ("db.example.com", True),
        ("db.example.com:5432", True),
        ("10.0.0.7", True),
        ("localhost,10.0.0.7", True),
        ("[2001:db8::1]:5432", True),
        ("localhost", False),
        ("127.0.0.1:5432", False),
        ("[::1]:5432", False),
        ("%2Frun%2Fpostgresql", False),
    ],
)
async def test_without_a_word_of_tls_only_this_machine_is_connected_to(
    host: str, is_refused: bool
) -> None:
    address = Address(f"postgresql://ann:secret@{host}/chat")
    if not is_refused:
        address.check()
        return
    with pytest.raises(SettingsError) as refused:
        address.check()
    assert "sslmode=require" in str(refused.value)
    Address(f"postgresql://ann:secret@{host}/chat?sslmode=disable").check()


async def test_a_server_that_is_not_there_is_named_without_the_password() -> None:
    said = await refusal("postgresql://ann:secret@127.0.0.1:1/chat")
    assert "127.0.0.1" in said
    assert "--db" in said


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("turnwire_server.store.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(SettingsError) as refused:
        store_of("postgresql://localhost/chat")
    assert str(refused.value) == f"db: needs the package asyncpg: {how_to_install('postgres')}"

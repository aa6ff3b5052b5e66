"""What nodes of one PostgreSQL tell each other, and what becomes of it where that goes wrong."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import pytest

from tests.kit.fence import fence_of
from tests.kit.patience import patience
from tests.kit.postgres import fresh_url
from tests.server.store.store_rows import batch_of, fill, row_body
from turnwire_server.errors import StoreError
from turnwire_server.store.nodes import News, Watcher
from turnwire_server.store.postgres import PostgresStore
from turnwire_server.store.postgres.nodes import PostgresNodes


class Node:
    """A store that is open, and what it was told."""

    def __init__(self, url: str) -> None:
        self.store = PostgresStore(url)
        self.nodes: PostgresNodes = self.store.nodes
        self.rows: list[str] = []
        self.readers: list[str] = []
        self.losses = 0
        self.failovers = 0
        self.errands: list[str] = []
        self.is_silent = False
        self._told = asyncio.Event()

    async def start(self) -> None:
        """Open it and listen."""
        await self.store.open()
        await self.nodes.start(
            Watcher(
                on_rows=lambda ids: self._take(self.rows, ids),
                on_readers=lambda ids: self._take(self.readers, ids),
                on_lost=self._lose,
                on_failover=self._fail_over,
                on_errand=self._do,
            ),
            {},
        )

    async def close(self) -> None:
        """Leave."""
        await self.nodes.close()
        await self.store.close()

    async def name(self) -> str:
        """What the others know it by."""
        claim = await self.store.claim("c_name", "ann", "epoch")
        assert claim.fence is not None
        await self.store.release(claim.fence)
        return claim.fence.node

    def _take(self, heard: list[str], ids: Iterable[str]) -> None:
        heard += ids
        self._told.set()

    def _lose(self) -> None:
        self.losses += 1
        self._told.set()

    def _fail_over(self) -> None:
        self.failovers += 1
        self._told.set()

    async def _do(self, errand: str) -> str:
        self.errands.append(errand)
        self._told.set()
        if self.is_silent:
            await asyncio.Event().wait()
        return f"done: {errand}"

    async def told(self, what: list[str], id: str) -> None:
        """Once it was told that."""
        async with patience():
            while id not in what:
                self._told.clear()
                await self._told.wait()


@pytest.fixture
async def url() -> str:
    """A database of this test's own."""
    return fresh_url()


@asynccontextmanager
async def nodes(url: str, count: int = 2) -> AsyncIterator[list[Node]]:
    """So many that are alive."""
    async with AsyncExitStack() as stack:
        several = [Node(url) for _ in range(count)]
        for node in several:
            await node.start()
            stack.push_async_callback(node.close)
        yield several


async def execute(url: str, statement: str) -> None:
    """As somebody from outside."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def test_what_is_asked_of_a_node_it_answers(url: str) -> None:
    async with nodes(url) as (a, b):
        asked = [a.nodes.ask(await b.name(), f"{number} \N{SNOWMAN}") for number in range(20)]
        answers = await asyncio.gather(*asked)
        assert answers == [f"done: {number} \N{SNOWMAN}" for number in range(20)]
        assert sorted(b.errands) == sorted(f"{number} \N{SNOWMAN}" for number in range(20))


async def test_what_is_not_answered_in_time_is_not_done_later(url: str) -> None:
    async with nodes(url, 1) as (a,):
        a.nodes._ask_seconds = 0.05
        with pytest.raises(StoreError):
            await a.nodes.ask("n_nobody", "late")
        await a.nodes.attend("c_1")  # What was said before has arrived.
        connection = await asyncpg.connect(url)
        try:
            assert await connection.fetchval("SELECT count(*) FROM mail") == 0
        finally:
            await connection.close()


async def test_what_was_given_up_before_it_could_be_said_is_never_said(url: str) -> None:
    async with nodes(url, 1) as (a,):
        a.nodes._ask_seconds = 0.05
        connection = await asyncpg.connect(url)
        try:
            async with connection.transaction():
                await connection.execute("LOCK TABLE mail")
                attending = asyncio.create_task(a.nodes.attend("c_1"))
                waits = """SELECT EXISTS (SELECT FROM pg_stat_activity
                    WHERE application_name = 'turnwire messenger'
                        AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"""
                async with patience():
                    while not await connection.fetchval(waits):
                        # Within a transaction it stays as it was first seen.
                        await connection.execute("SELECT pg_stat_clear_snapshot()")
                with pytest.raises(StoreError):
                    await a.nodes.ask("n_nobody", "late")
            await attending
            await a.nodes.attend("c_2")  # What was said before has arrived.
            assert await connection.fetchval("SELECT count(*) FROM mail") == 0
        finally:
            await connection.close()


async def test_an_answer_that_comes_too_late_is_nobodys(url: str) -> None:
    async with nodes(url) as (a, b):
        b.is_silent = True
        a.nodes._ask_seconds = 0.05
        with pytest.raises(StoreError):
            await a.nodes.ask(await b.name(), "slow")
        await b.told(b.errands, "slow")


async def test_the_holder_is_told_who_reads_and_wakes_them(url: str) -> None:
    async with nodes(url, 3) as (a, b, c):
        await fill(a.store, "c_1", 1)
        await b.nodes.attend("c_1")
        await a.told(a.readers, "c_1")
        await c.nodes.attend("c_1")
        readers = await a.nodes.readers("c_1")
        assert sorted(readers) == sorted([await b.name(), await c.name()])
        assert await b.nodes.readers("c_1") == [await c.name()], "of itself it is not told"
        for reader in readers:
            a.nodes.wake(reader, "c_1")
        await b.told(b.rows, "c_1")
        await c.told(c.rows, "c_1")
        c.nodes.leave("c_1")
        b.nodes.leave("c_1")
        await b.nodes.attend("c_1")
        await c.nodes.attend("c_2")
        assert await a.nodes.readers("c_1") == [await b.name()], "what was said last counts"


async def test_many_wakes_at_once_are_all_heard(url: str) -> None:
    """More than one bell takes."""
    async with nodes(url) as (a, b):
        ids = [f"c_{number:0120}" for number in range(300)]
        name = await b.name()
        for id in ids:
            a.nodes.wake(name, id)
        for id in ids:
            await b.told(b.rows, id)


async def test_what_is_new_of_many_conversations_is_read_at_once(url: str) -> None:
    async with nodes(url) as (a, b):
        fence = await fill(a.store, "c_1", 3)
        await fill(a.store, "c_2", 1)
        await a.store.append([batch_of(fence, 4, 9), batch_of(fence, 10)])
        rows = [row_body(3, 3), row_body(4, 9), row_body(10, 10)]
        holder = await a.name()
        found = {
            after: await b.nodes.news({"c_1": after, "c_2": 1, "c_3": 0})
            for after in (2, 3, 5, 9, 10)
        }
        for after, first in ((2, 0), (3, 1), (5, 1), (9, 2), (10, 3)):
            assert found[after] == {
                "c_1": News("epoch", holder, rows[first:], is_whole=True),
                "c_2": News("epoch", holder, [], is_whole=True),
            }
        assert (await a.nodes.news({"c_1": 10}))["c_1"].holder is None, "that is itself"


async def test_of_a_long_log_it_is_said_that_there_is_more(url: str) -> None:
    async with nodes(url, 1) as (a,):
        fence = await fence_of(a.store, "c_1")
        await a.store.append([batch_of(fence, seq) for seq in range(1, 100)])
        news = (await a.nodes.news({"c_1": 0}))["c_1"]
        assert (news.bodies[0], news.is_whole) == (row_body(1, 1), False)


async def test_who_lost_its_connections_is_heard_and_hears_again(url: str) -> None:
    async with nodes(url) as (a, b):
        await fill(a.store, "c_1", 1)
        await b.nodes.attend("c_1")
        name = await b.name()
        await execute(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name IN ('turnwire listener', 'turnwire messenger')",
        )
        b.rows.clear()
        await b.told(b.rows, "c_1")
        assert await a.nodes.ask(name, "still there?") == "done: still there?"
        assert await a.nodes.readers("c_1") == [name]


async def test_a_node_that_was_declared_dead_says_so_and_comes_back_as_another(url: str) -> None:
    async with nodes(url) as (a, b):
        await fill(a.store, "c_1", 1)
        await b.nodes.attend("c_1")
        before = await b.name()
        await execute(url, f"DELETE FROM nodes WHERE id = '{before}'")
        assert await a.nodes.readers("c_1") == []
        async with patience():
            while (now := await b.name()) == before:
                pass
        assert b.losses == 1
        assert await a.nodes.ask(now, "who are you?") == "done: who are you?"
        async with patience():
            while await a.nodes.readers("c_1") != [now]:
                pass

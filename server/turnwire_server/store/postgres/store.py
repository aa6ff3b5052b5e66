"""The store for several processes: a PostgreSQL; knows no items, only their bytes.

One connection appends, a few are borrowed for everything else, and one keeps the node alive.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

from turnwire_server.errors import Fenced, SettingsError, StoreError
from turnwire_server.store.archive import Archive
from turnwire_server.store.port import Batch, Claim, Fence, Head, Row, Spent, reach_of
from turnwire_server.store.postgres import schema, statements
from turnwire_server.store.postgres.address import FAILURES, Address, Session, answering, told
from turnwire_server.store.postgres.append import append
from turnwire_server.store.postgres.archive import PostgresArchive
from turnwire_server.store.postgres.blobs import PostgresBlobs
from turnwire_server.store.postgres.node import PostgresNode
from turnwire_server.store.postgres.nodes import PostgresNodes
from turnwire_server.store.postgres.text import shown, storable
from turnwire_server.store.postgres.writer import PostgresWriter, Writing

__all__ = ["LEASE_SECONDS", "PostgresStore"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

LEASE_SECONDS = 15.0
"""After so long without a word a node is dead."""


class PostgresStore:
    """`Store` over one database, which many processes may share; each is a node.

    `url` is that of a PostgreSQL, `postgresql://…`. `node` names the place of this process, see
    `PostgresNode`.
    """

    is_shared = True

    def __init__(
        self, url: str, *, node: str | None = None, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._address = Address(url)
        self.node = PostgresNode(self._address, name=node, lease_seconds=lease_seconds)
        """This process as a node of the database."""
        self._writer = PostgresWriter(self._address, self.node)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self.blobs = PostgresBlobs(self._ask)
        """See `Store.blobs`."""
        self.archive: Archive = PostgresArchive(self._ask)
        """All that is in the database."""
        self.nodes = PostgresNodes(self._address, self.node, self._ask)
        """See `Store.nodes`."""

    async def open(self) -> None:
        """See `Store.open`. Whoever had this node's name before is dead from now on.

        Raises:
            SettingsError: not reachable, not usable, or too new.
        """
        self._address.check()
        try:
            connection = await self._address.connect("heartbeat")
            try:
                other = await self._address.connect("check")
                try:
                    await schema.check_server(connection, other)
                finally:
                    other.terminate()
                await schema.upgrade(connection, self._address.schema)
                await self.node.start(connection)
            except BaseException:
                connection.terminate()
                raise
            self._pool = await self._address.pool("reader")
        except FAILURES as error:
            raise _refused(error, self._address) from error

    async def close(self) -> None:
        """Let go of everything, so that other nodes may have it at once."""
        await self._writer.close()
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.terminate()
        await self.node.close()

    async def claim(
        self, conversation: str, owner: str, epoch: str, *, is_new: bool = False
    ) -> Claim:
        """See `Store.claim`."""
        storable(conversation + owner)

        async def claim(session: Session, node: str) -> Claim:
            while (claim := await statements.claim(session, node, conversation, owner, epoch)) is (
                None
            ):
                self.node.lose(node)
                node = await self.node.id(session)
            return claim

        return await self._ask(claim)

    async def release(self, fence: Fence) -> None:
        """See `Store.release`."""
        await self._ask(lambda session, _: statements.release(session, fence))

    async def append(self, batches: list[Batch]) -> None:
        """See `Store.append`. Fenced means: this node was declared dead; or the conversation was
        deleted meanwhile."""
        # Without batches it is a commit that changes nothing but the lease.
        await self._writer.run(lambda writing: append(writing, batches, self.node))

    async def reach(self, fence: Fence) -> int:
        """See `Store.reach`."""
        return reach_of(fence, await self._writer.run(lambda writing: _head(writing, fence)))

    async def read(self, conversation: str, after: int, *, max_bytes: int) -> list[bytes]:
        """See `Store.read`. Of short rows there may be more."""
        return await self._ask(
            lambda session, _: statements.read(session, shown(conversation), after, max_bytes)
        )

    async def compact(
        self, conversation: str, join: Callable[[list[bytes]], list[Row]], *, after: int = 0
    ) -> None:
        """See `Store.compact`. `join` runs on a thread.

        Raises:
            ValueError: what `join` returned does not cover the same seqs; nothing was changed.
        """
        await self._ask(lambda session, _: statements.compact(session, conversation, join, after))

    async def head(self, conversation: str) -> Head | None:
        """See `Store.head`."""
        return await self._ask(
            lambda session, node: statements.read_head(session, node, shown(conversation))
        )

    async def list_heads(
        self, owner: str, *, limit: int, before: str | None, query: str | None = None
    ) -> list[Head]:
        """See `Store.list_heads`."""
        before = before and shown(before)
        query = query and shown(query)
        return await self._ask(
            lambda session, node: statements.list_heads(session, node, owner, limit, before, query)
        )

    async def list_hidden(self, *, before: str, limit: int) -> list[Head]:
        """See `Store.list_hidden`."""
        return await self._ask(
            lambda session, node: statements.list_hidden(session, node, before, limit)
        )

    async def orphans(self) -> list[Head]:
        """See `Store.orphans`. Nodes whose lease has run out are dead from now on."""

        async def orphans(session: Session, node: str) -> list[Head]:
            for dead in await statements.declare_dead(session, self.node.lease_seconds):
                logger.warning("node=%s is dead: its lease has run out", dead)
                self.node.lose(dead)
            return await statements.orphans(session, node)

        return await self._ask(orphans)

    async def count_open(self, owner: str) -> int:
        """See `Store.count_open`."""
        return await self._ask(lambda session, _: statements.count_open(session, owner))

    async def count(self, owner: str) -> int:
        """See `Store.count`."""
        return await self._ask(lambda session, _: statements.count(session, owner))

    async def spent(self, owner: str, day: str) -> Spent:
        """See `Store.spent`."""
        return await self._ask(lambda session, _: statements.read_spent(session, owner, day))

    async def rename(self, conversation: str, title: str) -> None:
        """See `Store.rename`."""
        await self._ask(lambda session, _: statements.rename(session, conversation, title))

    async def delete(self, conversation: str) -> None:
        """See `Store.delete`. In the order of the appends: none of them comes after it.

        Raises:
            Fenced: another node holds it.
        """
        await self._writer.run(
            lambda writing: statements.delete(writing.connection, writing.node, conversation)
        )

    async def _ask(self, work: Callable[[Session, str], Awaitable[T]]) -> T:
        """Do something with a borrowed connection, in the name of the living node."""
        if self._pool is None:
            raise StoreError("the store is not open")
        with answering():
            async with self._pool.acquire() as session:
                return await work(session, await self.node.id(session))


async def _head(writing: Writing, fence: Fence) -> Head | None:
    if fence.node != writing.node:
        raise Fenced(f"{fence.conversation} was held by {fence.node}, which died")
    return await statements.read_head(writing.connection, writing.node, fence.conversation)


def _refused(error: BaseException, address: Address) -> SettingsError:
    """Why the store cannot be opened, with the remedy."""
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return SettingsError("db: this server is a standby; name the primary")
    if "unsupported startup parameter" in str(error):
        return SettingsError(schema.NO_LISTEN)
    where = ", ".join(address.hosts) or "its usual place"
    return SettingsError(
        f"db: PostgreSQL at {where} cannot be used: {told(error)}."
        " Start it, or give another address with --db"
    )

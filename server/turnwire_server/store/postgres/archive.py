"""The whole of a PostgreSQL store, see `store.archive`."""

from turnwire_server.store.archive import Archived, Spending
from turnwire_server.store.port import Blob, Head, Row, Spent
from turnwire_server.store.postgres.address import Ask, Session
from turnwire_server.store.postgres.text import shown, storable

__all__ = ["PostgresArchive"]

_PAGE = 200
_MOVED = "moved"
"""Stands for the node of what another store has counted."""


class PostgresArchive:
    """`Archive` of one database."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def is_alone(self) -> bool:
        """See `Archive.is_alone`: who died a moment ago counts until its lease has run out."""
        query = "SELECT count(*) FROM nodes WHERE id <> $1 AND lease_until > clock_timestamp()"
        return not await self._ask(lambda session, node: session.fetchval(query, node))

    async def conversations(self, after: str) -> list[Archived]:
        """See `Archive.conversations`."""
        query = f"""SELECT id, owner, epoch, 0, title, created_at, updated_at, is_open,
                ARRAY(SELECT blob FROM blob_uses WHERE conversation = conversations.id)
            FROM conversations WHERE created_at IS NOT NULL AND id > $1 ORDER BY id LIMIT {_PAGE}"""
        rows = await self._ask(lambda session, _: session.fetch(query, after))
        return [Archived(Head(*tuple(row)[:7]), row[7], frozenset(row[8])) for row in rows]

    async def rows(self, conversation: str) -> list[Row]:
        """See `Archive.rows`."""
        query = """SELECT first_seq, last_seq, body FROM batches
            WHERE conversation = $1 ORDER BY first_seq"""
        rows = await self._ask(lambda session, _: session.fetch(query, conversation))
        return [Row(*row) for row in rows]

    async def blobs(self, after: str) -> list[tuple[Blob, int]]:
        """See `Archive.blobs`."""
        query = f"""SELECT id, owner, media_type, bytes, put_at FROM blobs
            WHERE id > $1 ORDER BY id LIMIT {_PAGE}"""
        rows = await self._ask(lambda session, _: session.fetch(query, after))
        return [(Blob(*tuple(row)[:4]), row[4]) for row in rows]

    async def spendings(self) -> list[Spending]:
        """See `Archive.spendings`."""
        query = """SELECT owner, day, sum(tokens)::bigint, sum(cost_usd)::float8
            FROM spent GROUP BY owner, day"""
        rows = await self._ask(lambda session, _: session.fetch(query))
        return [Spending(owner, Spent(*spent)) for owner, *spent in map(tuple, rows)]

    async def take(self, archived: Archived, rows: list[Row]) -> None:
        """See `Archive.take`."""
        await self._ask(lambda session, _: _take(session, archived, rows))

    async def take_spendings(self, spendings: list[Spending]) -> None:
        """See `Archive.take_spendings`."""
        await self._ask(
            lambda session, _: session.execute(
                """INSERT INTO spent SELECT owner, day, $1, tokens, cost_usd
                    FROM unnest($2::text[], $3::text[], $4::bigint[], $5::float8[])
                        AS given (owner, day, tokens, cost_usd)
                    ON CONFLICT (owner, day, node) DO UPDATE
                        SET tokens = excluded.tokens, cost_usd = excluded.cost_usd""",
                _MOVED,
                [storable(spending.owner) for spending in spendings],
                [spending.spent.day for spending in spendings],
                [spending.spent.tokens for spending in spendings],
                [spending.spent.cost_usd for spending in spendings],
            )
        )


async def _take(session: Session, archived: Archived, rows: list[Row]) -> None:
    head = archived.head
    async with session.transaction():
        await session.execute(
            """INSERT INTO conversations
                    (id, owner, epoch, is_open, title, created_at, updated_at, server)
                VALUES ($1, $2, $3, $4, $5, $6, $7, this_server())""",
            head.conversation,
            storable(head.owner),
            head.epoch,
            archived.is_open,
            shown(head.title),
            head.created_at,
            head.updated_at,
        )
        await session.execute(
            "INSERT INTO batches SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bytea[])",
            head.conversation,
            [row.first_seq for row in rows],
            [row.last_seq for row in rows],
            [row.body for row in rows],
        )
        await session.execute(
            "INSERT INTO blob_uses SELECT $1, * FROM unnest($2::text[])",
            head.conversation,
            sorted(archived.blobs),
        )

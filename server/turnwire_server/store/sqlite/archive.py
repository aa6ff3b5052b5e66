"""The whole of a SQLite store, see `store.archive`."""

import sqlite3

from turnwire_server.store.archive import Archived, Spending
from turnwire_server.store.port import Blob, Head, Row, Spent
from turnwire_server.store.sqlite.blobs import ReadLog, Run

__all__ = ["SqliteArchive"]

_PAGE = 200


class SqliteArchive:
    """`Archive` of one file, whose lock the store holds.

    `write` commits what its work does, `read` sees what is committed. `read_log` gives the rows of
    a log that hold anything after a seq, up to about so many bytes.
    """

    def __init__(self, *, write: Run, read: Run, read_log: ReadLog) -> None:
        self._write = write
        self._read = read
        self._read_log = read_log

    async def is_alone(self) -> bool:
        """Whoever has it open has the lock of the file."""
        return True

    async def conversations(self, after: str) -> list[Archived]:
        """See `Archive.conversations`."""
        return await self._read(lambda reader: _conversations(reader, after))

    async def rows(self, conversation: str) -> list[Row]:
        """See `Archive.rows`."""
        return await self._read_log(conversation, 0, 2**62)

    async def blobs(self, after: str) -> list[tuple[Blob, int]]:
        """See `Archive.blobs`."""
        query = """SELECT id, owner, media_type, bytes, put_at FROM blobs
            WHERE id > ? ORDER BY id LIMIT ?"""
        rows = await self._read(lambda reader: reader.execute(query, (after, _PAGE)).fetchall())
        return [(Blob(*row[:4]), row[4]) for row in rows]

    async def spendings(self) -> list[Spending]:
        """See `Archive.spendings`."""
        query = "SELECT owner, day, tokens, cost_usd FROM spent"
        rows = await self._read(lambda reader: reader.execute(query).fetchall())
        return [Spending(owner, Spent(*spent)) for owner, *spent in rows]

    async def take(self, archived: Archived, rows: list[Row]) -> None:
        """See `Archive.take`."""
        await self._write(lambda writer: _take(writer, archived, rows))

    async def take_spendings(self, spendings: list[Spending]) -> None:
        """See `Archive.take_spendings`. Of two sums the greater is right: both are of that day."""
        query = """INSERT INTO spent (owner, day, tokens, cost_usd) VALUES (?, ?, ?, ?)
            ON CONFLICT DO UPDATE SET tokens = max(tokens, excluded.tokens),
                cost_usd = max(cost_usd, excluded.cost_usd)"""
        rows = [(spending.owner, *spending.spent) for spending in spendings]
        await self._write(lambda writer: writer.executemany(query, rows))


def _conversations(reader: sqlite3.Connection, after: str) -> list[Archived]:
    query = """SELECT id, owner, epoch, seq, title, created_at, updated_at, is_open
        FROM conversations WHERE id > ? ORDER BY id LIMIT ?"""
    uses = "SELECT blob FROM blob_uses WHERE conversation = ?"
    return [
        Archived(
            Head(*row[:7]),
            bool(row[7]),
            frozenset(blob for (blob,) in reader.execute(uses, (row[0],)).fetchall()),
        )
        for row in reader.execute(query, (after, _PAGE)).fetchall()
    ]


def _take(writer: sqlite3.Connection, archived: Archived, rows: list[Row]) -> None:
    head = archived.head
    writer.executemany(
        "INSERT INTO batches VALUES (?, ?, ?, ?)", [(head.conversation, *row) for row in rows]
    )
    writer.executemany(
        "INSERT OR IGNORE INTO blob_uses VALUES (?, ?)",
        [(head.conversation, blob) for blob in archived.blobs],
    )
    writer.execute(
        "INSERT INTO conversations"
        " (id, owner, epoch, seq, title, created_at, updated_at, is_open)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            head.conversation,
            head.owner,
            head.epoch,
            rows[-1].last_seq if rows else 0,
            head.title,
            head.created_at,
            head.updated_at,
            archived.is_open,
        ),
    )

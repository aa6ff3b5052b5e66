"""The statements of the SQLite store that concern blobs; knows no files, threads or commits."""

import sqlite3
from collections.abc import Iterable

from turnwire_server.store.port import Blob, Usage

__all__ = [
    "delete",
    "find",
    "forget_unmoved",
    "known",
    "next_unmoved",
    "next_unread_log",
    "page_of_unused",
    "put",
    "read_unmoved",
    "record_uses",
    "usage",
]

_UNUSED = """put_at < ? AND NOT EXISTS (SELECT 1 FROM blob_uses WHERE blob = blobs.id)
    AND NOT EXISTS (SELECT 1 FROM unread_logs)"""


# In a transaction of the caller


def put(connection: sqlite3.Connection, blob: Blob, at: int) -> None:
    """See `Spool.put`."""
    connection.execute(
        "INSERT INTO blobs (id, owner, media_type, bytes, put_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET put_at = excluded.put_at",
        (blob.id, blob.owner, blob.media_type, blob.bytes, at),
    )


def delete(connection: sqlite3.Connection, id: str, unused_before: int | None) -> bool:
    """See `BlobStore.delete`."""
    if unused_before is None:
        gone = connection.execute("DELETE FROM blobs WHERE id = ?", (id,))
    else:
        query = f"DELETE FROM blobs WHERE id = ? AND {_UNUSED}"
        gone = connection.execute(query, (id, unused_before))
    if gone.rowcount == 0:
        return False
    connection.execute("DELETE FROM unmoved_blobs WHERE id = ?", (id,))
    return True


def forget_unmoved(connection: sqlite3.Connection, id: str) -> None:
    """Its bytes are in a file now."""
    connection.execute("DELETE FROM unmoved_blobs WHERE id = ?", (id,))


def record_uses(connection: sqlite3.Connection, conversation: str, ids: Iterable[str]) -> None:
    """The whole log has been read: these are the blobs it names, as far as there are such."""
    query = "DELETE FROM unread_logs WHERE conversation = ?"
    if connection.execute(query, (conversation,)).rowcount:  # It was not deleted meanwhile.
        connection.executemany(
            "INSERT OR IGNORE INTO blob_uses SELECT ?, id FROM blobs WHERE id = ?",
            [(conversation, id) for id in ids],
        )


# Reading


def find(connection: sqlite3.Connection, id: str) -> Blob | None:
    """See `BlobStore.find`."""
    query = "SELECT id, owner, media_type, bytes FROM blobs WHERE id = ?"
    found = connection.execute(query, (id,)).fetchall()
    return Blob(*found[0]) if found else None


def usage(connection: sqlite3.Connection, owner: str) -> Usage:
    """See `BlobStore.usage`."""
    query = "SELECT count(*), coalesce(sum(bytes), 0) FROM blobs WHERE owner = ?"
    return Usage(*connection.execute(query, (owner,)).fetchone())


def page_of_unused(
    connection: sqlite3.Connection, before: int, after: str, limit: int
) -> tuple[list[str], str | None]:
    """The unused among the next `limit` blobs after an id, and the last of these blobs."""
    query = f"SELECT id, {_UNUSED} FROM blobs WHERE id > ? ORDER BY id LIMIT ?"
    page = connection.execute(query, (before, after, limit)).fetchall()
    return [id for id, is_unused in page if is_unused], page[-1][0] if page else None


def known(connection: sqlite3.Connection, ids: list[str]) -> set[str]:
    """Which of these there are."""
    marks = ", ".join("?" * len(ids))
    return {id for (id,) in connection.execute(f"SELECT id FROM blobs WHERE id IN ({marks})", ids)}


def next_unmoved(connection: sqlite3.Connection) -> str | None:
    """A blob whose bytes an older version has put into the database."""
    found = connection.execute("SELECT id FROM unmoved_blobs LIMIT 1").fetchall()
    return found[0][0] if found else None


def read_unmoved(connection: sqlite3.Connection, id: str, start: int, size: int) -> bytes | None:
    """Bytes of a blob that lies in the database."""
    query = "SELECT substr(data, ?, ?) FROM unmoved_blobs WHERE id = ?"
    found = connection.execute(query, (start + 1, size, id)).fetchall()
    return found[0][0] if found else None


def next_unread_log(connection: sqlite3.Connection) -> str | None:
    """A conversation of which it is not recorded which blobs it names."""
    found = connection.execute("SELECT conversation FROM unread_logs LIMIT 1").fetchall()
    return found[0][0] if found else None

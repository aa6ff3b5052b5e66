"""The tables of the SQLite store: versions and statements; knows no files, threads or commits."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise

from turnwire_server.errors import Fenced, SettingsError
from turnwire_server.store.port import Batch, Blob, Head, Row

__all__ = [
    "VERSION",
    "append",
    "compact",
    "delete",
    "get_blob",
    "list_heads",
    "list_open",
    "put_blob",
    "read",
    "read_head",
    "rename",
    "upgrade",
    "version_of",
]

# Step n leads from version n to n + 1. A new file takes all of them, so every step is always run.
_STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE conversations (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            epoch TEXT NOT NULL,
            seq INTEGER NOT NULL,
            title TEXT NOT NULL,
            created_at TEXT NOT NULL,
            updated_at TEXT NOT NULL
        ) WITHOUT ROWID""",
        # Read backwards: newest first, and within one instant by id, as positions compare.
        "CREATE INDEX conversations_by_owner ON conversations (owner, updated_at, id)",
        """CREATE TABLE batches (
            conversation TEXT NOT NULL,
            first_seq INTEGER NOT NULL,
            last_seq INTEGER NOT NULL,
            body BLOB NOT NULL,
            PRIMARY KEY (conversation, first_seq)
        ) WITHOUT ROWID""",
    ),
    (
        # What version 1 did not record may have been left unfinished: recovery looks and decides.
        "ALTER TABLE conversations ADD COLUMN is_open INTEGER NOT NULL DEFAULT 1",
    ),
    (
        """CREATE TABLE blobs (
            id TEXT PRIMARY KEY,
            owner TEXT NOT NULL,
            media_type TEXT NOT NULL,
            data BLOB NOT NULL
        )""",
    ),
)

VERSION = len(_STEPS)
"""The version this program writes; it stands in `PRAGMA user_version`."""

_HEADS = "SELECT id, owner, epoch, seq, title, created_at, updated_at FROM conversations"
_NEWEST_FIRST = "ORDER BY updated_at DESC, id DESC LIMIT ?"


def version_of(connection: sqlite3.Connection) -> int:
    """The file's version, 0 for an empty one. Changes nothing.

    Raises:
        SettingsError: the file is too new, or some other program's.
        sqlite3.Error: the file cannot be read, or is no database.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > VERSION:
        raise SettingsError(
            f"it has version {version}, and this program knows versions up to {VERSION}."
            " Update Turnwire, or choose another file with --db"
        )
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise SettingsError("it belongs to another program. Choose another file with --db")
    return int(version)


# In a transaction of the caller


def upgrade(connection: sqlite3.Connection) -> None:
    """Bring the file to `VERSION`.

    Raises:
        SettingsError: see `version_of`.
    """
    version = version_of(connection)
    for step in _STEPS[version:]:
        for statement in step:
            connection.execute(statement)
    if version < VERSION:  # A current file opens on a full disk, too.
        connection.execute(f"PRAGMA user_version = {VERSION}")


def append(connection: sqlite3.Connection, batches: list[Batch]) -> None:
    """See `Store.append`.

    Raises:
        Fenced: a conversation is of another epoch (deleted meanwhile, and begun anew), or a batch
            neither repeats nor continues what is stored.
    """
    # Always six digits, so that times compare as strings.
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    for batch in batches:
        if _advance(connection, batch, now):
            connection.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?)",
                (batch.fence.conversation, batch.first_seq, batch.last_seq, batch.body),
            )


def _advance(connection: sqlite3.Connection, batch: Batch, now: str) -> bool:
    """Move the conversation's head over the batch; False if the batch is stored already."""
    id, owner, epoch = batch.fence.conversation, batch.fence.owner, batch.fence.epoch
    first_seq, last_seq = batch.first_seq, batch.last_seq
    advanced = connection.execute(
        "UPDATE conversations"
        " SET seq = ?, updated_at = ?, is_open = ?, title = coalesce(?, title)"
        " WHERE id = ? AND epoch = ? AND seq = ?",
        (last_seq, now, batch.is_open, batch.title, id, epoch, first_seq - 1),
    )
    if advanced.rowcount == 1:
        return True
    query = "SELECT epoch, seq FROM conversations WHERE id = ?"
    stored = connection.execute(query, (id,)).fetchone()
    if stored is None and first_seq == 1:
        connection.execute(
            "INSERT INTO conversations"
            " (id, owner, epoch, seq, title, created_at, updated_at, is_open)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (id, owner, epoch, last_seq, batch.title or "", now, now, batch.is_open),
        )
        return True
    stored_epoch, seq = stored or (epoch, 0)
    if stored_epoch != epoch:
        raise Fenced(f"{id} is of epoch {stored_epoch} now, not {epoch}")
    if last_seq <= seq:
        return False
    raise Fenced(f"{id} ends at {seq}: {first_seq} to {last_seq} does not continue it")


def compact(
    connection: sqlite3.Connection,
    conversation: str,
    join: Callable[[list[bytes]], list[Row]],
    after: int,
) -> None:
    """See `Store.compact`. Changes nothing unless the rows get fewer.

    Raises:
        ValueError: what `join` returned does not cover the same seqs.
    """
    query = (
        "SELECT first_seq, last_seq, body FROM batches"
        " WHERE conversation = ? AND last_seq > ? ORDER BY first_seq"
    )
    old = [Row(*row) for row in connection.execute(query, (conversation, after))]
    if len(old) < 2:
        return
    new = join([row.body for row in old])
    if len(new) >= len(old):
        return
    whole = [Row(0, old[0].first_seq - 1, b""), *new, Row(old[-1].last_seq + 1, 0, b"")]
    if any(right.first_seq != left.last_seq + 1 for left, right in pairwise(whole)):
        raise ValueError(f"the joined rows of {conversation} do not cover what they replace")
    # What is compact already stays where it is.
    before, now = set(old), set(new)
    connection.executemany(
        "DELETE FROM batches WHERE conversation = ? AND first_seq = ?",
        [(conversation, row.first_seq) for row in old if row not in now],
    )
    connection.executemany(
        "INSERT INTO batches VALUES (?, ?, ?, ?)",
        [(conversation, *row) for row in new if row not in before],
    )


def rename(connection: sqlite3.Connection, conversation: str, title: str) -> None:
    """See `Store.rename`."""
    connection.execute("UPDATE conversations SET title = ? WHERE id = ?", (title, conversation))


def delete(connection: sqlite3.Connection, conversation: str) -> None:
    """See `Store.delete`."""
    connection.execute("DELETE FROM batches WHERE conversation = ?", (conversation,))
    connection.execute("DELETE FROM conversations WHERE id = ?", (conversation,))


def put_blob(connection: sqlite3.Connection, blob: Blob) -> None:
    """See `Store.put_blob`."""
    connection.execute(
        "INSERT OR IGNORE INTO blobs (id, owner, media_type, data) VALUES (?, ?, ?, ?)",
        (blob.id, blob.owner, blob.media_type, blob.data),
    )


# Reading. No statement is left unfinished: it would keep the write-ahead log from being emptied.


def read(
    connection: sqlite3.Connection, conversation: str, after: int, max_bytes: int
) -> list[bytes]:
    """See `Store.read`."""
    # From the last row that begins at or before the first seq wanted.
    query = """SELECT body FROM batches WHERE conversation = ?1 AND last_seq > ?2 AND first_seq >=
        coalesce((SELECT max(first_seq) FROM batches
            WHERE conversation = ?1 AND first_seq <= ?2 + 1), 0)
        ORDER BY first_seq"""
    bodies: list[bytes] = []
    size = 0
    with closing(connection.execute(query, (conversation, after))) as rows:
        for (body,) in rows:
            bodies.append(body)
            size += len(body)
            if size >= max_bytes:
                break
    return bodies


def read_head(connection: sqlite3.Connection, conversation: str) -> Head | None:
    """See `Store.head`."""
    heads = _heads(connection, f"{_HEADS} WHERE id = ?", conversation)
    return heads[0] if heads else None


def list_heads(
    connection: sqlite3.Connection, owner: str, limit: int, before: str | None
) -> list[Head]:
    """See `Store.list_heads`."""
    if before is None:
        return _heads(connection, f"{_HEADS} WHERE owner = ? {_NEWEST_FIRST}", owner, limit)
    updated_at, _, id = before.partition("|")
    query = f"{_HEADS} WHERE owner = ? AND (updated_at, id) < (?, ?) {_NEWEST_FIRST}"
    return _heads(connection, query, owner, updated_at, id, limit)


def list_open(connection: sqlite3.Connection) -> list[Head]:
    """See `Store.list_open`."""
    return _heads(connection, f"{_HEADS} WHERE is_open")


def get_blob(connection: sqlite3.Connection, id: str) -> Blob | None:
    """See `Store.get_blob`."""
    query = "SELECT id, owner, media_type, data FROM blobs WHERE id = ?"
    blobs = connection.execute(query, (id,)).fetchall()
    return Blob(*blobs[0]) if blobs else None


def _heads(connection: sqlite3.Connection, query: str, *parameters: str | int) -> list[Head]:
    return [Head(*row) for row in connection.execute(query, parameters).fetchall()]

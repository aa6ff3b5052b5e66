"""The statements of the SQLite store; knows no files, threads or commits."""

import sqlite3
from collections.abc import Callable
from contextlib import closing

from turnwire_server.errors import Fenced, Unreadable
from turnwire_server.store.port import Batch, Head, Row, Spent, joined
from turnwire_server.store.sqlite.tail import Tail
from turnwire_server.timestamp import timestamp

__all__ = [
    "append",
    "compact",
    "count",
    "count_open",
    "delete",
    "list_heads",
    "list_hidden",
    "list_open",
    "place",
    "probe",
    "read",
    "read_end",
    "read_spent",
    "read_tail",
    "rename",
    "row_of",
]

_HEAD = "id, owner, epoch, seq, title, created_at, updated_at"
_HEADS = f"SELECT {_HEAD} FROM conversations"
_IS_HIDDEN = "id >= 'h_' AND id < 'h`'"
"""A range of the primary key; see `store.port.HIDDEN`."""
_NEWEST_FIRST = "ORDER BY updated_at DESC, id DESC LIMIT ?"

_State = tuple[str, int, bool]
"""(epoch, seq, is_open) of a conversation."""


# In a transaction of the caller


def append(connection: sqlite3.Connection, batches: list[Batch], tail: Tail) -> list[Batch]:
    """See `Store.append`. Returns what was not stored before, for the tail.

    Raises:
        Fenced: a conversation is of another epoch (deleted meanwhile, and begun anew), or a batch
            neither repeats nor continues what is stored.
    """
    # Always six digits, so that times compare as strings.
    now = timestamp(precision="microseconds")
    fresh: list[Batch] = []
    ahead: dict[str, _State] = {}
    for batch in batches:
        id = batch.fence.conversation
        state = ahead.get(id) or _state_of(connection, id, tail)
        if _advances(connection, batch, state, now):
            ahead[id] = (batch.fence.epoch, batch.last_seq, batch.is_open)
            fresh.append(batch)
    connection.executemany(
        "INSERT INTO tail VALUES (?, ?, ?, ?, ?, ?)",
        [
            (id, batch.fence.conversation, batch.fence.epoch, *row_of(batch))
            for id, batch in enumerate(fresh, start=tail.next_id)
        ],
    )
    if uses := [(batch.fence.conversation, blob) for batch in fresh for blob in batch.blobs]:
        connection.executemany("INSERT OR IGNORE INTO blob_uses VALUES (?, ?)", uses)
    if spent := [(batch.fence.owner, *spent) for batch in fresh for spent in batch.spent]:
        connection.executemany(
            "INSERT INTO spent (owner, day, tokens, cost_usd) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens,"
            " cost_usd = cost_usd + excluded.cost_usd",
            spent,
        )
    return fresh


def probe(connection: sqlite3.Connection, tail: Tail) -> None:
    """Write something and take it back: the commit writes to the disk, and changes nothing."""
    connection.execute("INSERT INTO tail VALUES (?, '', '', 0, 0, x'')", (tail.next_id,))
    connection.execute("DELETE FROM tail WHERE id = ?", (tail.next_id,))


def row_of(batch: Batch) -> Row:
    """The batch, as it is stored."""
    return Row(batch.first_seq, batch.last_seq, batch.body)


def _state_of(connection: sqlite3.Connection, id: str, tail: Tail) -> _State | None:
    if (unsettled := tail.get(id)) is not None:
        return unsettled.epoch, unsettled.seq, unsettled.is_open
    query = "SELECT epoch, seq, is_open FROM conversations WHERE id = ?"
    state: _State | None = connection.execute(query, (id,)).fetchone()
    return state


def _advances(connection: sqlite3.Connection, batch: Batch, state: _State | None, now: str) -> bool:
    """Whether the batch continues its conversation, whose other fields it then brings up to date;
    False if it is stored already."""
    id, owner, epoch = batch.fence.conversation, batch.fence.owner, batch.fence.epoch
    if state is None and batch.first_seq == 1:
        connection.execute(
            "INSERT INTO conversations"
            " (id, owner, epoch, seq, title, created_at, updated_at, is_open)"
            " VALUES (?, ?, ?, 0, ?, ?, ?, ?)",
            (id, owner, epoch, batch.title or "", now, now, batch.is_open),
        )
        return True
    stored_epoch, seq, is_open = state or (epoch, 0, False)
    if stored_epoch != epoch:
        raise Fenced(f"{id} is of epoch {stored_epoch} now, not {epoch}")
    if batch.last_seq <= seq:
        return False
    if batch.first_seq != seq + 1:
        raise Fenced(f"{id} ends at {seq}: {batch.first_seq} does not continue it")
    # In the middle of a turn nothing but the log changes: most batches leave this row alone.
    if not (is_open and batch.is_open and batch.title is None):
        connection.execute(
            "UPDATE conversations SET updated_at = ?, is_open = ?, title = coalesce(?, title)"
            " WHERE id = ?",
            (now, batch.is_open, batch.title, id),
        )
    return True


def compact(
    connection: sqlite3.Connection,
    conversation: str,
    join: Callable[[list[bytes]], list[Row]],
    after: int,
    tail: Tail,
) -> None:
    """See `Store.compact`. What the tail has of the conversation comes to its place.

    Raises:
        ValueError: what `join` returned does not cover the same seqs.
    """
    query = (
        "SELECT first_seq, last_seq, body FROM batches"
        " WHERE conversation = ? AND last_seq > ? ORDER BY first_seq"
    )
    placed = [_row(*row) for row in connection.execute(query, (conversation, after))]
    unplaced = tail.rows(conversation)
    earlier = [row for row in unplaced if row.last_seq <= after]
    old = placed + unplaced[len(earlier) :]
    new = joined(conversation, old, join)
    before, now = set(placed), {*earlier, *new}
    # What is compact already stays where it is.
    connection.executemany(
        "DELETE FROM batches WHERE conversation = ? AND first_seq = ?",
        [(conversation, row.first_seq) for row in placed if row not in now],
    )
    connection.executemany(
        "INSERT INTO batches VALUES (?, ?, ?, ?)",
        [(conversation, *row) for row in (*earlier, *new) if row not in before],
    )
    if unplaced:
        _mark_placed(connection, {conversation: unplaced[-1].last_seq}, tail)


def place(connection: sqlite3.Connection, conversations: list[str], tail: Tail) -> None:
    """Bring what the tail has of the conversations to their place, as it is."""
    heads: dict[str, int] = {}
    for conversation in conversations:
        rows = tail.rows(conversation)
        connection.executemany(
            "INSERT INTO batches VALUES (?, ?, ?, ?)", [(conversation, *row) for row in rows]
        )
        heads[conversation] = rows[-1].last_seq
    _mark_placed(connection, heads, tail)


def _mark_placed(connection: sqlite3.Connection, heads: dict[str, int], tail: Tail) -> None:
    connection.executemany(
        "UPDATE conversations SET seq = ? WHERE id = ?", [(seq, id) for id, seq in heads.items()]
    )
    # From the front only, where whole pages become free.
    connection.execute("DELETE FROM tail WHERE id < ?", (tail.live_from(without=heads),))


def rename(connection: sqlite3.Connection, conversation: str, title: str) -> None:
    """See `Store.rename`."""
    connection.execute("UPDATE conversations SET title = ? WHERE id = ?", (title, conversation))


def delete(connection: sqlite3.Connection, conversation: str) -> None:
    """See `Store.delete`."""
    connection.execute("DELETE FROM batches WHERE conversation = ?", (conversation,))
    connection.execute("DELETE FROM tail WHERE conversation = ?", (conversation,))
    connection.execute("DELETE FROM blob_uses WHERE conversation = ?", (conversation,))
    connection.execute("DELETE FROM unread_logs WHERE conversation = ?", (conversation,))
    connection.execute("DELETE FROM conversations WHERE id = ?", (conversation,))


# Reading. No statement is left unfinished: it would keep the write-ahead log from being emptied.


def read_tail(connection: sqlite3.Connection) -> Tail:
    """What the file says of the tail. A row without numbers is none: its log has a gap then."""
    tail = Tail()
    query = """SELECT tail.id, tail.conversation, tail.epoch, first_seq, last_seq, body, is_open
        FROM tail JOIN conversations ON conversations.id = tail.conversation
            AND conversations.epoch = tail.epoch AND conversations.seq < tail.first_seq
        WHERE typeof(first_seq) = 'integer' AND typeof(last_seq) = 'integer'
        ORDER BY tail.id"""
    for id, conversation, epoch, first_seq, last_seq, body, is_open in connection.execute(query):
        tail.next_id = id
        tail.add(conversation, epoch, Row(first_seq, last_seq, body), is_open=bool(is_open))
    (last_id,) = connection.execute("SELECT coalesce(max(id), 0) FROM tail").fetchone()
    tail.next_id = last_id + 1
    return tail


def read(
    connection: sqlite3.Connection, conversation: str, after: int, max_bytes: int
) -> list[Row]:
    """See `Store.read`; without the rows of the tail."""
    # From the last row that begins at or before the first seq wanted.
    query = """SELECT first_seq, last_seq, body FROM batches
        WHERE conversation = ?1 AND last_seq > ?2 AND first_seq >= coalesce(
            (SELECT max(first_seq) FROM batches WHERE conversation = ?1 AND first_seq <= ?2 + 1), 0)
        ORDER BY first_seq"""
    found: list[Row] = []
    size = 0
    with closing(connection.execute(query, (conversation, after))) as rows:
        for row in rows:
            found.append(_row(*row))
            size += len(found[-1].body)
            if size >= max_bytes:
                break
    return found


def read_end(connection: sqlite3.Connection, conversation: str) -> tuple[Head, bool] | None:
    """The conversation (see `Store.head`), and whether its last batch left a turn unfinished."""
    query = f"SELECT is_open, {_HEAD} FROM conversations WHERE id = ?"
    found = connection.execute(query, (conversation,)).fetchone()
    return None if found is None else (_head(*found[1:]), bool(found[0]))


def list_heads(
    connection: sqlite3.Connection, owner: str, limit: int, before: str | None, query: str | None
) -> list[Head]:
    """See `Store.list_heads`."""
    wanted, parameters = f"owner = ? AND NOT ({_IS_HIDDEN})", [owner]
    if before is not None:
        updated_at, _, id = before.partition("|")
        wanted, parameters = f"{wanted} AND (updated_at, id) < (?, ?)", [owner, updated_at, id]
    if query is not None:
        # `lower` knows A to Z only (https://www.sqlite.org/lang_corefunc.html#lower).
        wanted = f"{wanted} AND instr(lower(title), lower(?))"
        parameters.append(query)
    return _heads(connection, f"{_HEADS} WHERE {wanted} {_NEWEST_FIRST}", *parameters, limit)


def list_hidden(connection: sqlite3.Connection, before: str, limit: int) -> list[Head]:
    """See `Store.list_hidden`."""
    query = f"{_HEADS} WHERE {_IS_HIDDEN} AND NOT is_open AND updated_at < ? LIMIT ?"
    return _heads(connection, query, before, limit)


def count(connection: sqlite3.Connection, owner: str) -> int:
    """See `Store.count`."""
    query = "SELECT conversations FROM owners WHERE owner = ?"
    found = connection.execute(query, (owner,)).fetchone()
    return 0 if found is None else int(found[0])


def read_spent(connection: sqlite3.Connection, owner: str, day: str) -> Spent:
    """See `Store.spent`."""
    query = "SELECT day, tokens, cost_usd FROM spent WHERE owner = ? AND day = ?"
    found = connection.execute(query, (owner, day)).fetchone()
    return Spent(day) if found is None else Spent(*found)


def list_open(connection: sqlite3.Connection) -> list[Head]:
    """The conversations whose last batch left a turn unfinished."""
    return _heads(connection, f"{_HEADS} WHERE is_open")


def count_open(connection: sqlite3.Connection, owner: str) -> int:
    """See `Store.count_open`."""
    query = "SELECT count(*) FROM conversations WHERE owner = ? AND is_open"
    return int(connection.execute(query, (owner,)).fetchone()[0])


def _heads(connection: sqlite3.Connection, query: str, *parameters: str | int) -> list[Head]:
    return [_head(*row) for row in connection.execute(query, parameters).fetchall()]


# SQLite keeps what it is given, whatever a column's type: a file may hold anything.


def _row(first_seq: object, last_seq: object, body: object) -> Row:
    if isinstance(body, str):
        body = body.encode()
    if isinstance(first_seq, int) and isinstance(last_seq, int) and isinstance(body, bytes):
        return Row(first_seq, last_seq, body)
    raise Unreadable("a stored row has no numbers, or no bytes")


def _head(
    id: str, owner: str, epoch: str, seq: object, title: str, created_at: str, updated_at: str
) -> Head:
    # A head that fits no log: only who asks for this conversation is refused.
    known = seq if isinstance(seq, int) else -1
    return Head(id, owner, epoch, known, title, created_at, updated_at)

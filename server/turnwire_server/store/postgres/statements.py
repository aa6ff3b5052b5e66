"""The other statements of the PostgreSQL store, each of one snapshot."""

import asyncio
from collections.abc import Callable
from typing import Any

from turnwire_server.errors import Fenced, StoreError
from turnwire_server.store.port import Claim, Fence, Head, Row, Spent, joined
from turnwire_server.store.postgres.address import Session
from turnwire_server.store.postgres.schema import IS_HIDDEN
from turnwire_server.store.postgres.text import shown

__all__ = [
    "claim",
    "compact",
    "count",
    "count_open",
    "declare_dead",
    "delete",
    "list_heads",
    "list_hidden",
    "orphans",
    "read",
    "read_head",
    "read_spent",
    "release",
    "rename",
]

_READ_ROWS = 1000
"""Looked at in one read: short ones are a few bytes each, and nobody needs thousands at once."""

_DEAD = "NOT EXISTS (SELECT FROM nodes WHERE nodes.id = conversations.node)"
_LAST_SEQ = """(SELECT last_seq FROM batches WHERE conversation = conversations.id
    ORDER BY first_seq DESC LIMIT 1)"""
# Of the conversation $1, what holds anything after $2; without a look at what lies before.
_AFTER = """FROM batches WHERE conversation = $1 AND last_seq > $2 AND first_seq >= coalesce(
    (SELECT max(first_seq) FROM batches WHERE conversation = $1 AND first_seq <= $2 + 1), 0)"""
# $1 is this node: of itself it is not told.
_HEADS = f"""SELECT id, owner, epoch, coalesce({_LAST_SEQ}, 0), title, created_at, updated_at,
    CASE WHEN node <> $1 AND NOT {_DEAD} THEN node END
    FROM conversations WHERE created_at IS NOT NULL"""

# Claiming


async def claim(
    session: Session, node: str, conversation: str, owner: str, epoch: str
) -> Claim | None:
    """See `Store.claim`; None: this node is dead."""
    taken = await session.fetchrow(_CLAIM, conversation, owner, epoch, node)
    if taken is None:
        holder = await session.fetchrow(_HOLDER, conversation, node)
        if holder is None or not holder["is_alive"]:
            return None
        return Claim(None, holder=holder["node"], head=holder["head"], is_open=holder["is_open"])
    fence = Fence(conversation, taken["owner"], taken["epoch"], node)
    # In a statement of its own, whose snapshot has what the last holder has stored.
    head = await session.fetchval(_HEAD, conversation)
    return Claim(fence, head=head or 0, is_open=taken["is_open"])


# What has not begun has nobody's owner and epoch yet. And a server that has taken another's place
# may lack the end of any log, which readers have seen: whoever appends next would give its seqs
# away a second time. So the log goes on in another epoch, unless its holder goes on: it knows the
# end, and its append has no place where that is missing.
_CLAIM = f"""INSERT INTO conversations (id, owner, epoch, node, server)
    SELECT $1, $2, $3, id, this_server() FROM nodes WHERE id = $4
    ON CONFLICT (id) DO UPDATE SET node = excluded.node,
        server = coalesce(excluded.server, conversations.server),
        owner = CASE WHEN conversations.created_at IS NULL THEN excluded.owner
            ELSE conversations.owner END,
        epoch = CASE WHEN conversations.created_at IS NULL
                OR conversations.server <> excluded.server THEN excluded.epoch
            ELSE conversations.epoch END
    WHERE conversations.node IS NULL OR conversations.node = excluded.node OR {_DEAD}
    RETURNING owner, epoch, is_open"""

_HOLDER = f"""SELECT node, is_open, coalesce({_LAST_SEQ}, 0) AS head,
    EXISTS (SELECT FROM nodes WHERE id = $2) AS is_alive FROM conversations WHERE id = $1"""

_HEAD = """SELECT last_seq FROM batches WHERE conversation = $1 ORDER BY first_seq DESC LIMIT 1"""


async def release(session: Session, fence: Fence) -> None:
    """See `Store.release`. One that has not begun leaves no trace."""
    await session.execute(
        """WITH gone AS (DELETE FROM conversations
                WHERE id = $1 AND epoch = $2 AND node = $3 AND created_at IS NULL)
            UPDATE conversations SET node = NULL
                WHERE id = $1 AND epoch = $2 AND node = $3 AND created_at IS NOT NULL""",
        fence.conversation,
        fence.epoch,
        fence.node,
    )


async def declare_dead(session: Session, lease_seconds: float) -> list[str]:
    """The nodes whose lease has run out, which are dead from now on.

    Not right after PostgreSQL was started: while it stood still nobody could renew anything.
    """
    dead = await session.fetch(
        """WITH dead AS (
            DELETE FROM nodes WHERE lease_until < clock_timestamp() AND
                pg_postmaster_start_time() + make_interval(secs => $1) < clock_timestamp()
                RETURNING id
        ), unread AS (DELETE FROM readers WHERE node IN (SELECT id FROM dead)
        ), unheard AS (DELETE FROM mail WHERE to_node IN (SELECT id FROM dead)
        ) SELECT id FROM dead""",
        lease_seconds,
    )
    return [row["id"] for row in dead]


async def orphans(session: Session, node: str) -> list[Head]:
    """The unfinished conversations that no living node holds. What dead ones claimed and never
    began is forgotten."""
    await session.execute(
        f"""DELETE FROM conversations
            WHERE node IS NOT NULL AND created_at IS NULL AND {_DEAD}"""
    )
    return await _heads(session, f"{_HEADS} AND is_open AND (node IS NULL OR {_DEAD})", node)


# Reading


async def read(session: Session, conversation: str, after: int, max_bytes: int) -> list[bytes]:
    """See `Store.read`."""
    rows = await session.fetch(_READ, conversation, after, max_bytes, _READ_ROWS)
    return [row["body"] for row in rows]


# From the last row that begins at or before the first seq wanted; those whose predecessors here are
# not too much already.
_READ = f"""SELECT body FROM (
        SELECT first_seq, body, sum(length(body)) OVER (ORDER BY first_seq) - length(body) AS before
        FROM (SELECT first_seq, body {_AFTER} ORDER BY first_seq LIMIT $4) few
    ) sized WHERE before < $3 ORDER BY first_seq"""


async def read_head(session: Session, node: str, conversation: str) -> Head | None:
    """See `Store.head`."""
    heads = await _heads(session, f"{_HEADS} AND id = $2", node, conversation)
    return heads[0] if heads else None


async def list_heads(
    session: Session, node: str, owner: str, limit: int, before: str | None, query: str | None
) -> list[Head]:
    """See `Store.list_heads`."""
    listed = f"{_HEADS} AND NOT ({IS_HIDDEN}) AND owner = $2"
    parameters: list[str | int] = [owner]
    if before is not None:
        updated_at, _, id = before.partition("|")
        listed += " AND (updated_at, id) < ($3, $4)"
        parameters += [updated_at, id]
    if query is not None:
        parameters.append(query)
        listed += f" AND strpos(lower(title), lower(${len(parameters) + 1})) > 0"
    parameters.append(limit)
    newest_first = f"ORDER BY updated_at DESC, id DESC LIMIT ${len(parameters) + 1}"
    return await _heads(session, f"{listed} {newest_first}", node, *parameters)


async def list_hidden(session: Session, node: str, before: str, limit: int) -> list[Head]:
    """See `Store.list_hidden`. What another living node holds is that one's to look after."""
    query = f"""{_HEADS} AND {IS_HIDDEN} AND NOT is_open AND updated_at < $2
        AND (node IS NULL OR node = $1 OR {_DEAD}) LIMIT $3"""
    return await _heads(session, query, node, before, limit)


async def count(session: Session, owner: str) -> int:
    """See `Store.count`."""
    query = f"""SELECT count(*) FROM conversations
        WHERE owner = $1 AND created_at IS NOT NULL AND NOT ({IS_HIDDEN})"""
    return int(await session.fetchval(query, owner))


async def count_open(session: Session, owner: str) -> int:
    """See `Store.count_open`."""
    query = "SELECT count(*) FROM conversations WHERE owner = $1 AND is_open"
    return int(await session.fetchval(query, owner))


async def read_spent(session: Session, owner: str, day: str) -> Spent:
    """See `Store.spent`: on all nodes."""
    query = """SELECT coalesce(sum(tokens), 0)::bigint, coalesce(sum(cost_usd), 0)::float8
        FROM spent WHERE owner = $1 AND day = $2"""
    found = await session.fetchrow(query, owner, day)
    assert found is not None
    return Spent(day, *found)


async def _heads(session: Session, query: str, *parameters: Any) -> list[Head]:
    return [Head(*row) for row in await session.fetch(query, *parameters)]


# Changing


async def rename(session: Session, conversation: str, title: str) -> None:
    """See `Store.rename`."""
    query = "UPDATE conversations SET title = $2 WHERE id = $1"
    await session.execute(query, conversation, shown(title))


async def delete(session: Session, node: str, conversation: str) -> None:
    """See `Store.delete`.

    Raises:
        Fenced: another node holds it.
    """
    holder = await session.fetchval(_DELETE, conversation, node)
    if holder is not None:
        raise Fenced(f"{conversation} is held by {holder}")


_DELETE = f"""WITH gone AS (
        DELETE FROM conversations WHERE id = $1 AND (node IS NULL OR node = $2 OR {_DEAD})
        RETURNING id
    ), rows AS (DELETE FROM batches USING gone WHERE conversation = gone.id
    ), uses AS (DELETE FROM blob_uses USING gone WHERE conversation = gone.id)
    SELECT coalesce(node, '') FROM conversations WHERE id = $1 AND NOT EXISTS (SELECT FROM gone)"""


async def compact(
    session: Session,
    conversation: str,
    join: Callable[[list[bytes]], list[Row]],
    after: int,
) -> None:
    """See `Store.compact`. `join` runs on a thread, and nothing is locked meanwhile.

    Raises:
        StoreError: somebody else has changed the rows first; nothing was changed.
        ValueError: what `join` returned does not cover the same seqs; nothing was changed.
    """
    query = f"SELECT first_seq, last_seq, body {_AFTER} ORDER BY first_seq"
    old = [Row(*row) for row in await session.fetch(query, conversation, after)]
    new = await asyncio.to_thread(joined, conversation, old, join)
    if new is old:
        return
    kept = set(old) & set(new)  # What is compact already stays where it is.
    old, new = [row for row in old if row not in kept], [row for row in new if row not in kept]
    async with session.transaction():
        # One at a time: another node may do the same.
        lock = "SELECT FROM conversations WHERE id = $1 FOR UPDATE"
        await session.execute(lock, conversation)
        gone = await session.fetch(
            """DELETE FROM batches WHERE conversation = $1
                AND (first_seq, last_seq) IN (SELECT * FROM unnest($2::bigint[], $3::bigint[]))
                RETURNING first_seq""",
            conversation,
            [row.first_seq for row in old],
            [row.last_seq for row in old],
        )
        if len(gone) != len(old):
            raise StoreError(f"the rows of {conversation} were changed meanwhile")
        await session.execute(
            "INSERT INTO batches SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::bytea[])",
            conversation,
            [row.first_seq for row in new],
            [row.last_seq for row in new],
            [row.body for row in new],
        )

"""The one statement that appends: one round trip, one commit, and its own fence.

`me` renews the node's lease, and finds nothing once the node was declared dead or another
connection has become its writer: then nothing of the statement takes effect. A transaction of
several statements would hold the lease's row while this process stands still, and so keep others
from taking over.
"""

import time

from asyncpg import UniqueViolationError

from turnwire_server.errors import Fenced, StoreError
from turnwire_server.store.port import Batch
from turnwire_server.store.postgres.node import PostgresNode
from turnwire_server.store.postgres.text import shown, storable
from turnwire_server.store.postgres.writer import Writing

__all__ = ["append"]

NOW = """to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
"""Always six digits, so that times compare as strings."""

# `logs` has a row for each conversation, `rows` one for each batch: in one call a conversation may
# have several. What is stored already is passed over, told by the log's head. The subqueries are
# lateral so that they go by key, whatever the planner thinks of tables that were empty before.
_APPEND = f"""
WITH me AS (
    UPDATE nodes SET lease_until = clock_timestamp() + make_interval(secs => $3)
    WHERE id = $1 AND writer = $2 RETURNING id
), logs AS MATERIALIZED (
    SELECT given.*, known.node AS node, known.epoch AS known_epoch, known.is_open AS was_open,
        known.created_at AS begun_at, coalesce(last.seq, 0) AS head
    FROM unnest($4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::boolean[],
        $10::boolean[])
        AS given (id, owner, epoch, first_seq, last_seq, is_open, releases)
    LEFT JOIN LATERAL (SELECT * FROM conversations WHERE id = given.id OFFSET 0) known ON true
    LEFT JOIN LATERAL (SELECT last_seq AS seq FROM batches WHERE conversation = given.id
        ORDER BY first_seq DESC LIMIT 1) last ON true
), given_rows AS MATERIALIZED (
    SELECT * FROM unnest($11::text[], $12::bigint[], $13::bigint[], $14::bytea[], $15::text[])
        AS given (id, first_seq, last_seq, body, title)
), bad AS MATERIALIZED (
    SELECT id, known_epoch, node, head, first_seq FROM logs WHERE NOT CASE
        WHEN known_epoch IS NULL THEN first_seq = 1
        WHEN known_epoch <> epoch THEN false
        WHEN last_seq <= head THEN true
        ELSE node IS NOT DISTINCT FROM $1 AND EXISTS (SELECT FROM given_rows
            WHERE given_rows.id = logs.id AND given_rows.first_seq = head + 1)
    END
), ok AS MATERIALIZED (
    SELECT FROM me WHERE NOT EXISTS (SELECT FROM bad)
), fresh AS MATERIALIZED (
    SELECT given_rows.*, logs.owner FROM given_rows JOIN logs USING (id)
    WHERE given_rows.first_seq > logs.head AND EXISTS (SELECT FROM ok)
), inserted AS (
    INSERT INTO batches SELECT id, first_seq, last_seq, body FROM fresh RETURNING true
), titles AS MATERIALIZED (
    SELECT DISTINCT ON (id) id, title FROM fresh WHERE title IS NOT NULL
    ORDER BY id, first_seq DESC
), begun AS (
    INSERT INTO conversations
        (id, owner, epoch, node, is_open, title, created_at, updated_at, server)
    SELECT id, owner, epoch, CASE WHEN NOT releases THEN $1 END, is_open, coalesce(title, ''),
        {NOW}, {NOW}, this_server()
    FROM logs LEFT JOIN titles USING (id)
    WHERE known_epoch IS NULL AND EXISTS (SELECT FROM ok)
), changed AS (
    UPDATE conversations SET is_open = logs.is_open,
        title = coalesce((SELECT titles.title FROM titles WHERE titles.id = logs.id),
            conversations.title),
        node = CASE WHEN NOT logs.releases THEN conversations.node END,
        created_at = coalesce(conversations.created_at, {NOW}), updated_at = {NOW}
    FROM logs WHERE conversations.id = logs.id AND conversations.node = $1
        AND logs.known_epoch = logs.epoch AND logs.last_seq > logs.head
        -- In the middle of a turn nothing but the log changes: most batches leave this row alone.
        AND NOT (logs.was_open AND logs.is_open AND NOT logs.releases
            AND NOT EXISTS (SELECT FROM titles WHERE titles.id = logs.id))
        AND EXISTS (SELECT FROM ok)
), named AS (
    INSERT INTO blob_uses SELECT use.id, use.blob
    FROM unnest($16::text[], $17::bigint[], $18::text[]) AS use (id, first_seq, blob)
    JOIN fresh USING (id, first_seq) ON CONFLICT DO NOTHING
), used AS (
    INSERT INTO spent SELECT fresh.owner, use.day, $1, sum(use.tokens), sum(use.cost_usd)
    FROM unnest($19::text[], $20::bigint[], $21::text[], $22::bigint[], $23::float8[])
        AS use (id, first_seq, day, tokens, cost_usd)
    JOIN fresh USING (id, first_seq) GROUP BY fresh.owner, use.day
    ON CONFLICT (owner, day, node) DO UPDATE SET tokens = spent.tokens + excluded.tokens,
        cost_usd = spent.cost_usd + excluded.cost_usd
)
SELECT EXISTS (SELECT FROM me) AS is_ours, (SELECT count(*) FROM inserted) AS inserted,
    (SELECT min(format('%s is of %s, held by %s and reaches to %s: no place for %s',
        id, known_epoch, node, head, first_seq)) FROM bad) AS bad
"""


async def append(writing: Writing, batches: list[Batch], node: PostgresNode) -> None:
    """See `Store.append`.

    Raises:
        Fenced: the node is dead; or see there.
        StoreError: another connection has become the writer.
        FAILURES: see `address`.
    """
    logs: dict[str, list[Batch]] = {}
    for batch in batches:
        log = logs.setdefault(batch.fence.conversation, [])
        if batch.fence.node != writing.node:
            raise Fenced(f"{batch.fence.conversation} was held by {batch.fence.node}, which died")
        if log and (batch.first_seq != log[-1].last_seq + 1 or batch.fence != log[-1].fence):
            raise Fenced(f"{batch.fence.conversation}: {batch.first_seq} does not continue it")
        log.append(batch)
    last = [log[-1] for log in logs.values()]
    named = [(batch, blob) for batch in batches for blob in batch.blobs]
    spent = [(batch, spent) for batch in batches for spent in batch.spent]
    sent_at = time.monotonic()
    try:
        done = await writing.connection.fetchrow(
            _APPEND,
            writing.node,
            writing.number,
            node.lease_seconds,
            [storable(id) for id in logs],
            [storable(batch.fence.owner) for batch in last],
            [batch.fence.epoch for batch in last],
            [log[0].first_seq for log in logs.values()],
            [batch.last_seq for batch in last],
            [batch.is_open for batch in last],
            [batch.releases for batch in last],
            [batch.fence.conversation for batch in batches],
            [batch.first_seq for batch in batches],
            [batch.last_seq for batch in batches],
            [batch.body for batch in batches],
            [batch.title and shown(batch.title) for batch in batches],
            [batch.fence.conversation for batch, _ in named],
            [batch.first_seq for batch, _ in named],
            [blob for _, blob in named],
            [batch.fence.conversation for batch, _ in spent],
            [batch.first_seq for batch, _ in spent],
            [spent.day for _, spent in spent],
            [spent.tokens for _, spent in spent],
            [spent.cost_usd for _, spent in spent],
        )
    except UniqueViolationError as error:
        # Somebody else has begun the conversation at this very moment. Nothing was stored.
        raise Fenced("somebody else has begun one of the conversations") from error
    assert done is not None
    if not done["is_ours"]:
        await _say_why(writing, node)
    if done["bad"] is not None:
        raise Fenced(done["bad"])
    node.renewed(writing.node, sent_at)


async def _say_why(writing: Writing, node: PostgresNode) -> None:
    """The fence did not let it pass: the node is dead, or this connection is not its writer."""
    query = "SELECT writer FROM nodes WHERE id = $1"
    if await writing.connection.fetchval(query, writing.node) is None:
        node.lose(writing.node)
        raise Fenced(f"the node {writing.node} was declared dead")
    raise StoreError("another connection writes for this node now")

"""Blobs of the PostgreSQL store: their bytes are in the database, too, in the parts that came.

Parts belong to an upload, and become those of a blob when its row is committed. What a node that
died has left of uploads is removed by any other.
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator

from turnwire_server.errors import StoreError
from turnwire_server.store.port import Blob, Spool, Usage
from turnwire_server.store.postgres.address import Ask
from turnwire_server.store.postgres.text import shown

__all__ = ["PostgresBlobs"]

_PAGE = 500
"""Rows looked at in one piece."""


class PostgresBlobs:
    """`BlobStore` of one database."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def spool(self) -> Spool:
        """See `BlobStore.spool`."""
        return _Spool(self._ask)

    async def find(self, id: str) -> Blob | None:
        """See `BlobStore.find`."""
        query = "SELECT id, owner, media_type, bytes FROM blobs WHERE id = $1"
        found = await self._ask(lambda session, _: session.fetchrow(query, shown(id)))
        return None if found is None else Blob(*found)

    async def read(self, id: str, start: int, size: int) -> bytes | None:
        """See `BlobStore.read`."""
        rows = await self._ask(lambda session, _: session.fetch(_READ, shown(id), start, size))
        if not rows:
            return None
        # A blob whose parts are gone still has its row: then this one is without data.
        parts = [row["data"] for row in rows if row["data"] is not None]
        return b"".join(parts) if parts or start >= rows[0]["bytes"] else None

    async def usage(self, owner: str) -> Usage:
        """See `BlobStore.usage`."""
        query = "SELECT count(*), coalesce(sum(bytes), 0)::bigint FROM blobs WHERE owner = $1"
        found = await self._ask(lambda session, _: session.fetchrow(query, owner))
        assert found is not None
        return Usage(*found)

    async def delete(self, id: str, *, unused_before: int | None = None) -> bool:
        """See `BlobStore.delete`."""
        unused = "" if unused_before is None else f"AND {_UNUSED.format('$2')}"
        known = [shown(id)] if unused_before is None else [shown(id), unused_before]
        query = _DELETE.format(unused)
        return bool(await self._ask(lambda session, _: session.fetchval(query, *known)))

    async def unused(self, *, before: int) -> AsyncIterator[str]:
        """See `BlobStore.unused`."""
        query = f"""SELECT id, {_UNUSED.format("$1")} AS is_unused FROM blobs
            WHERE id > $2 ORDER BY id LIMIT {_PAGE}"""
        last = ""
        while page := await self._page(query, before, last):
            for id, is_unused in page:
                if is_unused:
                    yield id
            last = page[-1][0]

    async def tidy(self) -> bool:
        """See `BlobStore.tidy`: what uploads of dead nodes have left."""
        return bool(await self._ask(lambda session, _: session.fetchval(_TIDY)))

    async def _page(self, query: str, before: int, after: str) -> list[tuple[str, bool]]:
        rows = await self._ask(lambda session, _: session.fetch(query, before, after))
        return [(row["id"], row["is_unused"]) for row in rows]


class _Spool:
    """`Spool` into the database: a row for each part."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._upload = f"u_{secrets.token_hex(12)}"
        self._hash = hashlib.sha256()
        self._discarding: asyncio.Task[None] | None = None
        self._is_over = False
        self.size = 0

    async def write(self, data: bytes) -> None:
        """See `Spool.write`."""
        if not data:
            return
        start = self.size
        self.size += len(data)
        # Hashing this much on the loop would delay the tokens of all streams.
        await asyncio.to_thread(self._hash.update, data)
        await self._ask(
            lambda session, node: session.execute(_WRITE, self._upload, node, start, data)
        )

    async def finish(self) -> str:
        """See `Spool.finish`."""
        return self._hash.hexdigest()

    async def put(self, blob: Blob, *, at: int) -> None:
        """See `Spool.put`.

        Raises:
            StoreError: the node died meanwhile, and somebody else has removed the bytes.
        """
        put = await self._ask(
            lambda session, node: session.fetchval(
                _PUT,
                blob.id,
                blob.owner,
                blob.media_type,
                blob.bytes,
                at,
                self._upload,
                self.size > 0,
            )
        )
        if put is None:
            raise StoreError("the upload was lost with the node that took it")
        self._is_over = put == self._upload

    def discard(self) -> None:
        """See `Spool.discard`."""
        if not self._is_over and self._discarding is None and self.size > 0:
            self._discarding = asyncio.create_task(self._discard(), name="discard an upload")

    async def _discard(self) -> None:
        with contextlib.suppress(StoreError):  # It is removed once this node is gone.
            await self._ask(lambda session, _: session.execute(_DISCARD, self._upload))


_UNUSED = "put_at < {} AND NOT EXISTS (SELECT FROM blob_uses WHERE blob = blobs.id)"

_READ = """SELECT blobs.bytes,
        substring(data FROM greatest($2 - start, 0)::int + 1
            FOR (least(start + length(data), $2 + $3) - greatest(start, $2))::int) AS data
    FROM blobs LEFT JOIN blob_parts ON blob_parts.upload = blobs.upload
        AND start < $2::bigint + $3::bigint AND start + length(data) > $2::bigint
    WHERE id = $1 ORDER BY start"""

_DELETE = """WITH gone AS (DELETE FROM blobs WHERE id = $1 {} RETURNING upload),
    parts AS (DELETE FROM blob_parts USING gone WHERE blob_parts.upload = gone.upload)
    SELECT true FROM gone"""

_WRITE = """WITH begun AS (INSERT INTO uploads VALUES ($1, $2) ON CONFLICT DO NOTHING)
    INSERT INTO blob_parts VALUES ($1, $3, $4)"""

# Gives the upload whose bytes are the blob's now: an earlier one, where it was put before.
_PUT = """WITH mine AS (SELECT id FROM uploads WHERE id = $6 FOR UPDATE), put AS (
        INSERT INTO blobs (id, owner, media_type, bytes, put_at, upload)
        SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT FROM mine) OR NOT $7
        ON CONFLICT (id) DO UPDATE SET put_at = excluded.put_at RETURNING upload
    ), over AS (DELETE FROM uploads USING put WHERE uploads.id = put.upload)
    SELECT upload FROM put"""

_DISCARD = """WITH parts AS (DELETE FROM blob_parts WHERE upload = $1)
    DELETE FROM uploads WHERE id = $1"""

_TIDY = """WITH dead AS (
        DELETE FROM uploads WHERE id IN (SELECT id FROM uploads
            WHERE NOT EXISTS (SELECT FROM nodes WHERE nodes.id = uploads.node) LIMIT 1)
        RETURNING id
    ), parts AS (DELETE FROM blob_parts USING dead WHERE upload = dead.id)
    SELECT true FROM dead"""

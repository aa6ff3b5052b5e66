"""A store in this process's memory: for tests and throwaway use; nothing survives the process."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from turnwire_server.errors import Fenced
from turnwire_server.store.nodes import LocalNodes, Nodes
from turnwire_server.store.port import (
    HIDDEN,
    Batch,
    Blob,
    Claim,
    Fence,
    Head,
    Row,
    Spent,
    Spool,
    Usage,
    reach_of,
)
from turnwire_server.timestamp import timestamp

__all__ = ["MemoryBlobs", "MemoryStore"]


@dataclass(slots=True)
class _Log:
    head: Head
    rows: list[Row] = field(default_factory=list)
    is_open: bool = False
    blobs: set[str] = field(default_factory=set)
    """Ids of those that it names."""


class MemoryStore:
    """`Store` over a dict. Durable means: appended here."""

    is_shared = False
    nodes: Nodes = LocalNodes()

    def __init__(self) -> None:
        self._logs: dict[str, _Log] = {}
        self._spent: dict[tuple[str, str], Spent] = {}
        self.blobs = MemoryBlobs(self._is_named)
        """See `Store.blobs`."""

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def claim(
        self, conversation: str, owner: str, epoch: str, *, is_new: bool = False
    ) -> Claim:
        """See `Store.claim`."""
        log = self._logs.get(conversation)
        if log is None:
            return Claim(Fence(conversation, owner, epoch))
        head = log.head
        fence = Fence(conversation, head.owner, head.epoch)
        return Claim(fence, head=head.seq, is_open=log.is_open)

    async def release(self, fence: Fence) -> None:
        """Nobody else is there to claim it."""

    async def append(self, batches: list[Batch]) -> None:
        """See `Store.append`."""
        now = timestamp(precision="microseconds")
        for batch in batches:
            fence = batch.fence
            log = self._logs.get(fence.conversation)
            if log is None:
                head = Head(fence.conversation, fence.owner, fence.epoch, 0, "", now, now)
                log = self._logs[fence.conversation] = _Log(head)
            if fence.epoch != log.head.epoch or batch.first_seq > log.head.seq + 1:
                raise Fenced(f"{fence.conversation} is another log than it was")
            if batch.last_seq <= log.head.seq:
                continue  # A repetition of what is here already.
            log.rows.append(Row(batch.first_seq, batch.last_seq, batch.body))
            log.blobs |= batch.blobs
            log.is_open = batch.is_open
            for spent in batch.spent:
                before = await self.spent(fence.owner, spent.day)
                self._spent[fence.owner, spent.day] = Spent(
                    spent.day, before.tokens + spent.tokens, before.cost_usd + spent.cost_usd
                )
            title = log.head.title if batch.title is None else batch.title
            log.head = replace(log.head, seq=batch.last_seq, title=title, updated_at=now)

    async def reach(self, fence: Fence) -> int:
        """See `Store.reach`."""
        return reach_of(fence, await self.head(fence.conversation))

    async def read(self, conversation: str, after: int, *, max_bytes: int) -> list[bytes]:
        """See `Store.read`."""
        log = self._logs.get(conversation)
        bodies: list[bytes] = []
        size = 0
        for row in log.rows if log else ():
            if row.last_seq <= after:
                continue
            bodies.append(row.body)
            size += len(row.body)
            if size >= max_bytes:
                break
        return bodies

    async def compact(
        self, conversation: str, join: Callable[[list[bytes]], list[Row]], *, after: int = 0
    ) -> None:
        """See `Store.compact`."""
        log = self._logs.get(conversation)
        if log is not None:
            kept = [row for row in log.rows if row.last_seq <= after]
            log.rows = kept + join([row.body for row in log.rows[len(kept) :]])

    async def head(self, conversation: str) -> Head | None:
        """See `Store.head`."""
        log = self._logs.get(conversation)
        return log.head if log else None

    async def list_heads(
        self, owner: str, *, limit: int, before: str | None, query: str | None = None
    ) -> list[Head]:
        """See `Store.list_heads`."""
        heads = self._listed(owner)
        if query is not None:
            heads = [head for head in heads if query.casefold() in head.title.casefold()]
        heads.sort(key=lambda head: head.position, reverse=True)
        return [head for head in heads if before is None or head.position < before][:limit]

    async def orphans(self) -> list[Head]:
        """See `Store.orphans`."""
        return [log.head for log in self._logs.values() if log.is_open]

    async def count_open(self, owner: str) -> int:
        """See `Store.count_open`."""
        return sum(log.is_open and log.head.owner == owner for log in self._logs.values())

    async def list_hidden(self, *, before: str, limit: int) -> list[Head]:
        """See `Store.list_hidden`."""
        hidden = [
            log.head
            for id, log in self._logs.items()
            if id.startswith(HIDDEN) and not log.is_open and log.head.updated_at < before
        ]
        return hidden[:limit]

    async def count(self, owner: str) -> int:
        """See `Store.count`."""
        return len(self._listed(owner))

    async def spent(self, owner: str, day: str) -> Spent:
        """See `Store.spent`."""
        return self._spent.get((owner, day), Spent(day))

    async def rename(self, conversation: str, title: str) -> None:
        """See `Store.rename`."""
        log = self._logs.get(conversation)
        if log is not None:
            log.head = replace(log.head, title=title)

    async def delete(self, conversation: str) -> None:
        """See `Store.delete`."""
        self._logs.pop(conversation, None)

    def _listed(self, owner: str) -> list[Head]:
        heads = [log.head for log in self._logs.values() if log.head.owner == owner]
        return [head for head in heads if not head.conversation.startswith(HIDDEN)]

    def _is_named(self, blob: str) -> bool:
        return any(blob in log.blobs for log in self._logs.values())


class MemoryBlobs:
    """`BlobStore` over a dict. `is_named` tells whether a log names a blob."""

    def __init__(self, is_named: Callable[[str], bool]) -> None:
        self._is_named = is_named
        self._stored: dict[str, _Stored] = {}

    async def spool(self) -> Spool:
        """See `BlobStore.spool`."""
        return _Spool(self._stored)

    async def find(self, id: str) -> Blob | None:
        """See `BlobStore.find`."""
        stored = self._stored.get(id)
        return None if stored is None else stored.blob

    async def read(self, id: str, start: int, size: int) -> bytes | None:
        """See `BlobStore.read`."""
        stored = self._stored.get(id)
        return None if stored is None else stored.data[start : start + size]

    async def usage(self, owner: str) -> Usage:
        """See `BlobStore.usage`."""
        sizes = [item.blob.bytes for item in self._stored.values() if item.blob.owner == owner]
        return Usage(len(sizes), sum(sizes))

    async def delete(self, id: str, *, unused_before: int | None = None) -> bool:
        """See `BlobStore.delete`."""
        if id not in self._stored:
            return False
        if unused_before is not None and not self._is_unused(id, unused_before):
            return False
        del self._stored[id]
        return True

    async def unused(self, *, before: int) -> AsyncIterator[str]:
        """See `BlobStore.unused`."""
        for id in [id for id in self._stored if self._is_unused(id, before)]:
            yield id

    async def tidy(self) -> bool:
        """See `BlobStore.tidy`."""
        return False

    def _is_unused(self, id: str, before: int) -> bool:
        return self._stored[id].put_at < before and not self._is_named(id)


@dataclass(slots=True)
class _Stored:
    blob: Blob
    data: bytes
    put_at: int


class _Spool:
    """`Spool` in memory."""

    def __init__(self, stored: dict[str, _Stored]) -> None:
        self._stored = stored
        self._data = bytearray()
        self._hash = hashlib.sha256()

    @property
    def size(self) -> int:
        """See `Spool.size`."""
        return len(self._data)

    async def write(self, data: bytes) -> None:
        """See `Spool.write`."""
        self._data += data
        # Hashing this much on the loop would delay the tokens of all streams.
        await asyncio.to_thread(self._hash.update, data)

    async def finish(self) -> str:
        """See `Spool.finish`."""
        return self._hash.hexdigest()

    async def put(self, blob: Blob, *, at: int) -> None:
        """See `Spool.put`."""
        earlier = self._stored.get(blob.id)
        if earlier is None:
            self._stored[blob.id] = _Stored(blob, bytes(self._data), at)
        else:
            earlier.put_at = at

    def discard(self) -> None:
        """See `Spool.discard`."""

"""A store in this process's memory: for tests and throwaway use; nothing survives the process."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from turnwire_server.errors import Fenced
from turnwire_server.store.port import Batch, Blob, Fence, Head, Row
from turnwire_server.timestamp import timestamp

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Log:
    head: Head
    rows: list[Row] = field(default_factory=list)
    is_open: bool = False


class MemoryStore:
    """`Store` over a dict. Durable means: appended here."""

    def __init__(self) -> None:
        self._logs: dict[str, _Log] = {}
        self._blobs: dict[str, Blob] = {}

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def claim(self, conversation: str, owner: str, epoch: str) -> Fence:
        """See `Store.claim`."""
        log = self._logs.get(conversation)
        if log is not None:
            return Fence(conversation, log.head.owner, log.head.epoch)
        return Fence(conversation, owner, epoch)

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
            log.is_open = batch.is_open
            title = log.head.title if batch.title is None else batch.title
            log.head = replace(log.head, seq=batch.last_seq, title=title, updated_at=now)

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

    async def list_heads(self, owner: str, *, limit: int, before: str | None) -> list[Head]:
        """See `Store.list_heads`."""
        heads = [log.head for log in self._logs.values() if log.head.owner == owner]
        heads.sort(key=lambda head: head.position, reverse=True)
        return [head for head in heads if before is None or head.position < before][:limit]

    async def list_open(self) -> list[Head]:
        """See `Store.list_open`."""
        return [log.head for log in self._logs.values() if log.is_open]

    async def rename(self, conversation: str, title: str) -> None:
        """See `Store.rename`."""
        log = self._logs.get(conversation)
        if log is not None:
            log.head = replace(log.head, title=title)

    async def delete(self, conversation: str) -> None:
        """See `Store.delete`."""
        self._logs.pop(conversation, None)

    async def put_blob(self, blob: Blob) -> None:
        """See `Store.put_blob`."""
        self._blobs.setdefault(blob.id, blob)

    async def get_blob(self, id: str) -> Blob | None:
        """See `Store.get_blob`."""
        return self._blobs.get(id)

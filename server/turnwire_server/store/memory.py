"""A store in this process's memory: for tests and throwaway use; nothing survives the process."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from turnwire_server.store.port import Batch, Fence, Head

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Rows:
    head: Head
    batches: list[Batch] = field(default_factory=list)


class MemoryStore:
    """`Store` over a dict. Durable means: appended here."""

    def __init__(self) -> None:
        self._logs: dict[str, _Rows] = {}

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def claim(self, conversation: str, owner: str, epoch: str) -> Fence:
        """See `Store.claim`."""
        rows = self._logs.get(conversation)
        if rows is not None:
            return Fence(conversation, rows.head.owner, rows.head.epoch)
        return Fence(conversation, owner, epoch)

    async def append(self, batches: list[Batch]) -> None:
        """See `Store.append`."""
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        for batch in batches:
            fence = batch.fence
            rows = self._logs.get(fence.conversation)
            if rows is None:
                head = Head(fence.conversation, fence.owner, fence.epoch, 0, "", now, now)
                rows = self._logs[fence.conversation] = _Rows(head)
            if batch.first_seq != rows.head.seq + 1:
                continue  # A repetition of what is here already.
            rows.batches.append(batch)
            rows.head = Head(
                fence.conversation,
                rows.head.owner,
                rows.head.epoch,
                batch.last_seq,
                batch.title or rows.head.title,
                rows.head.created_at,
                now,
            )

    async def read(self, conversation: str, after: int, *, max_bytes: int) -> list[bytes]:
        """See `Store.read`."""
        rows = self._logs.get(conversation)
        bodies: list[bytes] = []
        size = 0
        for batch in rows.batches if rows else ():
            if batch.last_seq <= after:
                continue
            bodies.append(batch.body)
            size += len(batch.body)
            if size >= max_bytes:
                break
        return bodies

    async def head(self, conversation: str) -> Head | None:
        """See `Store.head`."""
        rows = self._logs.get(conversation)
        return rows.head if rows else None

    async def list_heads(self, owner: str, *, limit: int, before: str | None) -> list[Head]:
        """See `Store.list`."""
        heads = [rows.head for rows in self._logs.values() if rows.head.owner == owner]
        heads.sort(key=position, reverse=True)
        return [head for head in heads if before is None or position(head) < before][:limit]

    async def delete(self, conversation: str) -> None:
        """See `Store.delete`."""
        self._logs.pop(conversation, None)


def position(head: Head) -> str:
    """Where a conversation stands in the list: newest first."""
    return f"{head.updated_at}|{head.conversation}"

"""All that a store holds, to be carried into another one; knows no particular store.

What is copied stays what it was: epochs, seqs, times and the ids of blobs. So every client that
comes back to the other store resumes where it stood.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from turnwire_server.errors import StoreError
from turnwire_server.store.port import Blob, BlobStore, Head, Row, Spent, Store

__all__ = ["Archivable", "Archive", "Archived", "Moved", "Spending", "move_all"]

_PART_BYTES = 256 * 1024


@dataclass(slots=True, frozen=True)
class Archived:
    """A conversation without its rows. `head.seq` counts for nothing: the rows say it."""

    head: Head
    is_open: bool
    blobs: frozenset[str]
    """Ids of those that it names."""


class Spending(NamedTuple):
    """What one owner's turns have used on one day."""

    owner: str
    spent: Spent


class Archive(Protocol):
    """A store, as a whole. It is open, and nobody else uses it."""

    async def is_alone(self) -> bool:
        """Whether nobody else has it open."""

    async def conversations(self, after: str) -> list[Archived]:
        """The next ones after an id, in the order of their ids; none: these were all."""

    async def rows(self, conversation: str) -> list[Row]:
        """The whole log."""

    async def blobs(self, after: str) -> list[tuple[Blob, int]]:
        """The next blobs after an id, with the time at which they were put; none: all."""

    async def spendings(self) -> list[Spending]:
        """All of them."""

    async def take(self, archived: Archived, rows: list[Row]) -> None:
        """Make this conversation, which there is not yet, in one commit."""

    async def take_spendings(self, spendings: list[Spending]) -> None:
        """Record them; what was taken before is not added again."""


@runtime_checkable
class Archivable(Store, Protocol):
    """A store that can be carried into another one."""

    archive: Archive


class Moved(NamedTuple):
    """What has come, and what had come before."""

    conversations: int
    conversations_before: int
    blobs: int
    blobs_before: int


async def move_all(source: Archivable, target: Archivable) -> Moved:
    """Copy everything. What was cut off can be repeated: what is there already is passed over.

    Raises:
        StoreError: one of the two is in use, or fails; or a conversation has gone on in the target.
    """
    for store in (source, target):
        if not await store.archive.is_alone():
            raise StoreError("a service uses one of the two: stop it first")
    # What an older version has left in another place.
    while await source.blobs.tidy():
        pass
    blobs, blobs_before = await _move_blobs(source.blobs, source.archive, target.blobs)
    moved = before = 0
    last = ""
    while page := await source.archive.conversations(last):
        for archived in page:
            rows = await source.archive.rows(archived.head.conversation)
            if await _is_there(target, archived.head, rows):
                before += 1
            else:
                await target.archive.take(archived, rows)
                moved += 1
        last = page[-1].head.conversation
    await target.archive.take_spendings(await source.archive.spendings())
    return Moved(moved, before, blobs, blobs_before)


async def _is_there(target: Store, head: Head, rows: list[Row]) -> bool:
    """Whether the target has the whole conversation. What it has of an earlier state goes.

    Raises:
        StoreError: it has more, or something else.
    """
    there = await target.head(head.conversation)
    if there is None:
        return False
    seq = rows[-1].last_seq if rows else 0
    if there.epoch != head.epoch or there.seq > seq:
        raise StoreError(f"conversation={head.conversation} has gone on in the target already")
    if there.seq == seq:
        return True
    await target.delete(head.conversation)
    return False


async def _move_blobs(source: BlobStore, archive: Archive, target: BlobStore) -> tuple[int, int]:
    moved = before = 0
    last = ""
    while page := await archive.blobs(last):
        for blob, at in page:
            if await target.find(blob.id) is not None:
                before += 1
            else:
                await _move_blob(source, target, blob, at)
                moved += 1
        last = page[-1][0].id
    return moved, before


async def _move_blob(source: BlobStore, target: BlobStore, blob: Blob, at: int) -> None:
    spool = await target.spool()
    try:
        await spool.write(b"")  # What is empty is written, too.
        while spool.size < blob.bytes:
            data = await source.read(blob.id, spool.size, _PART_BYTES)
            if not data:
                return  # Its bytes are lost: there is nothing to carry over.
            await spool.write(data)
        await spool.finish()
        await spool.put(blob, at=at)
    finally:
        spool.discard()

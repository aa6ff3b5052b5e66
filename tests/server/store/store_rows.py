"""Shortest ways to fill a store and to look at all of it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeVar, overload

from tests.kit.fence import fence_of
from turnwire_server.store.port import Batch, Blob, BlobStore, Fence, Row, Spent, Store
from turnwire_server.store.postgres import PostgresStore
from turnwire_server.store.sqlite import SqliteStore

__all__ = [
    "batch_of",
    "blob_of",
    "bodies_of",
    "bytes_of",
    "fill",
    "join_all",
    "opened",
    "put",
    "row_body",
]


@overload
def opened(place: Path, *, node: str | None = None) -> AbstractAsyncContextManager[SqliteStore]: ...


@overload
def opened(
    place: str, *, node: str | None = None
) -> AbstractAsyncContextManager[PostgresStore]: ...


def opened(
    place: Path | str, *, node: str | None = None
) -> AbstractAsyncContextManager[SqliteStore] | AbstractAsyncContextManager[PostgresStore]:
    """The store in a file, or at the address of a PostgreSQL; it is open meanwhile. `node`: the
    name of the place, whose last one is dead."""
    if isinstance(place, Path):
        return _opened(SqliteStore(place))
    return _opened(PostgresStore(place, node=node))


StoreType = TypeVar("StoreType", SqliteStore, PostgresStore)


@asynccontextmanager
async def _opened(store: StoreType) -> AsyncIterator[StoreType]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def row_body(first_seq: int, last_seq: int) -> bytes:
    """A body from which its seqs can be read back."""
    return f"[{first_seq}-{last_seq}]".encode()


def batch_of(
    fence: Fence,
    first_seq: int,
    last_seq: int | None = None,
    *,
    is_open: bool = False,
    title: str | None = None,
    blobs: Iterable[str] = (),
    spent: tuple[Spent, ...] = (),
    releases: bool = False,
) -> Batch:
    """A batch of one seq, or of first_seq to last_seq, with the body that says so."""
    last_seq = first_seq if last_seq is None else last_seq
    body = row_body(first_seq, last_seq)
    named = frozenset(blobs)
    return Batch(fence, first_seq, last_seq, body, is_open, title, named, spent, releases)


async def fill(store: Store, conversation: str, count: int, *, owner: str = "ann") -> Fence:
    """Append `count` batches of one seq each, one commit for each."""
    fence = await fence_of(store, conversation, owner, "epoch")
    for seq in range(1, count + 1):
        await store.append([batch_of(fence, seq)])
    return fence


async def bodies_of(store: Store, conversation: str) -> list[bytes]:
    """Everything stored of a conversation."""
    return await store.read(conversation, 0, max_bytes=2**30)


def join_all(bodies: list[bytes]) -> list[Row]:
    """One row of all, for `compact`; takes bodies of `row_body`, which it concatenates."""
    first_seq = int(bodies[0].split(b"-")[0].strip(b"["))
    last_seq = int(bodies[-1].rsplit(b"-")[-1].strip(b"]"))
    return [Row(first_seq, last_seq, b"".join(bodies))]


def blob_of(id: str, data: bytes, *, owner: str = "ann", media_type: str = "image/png") -> Blob:
    """What is known of these bytes."""
    return Blob(id, owner, media_type, len(data))


async def put(blobs: BlobStore, blob: Blob, data: bytes, *, at: int = 0) -> None:
    """Put the bytes in, in two parts."""
    spool = await blobs.spool()
    for part in (data[: len(data) // 2], data[len(data) // 2 :]):
        await spool.write(part)
    await spool.finish()
    await spool.put(blob, at=at)


async def bytes_of(blobs: BlobStore, id: str) -> bytes | None:
    """All bytes of a blob."""
    return await blobs.read(id, 0, 2**30)

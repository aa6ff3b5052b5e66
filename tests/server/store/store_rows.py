"""Shortest ways to fill a store and to look at all of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from turnwire_server.store.port import Batch, Fence, Row, Store
from turnwire_server.store.sqlite import SqliteStore

__all__ = ["batch_of", "bodies_of", "fill", "join_all", "opened", "row_body"]


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    """A SQLite store that is open meanwhile."""
    store = SqliteStore(path)
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
) -> Batch:
    """A batch of one seq, or of first_seq to last_seq, with the body that says so."""
    last_seq = first_seq if last_seq is None else last_seq
    return Batch(fence, first_seq, last_seq, row_body(first_seq, last_seq), is_open, title)


async def fill(store: Store, conversation: str, count: int, *, owner: str = "ann") -> Fence:
    """Append `count` batches of one seq each, one commit for each."""
    fence = await store.claim(conversation, owner, "epoch")
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

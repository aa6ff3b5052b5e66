"""What the core wants of a store: fenced, idempotent appends, and reads after a cursor.

Several processes may share a store; each is a node then. One of them at a time writes to a
conversation: it claims it, and lets go of it with the batch that ends the last turn. In a store of
one process (SQLite, memory) nobody else is there to hold anything.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, Protocol

from turnwire_server.errors import Fenced
from turnwire_server.store.nodes import Nodes

__all__ = [
    "HIDDEN",
    "Batch",
    "Blob",
    "BlobStore",
    "Claim",
    "Fence",
    "Head",
    "Row",
    "Spent",
    "Spool",
    "Store",
    "Usage",
    "joined",
    "reach_of",
]

HIDDEN = "h_"
"""How the ids of conversations begin that are in no list: each was made for one request."""


@dataclass(slots=True, frozen=True)
class Fence:
    """The right to append to one log, until somebody else claims it."""

    conversation: str
    owner: str
    epoch: str
    node: str = field(default="", compare=False)
    """The node that has it, where a store tells nodes apart. One that was declared dead is another
    node from then on, and what it had claimed before is void."""


class Spent(NamedTuple):
    """What turns that ended on one day (UTC, `YYYY-MM-DD`) have used together."""

    day: str
    tokens: int = 0
    """Input and output, cached or not."""
    cost_usd: float = 0.0
    """Of those turns whose cost is known."""


@dataclass(slots=True, frozen=True)
class Batch:
    """Items (first_seq..last_seq) in their stored form."""

    fence: Fence
    first_seq: int
    last_seq: int
    body: bytes
    is_open: bool
    """Whether a turn is unfinished once this batch is stored: recovery looks for these."""
    title: str | None = None
    """The conversation's title, where this batch sets it."""
    blobs: frozenset[str] = frozenset()
    """Ids of the blobs that its items name: they are kept as long as the conversation is."""
    spent: tuple[Spent, ...] = ()
    """What the turns have used that end in it: added to what its owner has spent, once."""
    releases: bool = False
    """Whether the fence is given back with it: whoever appends next has to claim anew."""


class Row(NamedTuple):
    """Items (first_seq..last_seq) as they lie in the store."""

    first_seq: int
    last_seq: int
    body: bytes


@dataclass(slots=True, frozen=True)
class Head:
    """What is known of a conversation without reading its log. Times are RFC 3339, UTC."""

    conversation: str
    owner: str
    epoch: str
    seq: int
    title: str
    created_at: str
    updated_at: str
    holder: str | None = None
    """Another node that has the right to append now; None: this one, or nobody."""

    @property
    def position(self) -> str:
        """Where it stands in its owner's list; positions compare as the list is ordered."""
        return f"{self.updated_at}|{self.conversation}"


def reach_of(fence: Fence, head: Head | None) -> int:
    """How far a log reaches for who has this fence of it; see `Store.reach`.

    Raises:
        Fenced: it is of another epoch: deleted meanwhile, and begun anew.
    """
    if head is None:
        return 0
    if head.epoch != fence.epoch:
        raise Fenced(f"{fence.conversation} is of epoch {head.epoch} now, not {fence.epoch}")
    return head.seq


def joined(
    conversation: str, rows: list[Row], join: Callable[[list[bytes]], list[Row]]
) -> list[Row]:
    """What `join` makes of a log's neighbouring rows; they as they are, where that is no fewer.

    Raises:
        ValueError: what it made does not cover the same seqs.
    """
    if len(rows) < 2:
        return rows
    new = join([row.body for row in rows])
    if len(new) >= len(rows):
        return rows
    whole = [Row(0, rows[0].first_seq - 1, b""), *new, Row(rows[-1].last_seq + 1, 0, b"")]
    if any(right.first_seq != left.last_seq + 1 for left, right in pairwise(whole)):
        raise ValueError(f"the joined rows of {conversation} do not cover what they replace")
    return new


class Claim(NamedTuple):
    """What came of asking for the right to append."""

    fence: Fence | None
    """None: another node has it."""
    holder: str | None = None
    """The node that has it, if that is another one."""
    head: int = 0
    """The last seq in the store; a copy that does not reach so far must be brought up to date."""
    is_open: bool = False
    """Whether a turn is unfinished there; with a fence: one that nobody else can end any more."""


@dataclass(slots=True, frozen=True)
class Blob:
    """What is known of bytes that logs refer to by id. They never change."""

    id: str
    owner: str
    media_type: str
    bytes: int


class Usage(NamedTuple):
    """What one owner's blobs are together."""

    blobs: int
    bytes: int


class Spool(Protocol):
    """Bytes on their way into a store: no reader sees them, and a crash leaves nothing of them."""

    @property
    def size(self) -> int:
        """How many have been written."""

    async def write(self, data: bytes) -> None:
        """Take in more; one call at a time."""

    async def finish(self) -> str:
        """All has been written, and is on the disk now. Gives its SHA-256, in hexadecimal."""

    async def put(self, blob: Blob, *, at: int) -> None:
        """After `finish`: make this blob of them, put at this time (seconds of Unix).

        One that is there already has been put anew at this time.
        """

    def discard(self) -> None:
        """Let go of what was not put, in the background. May be called at any time."""


class BlobStore(Protocol):
    """Where blobs live. Every method may raise `StoreError`; what returned is durable.

    What changes blobs (`Spool.put`, `delete`, `tidy`) is called one after another.
    """

    async def spool(self) -> Spool:
        """A place for the bytes of one blob."""

    async def find(self, id: str) -> Blob | None:
        """The blob, or None if there is none."""

    async def read(self, id: str, start: int, size: int) -> bytes | None:
        """Up to `size` of its bytes from `start` on, none behind its end; None: they are lost."""

    async def usage(self, owner: str) -> Usage:
        """What the owner's blobs are together."""

    async def delete(self, id: str, *, unused_before: int | None = None) -> bool:
        """Forget the blob; False if there is none.

        With `unused_before` only if no log names it and it was put before this time.
        """

    def unused(self, *, before: int) -> AsyncIterator[str]:
        """Ids of the blobs that no log names and that were put before this time."""

    async def tidy(self) -> bool:
        """Do one piece of what a crash or an older version has left to do; False: all is done."""


class Store(Protocol):
    """Where logs live. Every method may raise `StoreError`; what returned is durable."""

    @property
    def is_shared(self) -> bool:
        """Whether other processes may write to it, too: what one has in memory may be behind, and a
        claim has to be given back. In a store of one process a claim is good for as long as it."""

    @property
    def nodes(self) -> Nodes:
        """The other processes that share it."""

    @property
    def blobs(self) -> BlobStore:
        """Where the blobs live that the logs name."""

    async def open(self) -> None:
        """Make ready; called once, before anything else.

        Raises:
            SettingsError: it cannot be opened like this (in use, too new); the message names the
                remedy.
        """

    async def close(self) -> None:
        """Let go of everything."""

    async def claim(
        self, conversation: str, owner: str, epoch: str, *, is_new: bool = False
    ) -> Claim:
        """Ask for the right to append; a node that has it is given it again.

        `owner` and `epoch` count only where the log does not exist yet. An existing log keeps its
        own, which the fence carries. A conversation comes to exist with its first batch.

        `is_new`: there was none, and none can have come in this process since: a store that has no
        other need not look.
        """

    async def release(self, fence: Fence) -> None:
        """Give the right back where no batch does; what is void already stays so."""

    async def append(self, batches: list[Batch]) -> None:
        """Make all batches durable in one commit, or none of them.

        Idempotent on (conversation, first_seq): what is stored already is passed over. No batches
        are a probe: it changes nothing, and fails where a commit would fail.

        Raises:
            Fenced: a fence is void: somebody else has claimed the log, or begun it anew.
            StoreError: it may have been stored nevertheless; the same call may be repeated.
        """

    async def reach(self, fence: Fence) -> int:
        """The last seq of the log, after an append under this fence that failed.

        What was sent before it and may still be on its way has taken effect by then, or never will.

        Raises:
            Fenced: the fence is void: what is there may be somebody else's.
        """

    async def read(self, conversation: str, after: int, *, max_bytes: int) -> list[bytes]:
        """Bodies of the batches that hold anything after `after`, in order.

        At least one if there is any, then up to about `max_bytes`.
        """

    async def compact(
        self, conversation: str, join: Callable[[list[bytes]], list[Row]], *, after: int = 0
    ) -> None:
        """Replace the rows that hold anything after `after` by what `join` makes of their bodies.

        These are fewer, of the same items.
        """

    async def head(self, conversation: str) -> Head | None:
        """The conversation, or None if there is none."""

    async def list_heads(
        self, owner: str, *, limit: int, before: str | None, query: str | None = None
    ) -> list[Head]:
        """The owner's conversations, newest first, after the position `before`; no hidden ones.

        That is the `Head.position` of the last one seen. `query`: only those whose title contains
        it, whatever the case of the letters A to Z, at least.
        """

    async def orphans(self) -> list[Head]:
        """The conversations whose last batch left a turn unfinished that no living node holds.

        In a store of one process: all that are unfinished. It asks before it begins any turn.
        """

    async def count_open(self, owner: str) -> int:
        """How many of the owner's conversations have an unfinished turn, on all nodes."""

    async def list_hidden(self, *, before: str, limit: int) -> list[Head]:
        """Hidden conversations without an unfinished turn that have not changed since `before`, a
        time as `Head` has them."""

    async def count(self, owner: str) -> int:
        """How many conversations the owner has; hidden ones do not count."""

    async def spent(self, owner: str, day: str) -> Spent:
        """What the owner's turns have used that ended on that day (UTC, `YYYY-MM-DD`).

        It stays when conversations are deleted.
        """

    async def rename(self, conversation: str, title: str) -> None:
        """Set the title; the position in the list stays."""

    async def delete(self, conversation: str) -> None:
        """Forget the conversation and its log. Its blobs stay: another log may name them."""

"""What the core wants of a store: fenced, idempotent appends, and reads after a cursor."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

__all__ = ["Batch", "Blob", "Fence", "Head", "Row", "Store"]


@dataclass(slots=True, frozen=True)
class Fence:
    """The right to append to one log, until somebody else claims it."""

    conversation: str
    owner: str
    epoch: str


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

    @property
    def position(self) -> str:
        """Where it stands in its owner's list; positions compare as the list is ordered."""
        return f"{self.updated_at}|{self.conversation}"


@dataclass(slots=True, frozen=True)
class Blob:
    """Bytes that logs refer to by id. It never changes."""

    id: str
    owner: str
    media_type: str
    data: bytes = field(repr=False)


class Store(Protocol):
    """Where logs live. Every method may raise `StoreError`; what returned is durable."""

    async def open(self) -> None:
        """Make ready; called once, before anything else.

        Raises:
            SettingsError: it cannot be opened like this (in use, too new); the message names the
                remedy.
        """

    async def close(self) -> None:
        """Let go of everything."""

    async def claim(self, conversation: str, owner: str, epoch: str) -> Fence:
        """The right to append; `owner` and `epoch` count only where the log does not exist yet.

        An existing log keeps its own, which the returned fence carries. A conversation comes to
        exist with its first batch.
        """

    async def append(self, batches: list[Batch]) -> None:
        """Make all batches durable in one commit, or none of them.

        Idempotent on (conversation, first_seq): what is stored already is passed over. No batches
        are a probe: it changes nothing, and fails where a commit would fail.

        Raises:
            Fenced: a fence is void: somebody else has written, or begun the log anew.
            StoreError: it may have been stored nevertheless; the same call may be repeated.
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

    async def list_heads(self, owner: str, *, limit: int, before: str | None) -> list[Head]:
        """The owner's conversations, newest first, after the position `before`.

        That is the `Head.position` of the last one seen.
        """

    async def list_open(self) -> list[Head]:
        """The conversations whose last batch left a turn unfinished."""

    async def rename(self, conversation: str, title: str) -> None:
        """Set the title; the position in the list stays."""

    async def delete(self, conversation: str) -> None:
        """Forget the conversation and its log. Blobs stay: another log may refer to them."""

    async def put_blob(self, blob: Blob) -> None:
        """Make the blob durable; one whose id is stored already is passed over."""

    async def get_blob(self, id: str) -> Blob | None:
        """The blob, or None if there is none."""

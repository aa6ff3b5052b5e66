"""What a log holds: single events with their private fields, and runs of mergeable deltas."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypedDict

from pydantic_core import to_json

from turnwire_protocol import (
    MAX_MERGED_BYTES,
    Attachment,
    Done,
    Event,
    Message,
    Thinking,
    Token,
    ToolInput,
    ToolResult,
    TotalUsage,
    encode,
    parse_event,
    span_of,
)
from turnwire_server.errors import Unreadable
from turnwire_server.store.port import Spent

__all__ = [
    "ENTRY_BYTES",
    "TYPE_NAMES",
    "DeltaRun",
    "DeltaType",
    "Entry",
    "Item",
    "Place",
    "Private",
    "coalesce",
    "spent_of",
    "text_bytes",
]

Private = dict[str, Any]
"""What is stored with an event and never sent: its keys stand in PROTOCOL.md "Private fields"."""

ENTRY_BYTES = 256
"""What an entry counts for, roughly."""
TYPE_NAMES = {Token: "token", Thinking: "thinking", ToolInput: "tool_input"}
DeltaType = type[Token] | type[Thinking] | type[ToolInput]


class Place(TypedDict):
    """Where an event stands and when it happened: what all events that are no deltas have."""

    conversation: str
    seq: int
    turn: str
    at: str


@dataclass(slots=True, frozen=True)
class Entry:
    """One event that never merges, and what is stored with it but never sent."""

    event: Event
    private: Private | None = None

    @property
    def turn(self) -> str:
        """Whose it is."""
        return self.event.turn

    @property
    def first_seq(self) -> int:
        """The seq of its first part."""
        return self.event.seq - span_of(self.event) + 1

    @property
    def last_seq(self) -> int:
        """The seq of its last part."""
        return self.event.seq

    @property
    def blobs(self) -> list[str]:
        """The ids of the blobs that it names."""
        if not isinstance(self.event, Message | ToolResult) or isinstance(self.event.content, str):
            return []
        return [block.blob for block in self.event.content if isinstance(block, Attachment)]

    @property
    def spent(self) -> Spent | None:
        """What its turn has used, if it is the end of one."""
        if not isinstance(self.event, Done):
            return None
        return spent_of(self.event.usage, self.event.cost_usd, at=self.event.at)

    def cut(self, after: int, upto: int) -> "Entry":
        """The part in (after, upto]; an entry has only one."""
        return self

    def encoded(self) -> str:
        """The event's JSON text."""
        return encode(self.event)


class DeltaRun:
    """Neighbouring deltas of one block: a growing list of texts. Only its log appends to it."""

    __slots__ = ("block", "conversation", "first_seq", "size", "texts", "tool_id", "turn", "type")

    def __init__(
        self,
        type: DeltaType,
        *,
        conversation: str,
        turn: str,
        block: int,
        tool_id: str | None,
        first_seq: int,
        texts: list[str],
    ) -> None:
        self.type = type
        self.conversation = conversation
        self.turn = turn
        self.block = block
        self.tool_id = tool_id
        self.first_seq = first_seq
        self.texts = texts
        self.size = sum(map(text_bytes, texts))
        """Bytes of UTF-8."""

    @property
    def last_seq(self) -> int:
        """The seq of its last part."""
        return self.first_seq + len(self.texts) - 1

    def joins(self, other: "DeltaRun") -> bool:
        """Whether the other goes on where this one ends, and both fit into one merged event."""
        return (
            self.type is other.type
            and self.turn == other.turn
            and self.block == other.block
            and self.last_seq + 1 == other.first_seq
            and self.size + other.size <= MAX_MERGED_BYTES
        )

    def cut(self, after: int, upto: int) -> "DeltaRun":
        """A run of its own of the parts in (after, upto]."""
        start = max(after + 1 - self.first_seq, 0)
        return DeltaRun(
            self.type,
            conversation=self.conversation,
            turn=self.turn,
            block=self.block,
            tool_id=self.tool_id,
            first_seq=self.first_seq + start,
            texts=self.texts[start : upto + 1 - self.first_seq],
        )

    @property
    def event(self) -> Event:
        """All of it as one merged event."""
        return parse_event(self.fields())

    def fields(self) -> dict[str, Any]:
        """The event's fields as on the wire. Its texts were checked when the model said them."""
        fields: dict[str, Any] = {
            "type": TYPE_NAMES[self.type],
            "conversation": self.conversation,
            "seq": self.last_seq,
            "turn": self.turn,
            "block": self.block,
        }
        if len(self.texts) > 1:
            fields["span"] = len(self.texts)
        if self.type is ToolInput:
            fields["tool_id"] = self.tool_id
            fields["partial_json"] = "".join(self.texts)
        else:
            fields["text"] = "".join(self.texts)
        return fields

    def encoded(self) -> str:
        """The event's JSON text. The path of every token: no event object is made."""
        return to_json(self.fields()).decode()


Item = Entry | DeltaRun


def coalesce(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, with runs that continue each other (they were stored apart) joined."""
    last: DeltaRun | None = None
    is_copy = False
    for item in items:
        if last is not None and isinstance(item, DeltaRun) and last.joins(item):
            if not is_copy:
                last, is_copy = last.cut(last.first_seq - 1, last.last_seq), True
            # In place: copied at each part, the work would grow with the square of their number.
            last.texts += item.texts
            last.size += item.size
            continue
        if last is not None:
            yield last
        last, is_copy = item if isinstance(item, DeltaRun) else None, False
        if last is None:
            yield item
    if last is not None:
        yield last


def spent_of(usage: TotalUsage, cost_usd: float | None, *, at: str) -> Spent:
    """What it counts for, on the day of `at` (RFC 3339, UTC)."""
    tokens = (
        usage.input_tokens
        + usage.output_tokens
        + usage.cache_read_input_tokens
        + usage.cache_creation_input_tokens
    )
    return Spent(at[:10], tokens, cost_usd or 0.0)


def text_bytes(text: str) -> int:
    """How long it is in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def continuing(items: list[Item], after: int) -> Iterator[Item]:
    """Those after `after`, the first of them cut there; at least one.

    Raises:
        Unreadable: they do not go on there: asking for the next would go on for ever.
    """
    if not items or items[-1].last_seq <= after:
        raise Unreadable(f"what should go on after {after} ends before it")
    for item in items:
        if item.last_seq <= after:
            continue
        if item.first_seq > after + 1:
            raise Unreadable(f"{after} is followed by {item.first_seq}")
        yield item.cut(after, item.last_seq) if item.first_seq <= after else item
        after = item.last_seq


def weight(body: bytes, items: list[Item]) -> int:
    """The bytes that a stored row counts for, roughly: deltas by their text alone."""
    runs = [item for item in items if isinstance(item, DeltaRun)]
    return sum(run.size for run in runs) if len(runs) == len(items) else len(body)

"""What a log holds: single events with their private fields, and runs of mergeable deltas.

The stored form is JSON: the event as on the wire, `private` beside it, and `parts`, the lengths (in
code points) of the texts a run was merged from, so that a cursor inside it is cut exactly there.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from turnwire_protocol import (
    MAX_MERGED_BYTES,
    Event,
    Thinking,
    Token,
    ToolInput,
    encode,
    parse_event,
    span_of,
)
from turnwire_server.store.port import Row

__all__ = [
    "TYPE_NAMES",
    "Entry",
    "Item",
    "Private",
    "Run",
    "coalesce",
    "dump",
    "events_of",
    "join",
    "load",
    "text_bytes",
]

Private = dict[str, Any]

_ENTRY_BYTES = 256
"""What an entry counts for, roughly."""
TYPE_NAMES = {Token: "token", Thinking: "thinking", ToolInput: "tool_input"}
DeltaType = type[Token] | type[Thinking] | type[ToolInput]


@dataclass(slots=True, frozen=True)
class Entry:
    """One event that never merges, and what is stored with it but never sent (DESIGN §3.5)."""

    event: Event
    private: Private | None = None

    @property
    def first_seq(self) -> int:
        """The seq of its first part."""
        return self.event.seq - span_of(self.event) + 1

    @property
    def last_seq(self) -> int:
        """The seq of its last part."""
        return self.event.seq

    def cut(self, after: int, upto: int) -> "Entry":
        """The part in (after, upto]; an entry has only one."""
        return self

    def encoded(self) -> str:
        """The event's JSON text."""
        return encode(self.event)


class Run:
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

    def joins(self, other: "Run") -> bool:
        """Whether the other goes on where this one ends, and both fit into one merged event."""
        return (
            self.type is other.type
            and self.turn == other.turn
            and self.block == other.block
            and self.last_seq + 1 == other.first_seq
            and self.size + other.size <= MAX_MERGED_BYTES
        )

    def cut(self, after: int, upto: int) -> "Run":
        """A run of its own of the parts in (after, upto]."""
        start = max(after + 1 - self.first_seq, 0)
        return Run(
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


Item = Entry | Run


def events_of(items: Iterable[Item]) -> list[Event]:
    """The events as readers get them."""
    return [item.event for item in items]


def coalesce(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, with runs that continue each other (they were stored apart) joined."""
    last: Run | None = None
    for item in items:
        if last is not None and isinstance(item, Run) and last.joins(item):
            last = Run(
                last.type,
                conversation=last.conversation,
                turn=last.turn,
                block=last.block,
                tool_id=last.tool_id,
                first_seq=last.first_seq,
                texts=last.texts + item.texts,
            )
            continue
        if last is not None:
            yield last
        last = item if isinstance(item, Run) else None
        if last is None:
            yield item
    if last is not None:
        yield last


def text_bytes(text: str) -> int:
    """How long it is in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def dump(items: Iterable[Item], texts: Iterable[str] | None = None) -> bytes:
    """The stored form of a batch; `texts` are the items' `encoded()`, where somebody has them."""
    texts = (item.encoded() for item in items) if texts is None else texts
    rows = ",".join(_row_text(item, text) for item, text in zip(items, texts, strict=True))
    return f"[{rows}]".encode()


def _row_text(item: Item, text: str) -> str:
    if isinstance(item, Run):
        parts = ",".join([str(len(part)) for part in item.texts])
        return f'{{"event":{text},"parts":[{parts}]}}'
    if item.private is not None:
        return f'{{"event":{text},"private":{to_json(item.private).decode()}}}'
    return f'{{"event":{text}}}'


def load(body: bytes) -> list[Item]:
    """The items of a stored batch."""
    items: list[Item] = []
    for row in from_json(body):
        event = parse_event(row["event"])
        if "parts" in row and isinstance(event, Token | Thinking | ToolInput):
            items.append(_run(event, row["parts"]))
        else:
            items.append(Entry(event, row.get("private")))
    return items


def join(bodies: list[bytes]) -> list[Row]:
    """The same items in as few rows as makes sense: a row is read whole, so it stays bounded."""
    rows: list[Row] = []
    batch: list[Item] = []
    size = 0
    for item in coalesce(item for body in bodies for item in load(body)):
        batch.append(item)
        size += item.size if isinstance(item, Run) else _ENTRY_BYTES
        if size >= MAX_MERGED_BYTES:
            rows.append(_row(batch))
            batch, size = [], 0
    if batch:
        rows.append(_row(batch))
    return rows


def _row(items: list[Item]) -> Row:
    return Row(items[0].first_seq, items[-1].last_seq, dump(items))


def _run(event: Token | Thinking | ToolInput, parts: list[int]) -> Run:
    text = event.partial_json if isinstance(event, ToolInput) else event.text
    texts, start = [], 0
    for length in parts:
        texts.append(text[start : start + length])
        start += length
    return Run(
        type(event),
        conversation=event.conversation,
        turn=event.turn,
        block=event.block,
        tool_id=event.tool_id if isinstance(event, ToolInput) else None,
        first_seq=event.seq - len(parts) + 1,
        texts=texts,
    )

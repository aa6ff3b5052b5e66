"""An index of a conversation's turns, by id and by key: for repeated keys, late cancels, retracts.

A pure fold over the log's items, like the history; small, and kept for as long as the log is open.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydantic_core import to_json

from turnwire_protocol import (
    MAX_SEQ,
    Code,
    Content,
    Done,
    Message,
    Retract,
    SendBody,
    ToolStart,
    text_of,
)
from turnwire_server.core.log.items import Entry, Item
from turnwire_server.errors import Rejected

__all__ = ["Page", "Record", "TurnIndex", "digest_of", "fingerprint_of", "title_of"]

_TITLE_CHARS = 80


@dataclass(slots=True)
class Record:
    """One turn."""

    turn: str
    seq: int
    """Of its message."""
    after: int
    """The seq before the first event of its send."""
    key: str | None
    fingerprint: str
    content: bytes
    """The digest of what its message says, see `digest_of`."""
    voids: list[str]
    """The turns that its send retracted."""
    past: list[str]
    """The turns that its send brought with it, as the conversation's past."""
    done_seq: int | None = None
    void_seq: int | None = None
    """Of the retract that made it void."""

    @property
    def is_void(self) -> bool:
        """Whether it was taken back."""
        return self.void_seq is not None

    def is_told(self, upto: int) -> bool:
        """Whether a reader of the log up to there has it: its message, and no retract of it."""
        return self.seq <= upto and (self.void_seq is None or self.void_seq > upto)


class Page(NamedTuple):
    """Some turns that follow each other, and where in the log their events are."""

    turns: list[str]
    after: int
    """Their first event comes after this seq."""
    head: int
    """The log ended there when it was looked at: what was void then is not among the turns."""
    upto: int
    """Their last event of then has this seq at most."""
    next: str | None
    """The turn before which older ones end; None where there are none."""
    replaced: dict[str, list[str]]
    """Of the turns that were sent in place of others: those, see `TurnIndex.replaced_by`."""


class TurnIndex:
    """All turns of a log, in the order of their messages."""

    def __init__(self) -> None:
        self._turns: dict[str, Record] = {}
        self._keys: dict[str, Record] = {}
        self._unfinished = 0
        self._tool_ids: set[str] = set()
        self._retracted: tuple[Retract, list[str]] | None = None
        """The last retract, and the turns it voided: its message follows."""
        self._past: list[str] = []
        """Turns of a past, behind which the message follows that brought them."""

    def apply(self, item: Item) -> None:
        """Take in the next item of the log."""
        if not isinstance(item, Entry):
            return
        event = item.event
        if isinstance(event, ToolStart):
            self._tool_ids.add(event.tool_id)
        elif isinstance(event, Message):
            retract, voids = self._retracted or (None, [])
            self._retracted = None
            first = event.seq if retract is None else retract.seq
            private = item.private or {}
            past: list[str] = []
            if private.get("is_past"):
                self._past.append(event.turn)
            elif self._past:
                first, past, self._past = 1, self._past, []
            record = Record(
                event.turn,
                event.seq,
                first - 1,
                event.key,
                private.get("fingerprint", ""),
                digest_of(event.content),
                voids,
                past,
            )
            self._turns[event.turn] = record
            self._unfinished += 1
            if event.key is not None:
                self._keys[event.key] = record
        elif isinstance(event, Retract):
            voids = self.since(event.from_turn)
            self._retracted = (event, voids)
            for turn in voids:
                self._turns[turn].void_seq = event.seq
        elif isinstance(event, Done) and (done := self._turns.get(event.turn)) is not None:
            done.done_seq = event.seq
            self._unfinished -= 1

    def forget(self, record: Record) -> None:
        """Remove a turn whose message was withdrawn, because its commit failed."""
        self._unfinished -= 1
        for gone in (record, *map(self.of, record.past)):
            del self._turns[gone.turn]
            if gone.key is not None:
                del self._keys[gone.key]
        for void in record.voids:
            self._turns[void].void_seq = None

    @property
    def turns(self) -> Sequence[Record]:
        """All of them, in their order, void ones too; not to be changed."""
        return list(self._turns.values())

    @property
    def is_open(self) -> bool:
        """Whether a turn is unfinished."""
        return self._unfinished > 0

    def has_call(self, tool_id: str) -> bool:
        """Whether a tool call has had this id, void or not."""
        return tool_id in self._tool_ids

    def of_key(self, key: str) -> Record | None:
        """The turn that was sent with this key."""
        return self._keys.get(key)

    def of(self, turn: str) -> Record:
        """The turn.

        Raises:
            KeyError: there is none.
        """
        return self._turns[turn]

    def find(self, *, turn: str | None, key: str | None) -> Record:
        """The turn a client means, by id or by the key of its send.

        Raises:
            Rejected: it names none, or one that is not here.
        """
        if turn is None and key is None:
            raise Rejected(Code.BAD_COMMAND, "turn: either turn or key is required")
        record = self._turns.get(turn) if turn is not None else self._keys.get(key or "")
        if record is None:
            raise Rejected(Code.UNKNOWN_TURN, "turn: no such turn in this conversation")
        return record

    def since(self, turn: str) -> list[str]:
        """The turn and all after it that are not void; empty if it is void or unknown."""
        if turn not in self._turns or self._turns[turn].is_void:
            return []
        turns = list(self._turns)
        return [id for id in turns[turns.index(turn) :] if not self._turns[id].is_void]

    def replaced_by(self, turn: str) -> list[str]:
        """The turn in whose place this one was sent, the one before that, …; the earliest first.

        All are void; what else their retracts voided is not among them.
        """
        found: list[str] = []
        while voids := self._turns[turn].voids:
            turn = voids[0]
            found.insert(0, turn)
        return found

    def begin_of_last(self, number: int, *, upto: int) -> int:
        """After which seq the last `number` turns begin of those that a reader up to there has.

        It may be more turns: nothing behind that place is of a turn which began before it, and so
        all that is read from there on is told from its beginning. What the first one was sent in
        place of is told too.
        """
        begins: dict[str, int] = {}
        """Of each turn, after which seq it is told, and so is all that follows."""
        records = [record for record in self._turns.values() if record.seq <= upto]
        left = sum(record.is_told(upto) for record in records)
        begin = ended = 0
        for record in records:
            if left < number:
                break
            # The send of one that brought a past begins before that.
            first = record.seq - 1 if record.past else record.after
            if ended <= first:
                begin = first
            if replaced := self.replaced_by(record.turn):
                begin = min(begin, begins[replaced[0]])
            begins[record.turn] = begin
            ended = max(ended, MAX_SEQ if record.done_seq is None else record.done_seq)
            left -= record.is_told(upto)
        return begin

    def page(
        self, number: int | None, *, before: str | None, upto: int, with_replaced: bool = False
    ) -> Page:
        """The last `number` turns that a reader up to there has, or all; `before` that turn.

        `with_replaced`: and those in whose place they were sent.

        Raises:
            Rejected: there is no such turn.
        """
        records = [record for record in self._turns.values() if record.is_told(upto)]
        if before is not None:
            if before not in self._turns:
                raise Rejected(Code.UNKNOWN_TURN, "before: no such turn in this conversation")
            end = self._turns[before].seq
            records = [record for record in records if record.seq < end]
        page = records if number is None else records[-number:]
        if not page:
            return Page([], upto, upto, upto, None, {})
        replaced: dict[str, list[str]] = {}
        if with_replaced:
            found = ((record.turn, self.replaced_by(record.turn)) for record in page)
            replaced = {turn: others for turn, others in found if others}
        told = page + [self._turns[turn] for others in replaced.values() for turn in others]
        return Page(
            [record.turn for record in page],
            after=min(record.seq for record in told) - 1,
            head=upto,
            upto=max(upto if r.done_seq is None else min(r.done_seq, upto) for r in told),
            next=page[0].turn if len(page) < len(records) else None,
            replaced=replaced,
        )


def fingerprint_of(send: SendBody) -> str:
    """Tells whether a repeated key comes with the same message."""
    # These may differ in a repetition: PROTOCOL.md "Keys".
    compared = set(SendBody.model_fields) - {"conversation", "on_detach", "runner", "trace"}
    body = send.model_dump_json(include=compared, exclude_none=True)
    return hashlib.sha256(body.encode()).hexdigest()[:32]


def digest_of(content: Content) -> bytes:
    """The same for the same message, however it was sent."""
    return hashlib.blake2b(to_json(content), digest_size=12).digest()


def title_of(content: Content) -> str:
    """The first words of the message."""
    return " ".join(text_of(content).split())[:_TITLE_CHARS]

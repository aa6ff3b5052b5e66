"""Where a client stands in a log and what it does with the next event; knows no transport."""

from dataclasses import dataclass
from enum import Enum, auto

from turnwire_protocol.errors import BadCursor
from turnwire_protocol.events import Event

__all__ = ["MAX_SEQ", "Cursor", "Verdict", "format_sse_id", "parse_sse_id", "span_of"]

MAX_SEQ = 2**53 - 1
"""The greatest integer that JavaScript and JSON (RFC 8259 §6) carry exactly."""


class Verdict(Enum):
    """What a client does with an event (PROTOCOL.md "Applying events")."""

    IGNORE = auto()
    """Seen before."""
    APPLY = auto()
    """The next one."""
    RESUBSCRIBE = auto()
    """Something is missing in between."""


@dataclass(slots=True)
class Cursor:
    """(epoch, seq) of the last event a client has applied. Seq 0: none yet."""

    epoch: str | None = None
    seq: int = 0

    def judge(self, event: Event) -> Verdict:
        """What to do with `event`; the caller moves on with `advance` once it is applied."""
        if event.seq <= self.seq:
            return Verdict.IGNORE
        if event.seq - span_of(event) == self.seq:
            return Verdict.APPLY
        return Verdict.RESUBSCRIBE

    def advance(self, event: Event) -> None:
        """`event` has been applied."""
        self.seq = event.seq


def span_of(event: Event) -> int:
    """How many entries of the log the event covers."""
    # Not by `getattr`: pydantic searches long for what most events lack.
    span: int = event.__dict__.get("span", 1)
    return span


def format_sse_id(conversation: str, epoch: str, seq: int) -> str:
    """The `id:` of a server-sent event: a cursor with its conversation."""
    return f"{conversation}:{epoch}:{seq}"


def parse_sse_id(text: str) -> tuple[str, str, int]:
    """(conversation, epoch, seq) of a `Last-Event-ID`.

    Raises:
        BadCursor: it is not of that form.
    """
    conversation, _, rest = text.partition(":")
    epoch, _, seq = rest.partition(":")
    # `isascii`, because `isdigit` and `int` take the digits of every script; the length before
    # `int`, because that is slow on long texts.
    digits = seq.isascii() and seq.isdigit() and len(seq) <= 16
    if not (conversation and epoch and digits and int(seq) <= MAX_SEQ):
        raise BadCursor("Last-Event-ID: not of the form conversation:epoch:seq")
    return conversation, epoch, int(seq)

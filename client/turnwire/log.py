"""What this program holds of a conversation's log; pure data, knows no connection and no task.

Readers are numbers: the seq they have read up to. What a slow one has not read waits merged, so
that memory grows with the text and not with the number of events or of readers.
"""

from array import array
from bisect import bisect_left, bisect_right

from turnwire_protocol import Delta, Event, Thinking, Token, ToolInput, merge, span_of

__all__ = ["Log", "text_of", "without"]

MAX_LOOSE_EVENTS = 256
NONE: "array[int]" = array("Q")


class Log:
    """The events after `floor`, without a gap, in order.

    Invariants: seqs ascend; events before `_loose` have been merged, and for each that joined
    several, `_parts` remembers (seq, characters) of each, flat, so that a reader in between gets
    the rest only.
    """

    def __init__(self, floor: int = 0) -> None:
        self.floor = floor
        self._events: list[Event] = []
        self._seqs: list[int] = []
        self._parts: dict[int, array[int]] = {}
        self._loose = 0

    def append(self, event: Event) -> None:
        """The next event; the caller has judged it with its cursor."""
        self._events.append(event)
        self._seqs.append(event.seq)
        if len(self._events) - self._loose >= MAX_LOOSE_EVENTS:
            self._join()

    def can_read(self, after: int) -> bool:
        """Whether `after` is a boundary: the floor, or the seq of an event that came."""
        if after == self.floor:
            return True
        index = bisect_left(self._seqs, after)
        if index == len(self._seqs):
            return False
        seq = self._seqs[index]
        return seq == after or after in self._parts.get(seq, NONE)[::2]

    def read(self, after: int) -> list[Event]:
        """The events after `after`, merged; `can_read(after)` must hold."""
        tail = self._events[bisect_right(self._seqs, after) :]
        if tail and tail[0].seq - span_of(tail[0]) < after:
            tail[0] = self._rest(tail[0], after)
        return merge(tail)

    def _rest(self, event: Event, after: int) -> Event:
        if not isinstance(event, Delta):
            return event
        parts = self._parts.get(event.seq, NONE)
        read = sum(size for seq, size in zip(parts[::2], parts[1::2], strict=True) if seq <= after)
        return without(event, read, span=event.seq - after)

    def _join(self) -> None:
        loose = iter(self._events[self._loose :])
        joined = merge(self._events[self._loose :])
        for event in joined:
            parts = array("Q")
            for part in loose:
                if isinstance(part, Delta):
                    parts.extend((part.seq, len(text_of(part))))
                if part.seq == event.seq:
                    break
            if len(parts) > 2:
                self._parts[event.seq] = parts
        self._events[self._loose :] = joined
        self._seqs[self._loose :] = [event.seq for event in joined]
        self._loose = len(self._events)


def text_of(event: Delta) -> str:
    """The text a delta carries, whatever its field is called."""
    return event.partial_json if isinstance(event, ToolInput) else event.text


def without(event: Delta, characters: int, *, span: int) -> Thinking | Token | ToolInput:
    """The delta less its first `characters`; `span` is how many log entries that leaves."""
    field = "partial_json" if isinstance(event, ToolInput) else "text"
    rest = text_of(event)[characters:]
    return event.model_copy(update={field: rest, "span": span})

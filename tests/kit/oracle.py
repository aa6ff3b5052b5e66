"""The invariants of DESIGN §3.2 as assertions over what was seen: the oracle of fault tests."""

from collections import Counter
from collections.abc import Sequence

from turnwire_protocol import Done, Event, Message, Start, fold, merge, span_of

__all__ = ["check_log", "check_reader"]


def check_log(events: Sequence[Event]) -> None:
    """A whole log, in which nothing runs any more."""
    seq = 0
    messages, starts, dones = Counter[str](), Counter[str](), Counter[str]()
    for event in events:
        assert event.seq - span_of(event) == seq, "2: contiguous"
        seq = event.seq
        assert not dones[event.turn], f"1: {event.type} of {event.turn} follows its done"
        messages[event.turn] += isinstance(event, Message)
        starts[event.turn] += isinstance(event, Start)
        dones[event.turn] += isinstance(event, Done)
    assert set(messages.values()) <= {1}
    assert dones == messages, "1: exactly one done for each message"
    assert set(starts.values()) <= {0, 1}, "1: at most one start"
    assert fold(merge(events)).to_dict() == fold(events).to_dict(), "3: merging changes nothing"


def check_reader(seen: Sequence[Event], log: Sequence[Event], *, after: int = 0) -> None:
    """One reader's events against the log they were read from: no gap, nothing taken back."""
    cursor = after
    for event in seen:
        assert event.seq - span_of(event) == cursor, "2: contiguous"
        cursor = event.seq
    if after == 0 and seen:
        upto = seen[-1].seq
        exact = [event for event in log if event.seq <= upto]
        if exact and exact[-1].seq == upto:
            assert fold(seen).to_dict() == fold(exact).to_dict(), "4 and 6: the same conversation"

"""The guarantees of PROTOCOL.md as assertions over what was seen: the oracle of the fault tests.

A log and its readers show 1 to 4 and 6. For 5 and 7 one must know what the model sent and how often
it was asked: tests/faults/test_stateful.py compares both after every rule. 8 takes another message:
the tests of how turns end send it (`goes_on` in tests/server/test_stop.py).
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from turnwire_protocol import (
    Done,
    Event,
    FoldedConversation,
    Message,
    Retract,
    Start,
    fold,
    merge,
    span_of,
)

__all__ = ["GUARANTEES", "check_end", "check_log", "check_reader", "fold_of_end"]

GUARANTEES = {
    1: "One end",
    2: "No gap",
    3: "Merging changes nothing",
    4: "One conversation",
    5: "What the model sent",
    6: "Log before deliver",
    7: "Once",
    8: "It goes on",
}
"""Their names, as in PROTOCOL.md "Guarantees"."""


def broken(number: int, what: str) -> str:
    """The message of a failed check: which guarantee, and how."""
    return f"guarantee {number}, {GUARANTEES[number]!r}: {what}"


def check_log(events: Sequence[Event]) -> None:
    """Guarantees 1, 2 and 3 of a whole log, in which nothing runs any more."""
    seq = 0
    messages, starts, dones = Counter[str](), Counter[str](), Counter[str]()
    for event in events:
        assert event.seq - span_of(event) == seq, broken(2, f"{event.type} does not follow {seq}")
        seq = event.seq
        assert not dones[event.turn], broken(1, f"{event.type} of {event.turn} follows its done")
        messages[event.turn] += isinstance(event, Message)
        starts[event.turn] += isinstance(event, Start)
        dones[event.turn] += isinstance(event, Done)
    assert set(messages.values()) <= {1}, broken(1, "a turn has another number of messages")
    assert dones == messages, broken(1, "a message has another number of dones")
    assert set(starts.values()) <= {0, 1}, broken(1, "a turn starts twice")
    assert fold(merge(events)).to_dict() == fold(events).to_dict(), broken(3, "the folds differ")


def check_reader(seen: Sequence[Event], log: Sequence[Event], *, after: int = 0) -> None:
    """Guarantees 2, 4 and 6 of one reader's events, against the log they were read from.

    Where the reader stopped inside an event that the log has merged, the folds are not compared.
    """
    cursor = after
    for event in seen:
        assert event.seq - span_of(event) == cursor, broken(
            2, f"{event.type} is not after {cursor}"
        )
        cursor = event.seq
    end = log[-1].seq if log else 0
    assert cursor <= max(end, after), broken(6, f"{cursor} was seen, and the log ends at {end}")
    if after == 0 and seen:
        exact = [event for event in log if event.seq <= cursor]
        if exact and exact[-1].seq == cursor:
            same = fold(seen).to_dict() == fold(exact).to_dict()
            assert same, broken(4, "the reader's fold is not the log's (6, if it was taken back)")


def check_end(seen: Sequence[Event], log: Sequence[Event]) -> None:
    """Guarantee 4 of one who began with the last turns: they are the last ones of all there are."""
    exact = [event for event in log if event.seq <= seen[-1].seq] if seen else []
    if exact and exact[-1].seq == seen[-1].seq:
        turns, all_turns = (
            events.to_dict()["turns"] for events in (fold_of_end(seen), fold(exact))
        )
        same = turns == all_turns[len(all_turns) - len(turns) :]
        assert same, broken(4, "the turns of the end are not the log's last ones")


def fold_of_end(events: Iterable[Event]) -> FoldedConversation:
    """The fold of one who began with the last turns (PROTOCOL.md "The end of a conversation")."""
    conversation = FoldedConversation()
    for event in events:
        if isinstance(event, Retract) and conversation.turns.get(event.from_turn) is None:
            conversation.turns.clear()
        conversation.apply(event)
    return conversation

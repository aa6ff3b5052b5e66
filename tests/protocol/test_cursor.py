"""The cursor: whatever a network does to the events, each is applied once and in order."""

from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.conversations import conversations, cuts
from turnwire_protocol import (
    Cursor,
    Event,
    Verdict,
    fold,
    format_sse_id,
    merge,
    parse_sse_id,
    span_of,
)


def deliver(cursor: Cursor, applied: list[Event], events: list[Event]) -> bool:
    """What a client does with events that come in; False where it has to subscribe again."""
    for event in events:
        match cursor.judge(event):
            case Verdict.APPLY:
                assert event.seq - span_of(event) == cursor.seq
                cursor.advance(event)
                applied.append(event)
            case Verdict.RESUBSCRIBE:
                return False
    return True


@given(st.data())
def test_reads_from_anywhere_in_any_order_apply_each_event_once(data: st.DataObject) -> None:
    log = data.draw(conversations())
    cursor, applied = Cursor("e1"), list[Event]()
    starts = st.integers(0, len(log))
    for after, upto in data.draw(st.lists(st.tuples(starts, starts), max_size=8)):
        if not deliver(cursor, applied, merge(log[after:upto])):
            deliver(cursor, applied, merge(log[cursor.seq : upto]))
    assert deliver(cursor, applied, merge(log[cursor.seq :]))
    assert sum(map(span_of, applied)) == len(log)
    assert fold(applied) == fold(log)


@given(st.data())
def test_every_read_delivered_twice_applies_once(data: st.DataObject) -> None:
    log = data.draw(conversations())
    cursor, applied = Cursor("e1"), list[Event]()
    for read in map(merge, data.draw(cuts(log))):
        assert deliver(cursor, applied, [*read, *read])
    assert fold(applied) == fold(log)
    assert cursor.seq == len(log)


@given(st.data())
def test_a_lost_read_is_noticed_at_the_next_event(data: st.DataObject) -> None:
    log = data.draw(conversations())
    lost_from = data.draw(st.integers(0, len(log) - 1))
    lost_to = data.draw(st.integers(lost_from + 1, len(log)))
    cursor, applied = Cursor("e1"), list[Event]()
    assert deliver(cursor, applied, merge(log[:lost_from]))
    assert deliver(cursor, applied, merge(log[lost_to:])) == (lost_to == len(log))
    assert cursor.seq == lost_from


names = st.text(st.characters(codec="utf-8", exclude_characters=":"), min_size=1)


@given(names, names, st.integers(0, 2**53 - 1))
def test_an_sse_id_is_read_as_it_was_written(conversation: str, epoch: str, seq: int) -> None:
    assert parse_sse_id(format_sse_id(conversation, epoch, seq)) == (conversation, epoch, seq)

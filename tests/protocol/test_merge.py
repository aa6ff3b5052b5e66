"""The merge rule: nothing changes for a reader, whatever was cut where."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.conversations import CONVERSATION, conversations, cuts, deltas
from turnwire_protocol import (
    MAX_MERGED_BYTES,
    Event,
    Thinking,
    Token,
    ToolInput,
    fold,
    merge,
    span_of,
)


def token(seq: int, text: str, *, span: int = 1) -> Token:
    return Token(conversation=CONVERSATION, seq=seq, span=span, turn="t_1", block=0, text=text)


def size(event: Event) -> int:
    match event:
        case Token(text=text) | Thinking(text=text) | ToolInput(partial_json=text):
            return len(text.encode())
    return 0


@given(st.data())
def test_a_log_cut_into_any_reads_and_merged_folds_to_the_same(data: st.DataObject) -> None:
    events = data.draw(conversations())
    reads = data.draw(cuts(events))
    assert fold(event for read in reads for event in merge(read)) == fold(events)


@given(st.data())
def test_merging_what_was_merged_in_parts_folds_to_the_same(data: st.DataObject) -> None:
    events = data.draw(conversations())
    parts = [event for read in data.draw(cuts(events)) for event in merge(read)]
    assert fold(merge(parts)) == fold(events)
    assert merge(parts) == merge(events)


@given(conversations() | deltas())
def test_merging_twice_is_merging_once(events: list[Event]) -> None:
    assert merge(merge(events)) == merge(events)


@given(conversations() | deltas())
def test_spans_cover_the_log_without_gap_or_overlap(events: list[Event]) -> None:
    cursor = 0
    for event in merge(events):
        assert event.seq - span_of(event) == cursor
        cursor = event.seq
    assert cursor == sum(map(span_of, events))


@given(deltas())
def test_only_a_single_delta_exceeds_the_bound(events: list[Event]) -> None:
    single = {event.seq: span_of(event) for event in events}
    for event in merge(events):
        assert size(event) <= MAX_MERGED_BYTES or single[event.seq] == span_of(event)


@given(deltas(max_text=3))
def test_no_two_neighbours_are_left_that_could_merge(events: list[Event]) -> None:
    merged = merge(events)
    kinds = [(event.type, getattr(event, "block", None)) for event in merged]
    assert all(before != after for before, after in pairwise(kinds))


def test_65536_bytes_fill_one_event_and_the_next_begins_another() -> None:
    parts = [token(1, "a" * 65535), token(2, "b"), token(3, "c")]
    assert merge(parts) == [token(2, "a" * 65535 + "b", span=2), token(3, "c")]


def test_the_bound_counts_bytes_of_utf_8() -> None:
    full = "€" * 21845
    parts = [token(1, full), token(2, "b"), token(3, "é"), token(4, "é")]
    assert merge(parts) == [token(2, full + "b", span=2), token(4, "éé", span=2)]


def test_a_longer_single_delta_stays_and_joins_nothing() -> None:
    parts = [token(1, "a"), token(2, "b" * 65537), token(3, "c")]
    assert merge(parts) == parts


def test_merging_leaves_its_input_as_it_was() -> None:
    parts = [token(1, "a"), token(2, "b")]
    merge(parts)
    assert parts == [token(1, "a"), token(2, "b")]

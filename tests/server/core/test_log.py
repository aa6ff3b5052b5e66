"""The log: whatever is read between two cursors is what was appended between them."""

from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.kit.lines import lines_of
from turnwire_protocol import MAX_MERGED_BYTES, BlockStop, Event, Thinking, Token, ToolInput, merge
from turnwire_server.core.log.codec import dump, join, load
from turnwire_server.core.log.items import DeltaRun, Entry, Item
from turnwire_server.core.log.memory_log import MemoryLog

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
DELTA = st.tuples(
    st.sampled_from([Token, Thinking, ToolInput]),
    st.sampled_from(["t_1", "t_2"]),
    st.integers(0, 1),
    TEXT,
)
STOP = st.tuples(st.just(BlockStop), st.sampled_from(["t_1", "t_2"]), st.integers(0, 1))
ENTRIES = st.lists(st.one_of(DELTA, DELTA, DELTA, STOP), max_size=14)
PRIVATE = {"signature": "s", "citations": [{"title": None, "n": 1.5}]}


def written(entries: list[tuple[Any, ...]]) -> tuple[MemoryLog, list[Event]]:
    """A log, and the same events one by one."""
    log, events = MemoryLog("c"), []
    for seq, (kind, turn, block, *text) in enumerate(entries, 1):
        head = {"conversation": "c", "seq": seq, "turn": turn, "block": block}
        event: Event
        if kind is BlockStop:
            event = BlockStop(**head, at="2026-11-20T12:00:00Z")
            log.append(event, PRIVATE)
        else:
            tool_id = f"toolu_{block}" if kind is ToolInput else None
            if kind is ToolInput:
                event = ToolInput(**head, tool_id=str(tool_id), partial_json=text[0])
            else:
                event = kind(**head, text=text[0])
            log.append_delta(kind, turn, block, text[0], tool_id=tool_id)
        events.append(event)
    return log, events


def single(items: list[Item]) -> list[Event]:
    """The events of the items, none of them merged."""
    return [
        item.cut(seq - 1, seq).event
        for item in items
        for seq in range(item.first_seq, item.last_seq + 1)
    ]


def tokens(*texts: str) -> MemoryLog:
    log = MemoryLog("c")
    for text in texts:
        log.append_delta(Token, "t", 0, text)
    return log


@given(ENTRIES)
def test_a_read_between_any_two_cursors_is_that_slice_of_the_events(entries: Any) -> None:
    log, events = written(entries)
    for after in range(len(events) + 1):
        for upto in range(after, len(events) + 1):
            items = log.read(after, upto)
            assert single(items) == events[after:upto]
            assert [item.event for item in items] == merge(events[after:upto])


@given(ENTRIES)
def test_a_stored_batch_is_read_back_with_private_fields_and_can_be_cut_anywhere(
    entries: Any,
) -> None:
    log, events = written(entries)
    items = load(dump(log.read(0, log.head)))
    assert [item.event for item in items] == [item.event for item in log.read(0, log.head)]
    assert [item.private for item in items if isinstance(item, Entry)] == [
        PRIVATE for event in events if isinstance(event, BlockStop)
    ]
    for item in items:
        for after in range(item.first_seq - 1, item.last_seq):
            for upto in range(after + 1, item.last_seq + 1):
                assert single([item.cut(after, upto)]) == events[after:upto]


@given(ENTRIES, st.integers(1, 60))
def test_reads_of_bounded_size_together_give_everything_once(entries: Any, max_bytes: int) -> None:
    log, events = written(entries)
    got: list[Item] = []
    while items := log.read(got[-1].last_seq if got else 0, log.head, max_bytes=max_bytes):
        got += items
    assert single(got) == events


@given(ENTRIES, st.lists(st.integers(1, 4), min_size=1))
def test_batches_joined_in_the_store_hold_the_same_events_merged(
    entries: Any, sizes: list[int]
) -> None:
    log, events = written(entries)
    bodies: list[bytes] = []
    after = 0
    while after < log.head:
        upto = min(after + sizes[len(bodies) % len(sizes)], log.head)
        bodies.append(dump(log.read(after, upto)))
        after = upto
    rows = join(bodies)
    items = [item for row in rows for item in load(row.body)]
    assert [item.event for item in items] == merge(events)
    assert single(items) == events


@given(ENTRIES, st.integers(0, 14))
def test_what_is_taken_back_is_as_if_it_had_never_been_appended(entries: Any, after: int) -> None:
    log, events = written(entries)
    after = min(after, log.head)
    log.cut(after)
    assert (log.head, single(log.read(0, after))) == (after, events[:after])
    again, _ = written(entries[:after])
    for kept in (log, again):
        kept.append_delta(Token, "t_1", 0, "more")
    assert [item.event for item in log.read(0, log.head)] == [
        item.event for item in again.read(0, again.head)
    ]


@given(ENTRIES, st.integers(0, 14), st.integers(0, 2000))
def test_trimming_forgets_only_what_is_durable_and_reads_after_the_floor_are_unchanged(
    entries: Any, durable: int, keep_bytes: int
) -> None:
    log, events = written(entries)
    log.durable = min(durable, log.head)
    log.trim(keep_bytes)
    assert log.floor <= log.durable
    for after in range(log.floor, log.head + 1):
        assert single(log.read(after, log.head)) == events[after:]


def test_trimming_everything_durable_leaves_a_log_that_goes_on() -> None:
    log = tokens("a", "b")
    log.durable = 2
    log.trim(0)
    assert (log.floor, log.read(2, 2)) == (2, [])
    log.append_delta(Token, "t", 0, "c")
    expected = Token(conversation="c", seq=3, turn="t", block=0, text="c")
    assert [item.event for item in log.read(2, 3)] == [expected]


def test_a_merged_event_stays_within_the_bound_also_for_wide_characters() -> None:
    log = tokens(*["🌍" * 1000] * 40, "a" * 100_000, "b")
    events = [item.event for item in log.read(0, log.head)]
    sizes = [len(event.text.encode()) for event in events if isinstance(event, Token)]
    # One delta longer than the bound stays as it is and joins nothing.
    assert sizes.pop(-2) == 100_000
    assert max(sizes) <= MAX_MERGED_BYTES
    assert sum(sizes) == 40 * 4000 + 1


def test_a_delta_of_another_tool_in_the_same_turn_does_not_join() -> None:
    log = MemoryLog("c")
    log.append_delta(ToolInput, "t", 0, "{", tool_id="a")
    log.append_delta(ToolInput, "t", 1, "{", tool_id="b")
    kept = [(run.tool_id, run.texts) for run in log.read(0, 2) if isinstance(run, DeltaRun)]
    assert kept == [("a", ["{"]), ("b", ["{"])]


def test_the_cost_of_a_read_does_not_depend_on_the_length_of_the_log() -> None:
    short, long = MemoryLog("c"), MemoryLog("c")
    for log, length in ((short, 10), (long, 5000)):
        for block in range(length):
            log.append_delta(Token, "t", block, "x")
    places = ((short, 5), (long, 5), (long, 4990))
    costs = {lines_of(partial(log.read, after, after + 2)) for log, after in places}
    assert len(costs) == 1


def test_rows_are_joined_at_a_cost_that_grows_as_their_number() -> None:
    log = tokens(*"x" * 400)
    rows = [dump(log.read(seq, seq + 1)) for seq in range(400)]
    few, many = (lines_of(partial(join, rows[:number])) for number in (100, 400))
    assert many < 5 * few

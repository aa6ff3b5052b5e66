"""Recovery: what a turn lacks whose process died, and what its end says."""

from datetime import datetime, timedelta

import pytest

from tests.server.core.log_author import AT, Author
from turnwire_protocol import (
    BlockStop,
    Done,
    Event,
    Rewind,
    Token,
    ToolResult,
    ToolStart,
    TotalUsage,
    Usage,
)
from turnwire_server.core.log.items import Entry, Place
from turnwire_server.core.recovery import Recovery
from turnwire_server.core.turn.usage import Price


def test_the_end_of_a_turn_that_was_cut_off_has_its_cost_where_the_price_is_known() -> None:
    author = Author.new()
    author.ask("t_1")
    author.step()
    author.log.append_delta(Token, "t_1", 0, "x" * 40)
    at = Place(conversation="c_1", seq=99, turn="t_1", at="2026-11-20T12:00:01Z")
    ends = []
    prices = {"claude-simulated-opus": Price(input=1, output=100_000)}
    for price_of in (lambda model: None, prices.get):
        recovery = Recovery(price_of)
        for item in author.log.read(0, author.log.head):
            recovery.apply(item)
        (end,) = recovery.missing(lambda turn: at)
        assert isinstance(end, Done)
        ends.append((end.usage, end.cost_usd))
    usage = TotalUsage(output_tokens=10, estimated=True)
    assert ends == [(usage, None), (usage, 1.0)]


def test_the_counts_of_another_model_that_goes_on_are_not_taken_for_the_last() -> None:
    author = Author.new()
    author.ask("t_1")
    author.step()
    place = Place(conversation="c_1", seq=99, turn="t_1", at="2026-11-20T12:00:01Z")
    recovery = Recovery({"claude-b": Price(input=1_000_000, output=0)}.get)
    for item in author.log.read(0, author.log.head):
        recovery.apply(item)
    ends = []
    for model in (None, "claude-b", "claude-b"):
        usage = Usage(
            **place,
            step=1,
            attempt=1,
            input_tokens=5,
            output_tokens=1,
            cache_read_input_tokens=0,
            cache_creation_input_tokens=0,
            model=model,
        )
        recovery.apply(Entry(usage))
        (end,) = recovery.missing(lambda turn: place)
        assert isinstance(end, Done)
        ends.append((end.usage.estimated, end.cost_usd))
    assert ends == [(True, None), (True, 5.0), (None, 5.0)]


def place(seconds: float = 0.0) -> Place:
    """Somewhere in the turn, so many seconds after its message."""
    at = datetime.fromisoformat(AT) + timedelta(seconds=seconds)
    return Place(conversation="c_1", seq=99, turn="t_1", at=at.isoformat())


def call(block: int) -> ToolStart:
    return ToolStart(
        **place(), block=block, tool_id=f"u_{block}", tool_name="add", runs_on="server"
    )


def whole(block: int) -> BlockStop:
    return BlockStop(**place(), block=block)


def result(block: int) -> ToolResult:
    return ToolResult(**place(), tool_id=f"u_{block}", content="3", is_error=False, duration_ms=1)


def rewound(block: int) -> Rewind:
    return Rewind(**place(), block=block)


def recovered(*events: Event) -> tuple[list[str], Done]:
    """The calls that get a result where a turn with these events was cut off, and its end."""
    author = Author.new()
    author.ask("t_1")
    author.step()
    recovery = Recovery()
    for item in [*author.log.read(0, author.log.head), *map(Entry, events)]:
        recovery.apply(item)
    *results, end = recovery.missing(lambda turn: place())
    assert isinstance(end, Done)
    assert all(isinstance(result, ToolResult) and result.is_error for result in results)
    return [result.tool_id for result in results if isinstance(result, ToolResult)], end


@pytest.mark.parametrize(
    ("events", "called"),
    [
        ([call(1), whole(1)], ["u_1"]),
        ([call(1)], []),
        ([call(1), whole(1), call(2), whole(2), result(1)], ["u_2"]),
        ([call(1), whole(1), rewound(1), whole(1)], []),
        ([call(1), whole(1), call(2), whole(2), rewound(2)], ["u_1"]),
        ([call(1), whole(1), rewound(1), call(1)], []),
    ],
    ids=["whole", "cut off", "answered", "void", "before what is void", "begun anew"],
)
def test_a_call_without_a_result_gets_one_if_it_is_whole_and_not_void(
    events: list[Event], called: list[str]
) -> None:
    assert recovered(*events)[0] == called


@pytest.mark.parametrize(("seconds", "milliseconds"), [(2.5, 2500), (-3600.0, 0)])
def test_a_turn_lasted_until_the_last_that_is_known_of_it(
    seconds: float, milliseconds: int
) -> None:
    last = BlockStop(**place(seconds), block=0)
    assert recovered(last)[1].duration_ms == milliseconds

"""The events on the wire: what is written is read back, the same."""

import json
import math
from typing import Any, TypedDict, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from tests.protocol.conversations import contents, conversations, inputs
from turnwire_protocol import (
    Content,
    Done,
    Event,
    Message,
    Reply,
    TextBlock,
    Token,
    ToolApproval,
    ToolProgress,
    ToolResult,
    TotalUsage,
    UnknownEvent,
    encode,
    events,
    merge,
    parse_event,
    parse_reply,
    replies,
)

AT = "2026-11-20T10:00:00.000Z"


class Place(TypedDict):
    conversation: str
    seq: int
    turn: str


PLACE: Place = {"conversation": "c_1", "seq": 1, "turn": "t_1"}


def classes(union: Any) -> list[type[BaseModel]]:
    return list(get_args(get_args(union)[0]))


def given_fields(model: type[BaseModel]) -> dict[str, st.SearchStrategy[Any]]:
    """What hypothesis cannot derive: values of JSON, numbers that JSON has."""
    numbers = (
        "cost_usd",
        "delay_seconds",
        "heartbeat_seconds",
        "reconnect_after_seconds",
        "retry_after_seconds",
    )
    known: dict[str, st.SearchStrategy[Any]] = dict.fromkeys(numbers, st.floats(0, 1e9))
    known |= {"fraction": st.floats(0, 1), "input": inputs, "content": contents}
    if model is Done:
        known["usage"] = st.builds(
            TotalUsage,
            **dict.fromkeys(TotalUsage.model_fields.keys() - {"estimated"}, st.integers(0)),
        )
    return {name: strategy for name, strategy in known.items() if name in model.model_fields}


def nulls(value: Any) -> bool:
    match value:
        case dict():
            return any(map(nulls, value.values()))
        case list():
            return any(map(nulls, value))
    return value is None


@given(conversations())
def test_every_event_is_read_back_as_it_was_written(log: list[Event]) -> None:
    for event in [*log, *merge(log)]:
        assert parse_event(json.loads(encode(event))) == event


@pytest.mark.parametrize("model", classes(events.KnownEvent))
@given(data=st.data())
def test_any_value_of_an_event_survives_the_wire(
    model: type[BaseModel], data: st.DataObject
) -> None:
    event: Any = data.draw(st.builds(model, **given_fields(model)))
    assert parse_event(json.loads(encode(event))) == event


@pytest.mark.parametrize("model", classes(Reply))
@given(data=st.data())
def test_any_value_of_a_reply_survives_the_wire(
    model: type[BaseModel], data: st.DataObject
) -> None:
    reply: Any = data.draw(st.builds(model, **given_fields(model)))
    text = encode(reply)
    assert parse_reply(json.loads(text)) == reply
    assert not nulls(json.loads(text))


def test_nulls_inside_a_tools_input_are_kept() -> None:
    event = ToolApproval(
        **PLACE, at=AT, tool_id="u", tool_name="n", input={"a": None, "b": [None]}, expires_at=AT
    )
    assert json.loads(encode(event))["input"] == {"a": None, "b": [None]}


def test_a_span_of_one_is_absent_on_the_wire() -> None:
    assert "span" not in json.loads(encode(Token(**PLACE, block=0, text="a")))


def test_an_unknown_event_keeps_its_fields() -> None:
    data = {**PLACE, "type": "hum", "span": 3, "loudness": [1, {"x": 2}]}
    event = parse_event(data)
    assert isinstance(event, UnknownEvent)
    assert json.loads(encode(event)) == data


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_event_carries_a_number_that_json_has_not(number: float) -> None:
    with pytest.raises(ValidationError):
        ToolProgress(**PLACE, at=AT, tool_id="u", message="m", fraction=number)
    with pytest.raises(ValidationError):
        Done(
            **PLACE,
            at=AT,
            stop_reason="end_turn",
            usage=TotalUsage(),
            steps=1,
            duration_ms=1,
            cost_usd=number,
        )
    with pytest.raises(ValidationError):
        ToolApproval(
            **PLACE, at=AT, tool_id="u", tool_name="n", input={"a": [number]}, expires_at=AT
        )


def test_half_a_surrogate_pair_from_a_tool_becomes_the_replacement_character() -> None:
    result: dict[str, Any] = {"tool_id": "u", "is_error": False, "duration_ms": 1}
    halves: list[Content] = ["a\ud83d", [TextBlock(text="a\ud83d")]]
    for content in halves:
        event = ToolResult(**PLACE, at=AT, content=content, **result)
        read = parse_event(json.loads(encode(event)))
        assert read == event
        assert "a\ufffd" in str(event.content)


def test_a_text_that_can_be_said_in_utf_8_is_not_copied() -> None:
    said = "Hällo 👋"
    event = Message(**PLACE, at=AT, content=said)
    assert event.content is said


def test_types_of_events_and_replies_are_distinct() -> None:
    assert not events.KNOWN_TYPES & replies.REPLY_TYPES

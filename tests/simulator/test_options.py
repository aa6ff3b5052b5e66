"""What the API refuses of how to answer: sampling, effort, stops, formats; model by model."""

from typing import Any

import pytest

from tests.simulator.api_client import Json, request
from turnwire_simulator import Rejected
from turnwire_simulator.demo import demo_answer
from turnwire_simulator.strict import judge

TOOLS: Json = {"tools": [{"name": "t", "input_schema": {"type": "object"}}]}
FORCED: Json = {**TOOLS, "tool_choice": {"type": "any"}}
OBJECT: Json = {"type": "object", "properties": {}, "additionalProperties": False}
DOCUMENT: Json = {
    "type": "document",
    "source": {"type": "url", "url": "https://example.com/a.pdf"},
    "citations": {"enabled": True},
}


def format(schema: Any, **more: Any) -> Json:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}, **more}}


def effort(level: str) -> Json:
    return {"output_config": {"effort": level}}


def thinking(kind: str) -> Json:
    return {"thinking": {"type": kind}}


TAKEN: list[Json] = [
    {"temperature": 0, "top_k": 0, "stop_sequences": ["END"], "metadata": {"user_id": "u"}},
    {"temperature": 1, **thinking("adaptive")},
    {"top_p": 0.95, "model": "claude-haiku-4-5"},
    effort("max"),
    {**effort("xhigh"), "model": "claude-sonnet-5-5"},
    {**effort("max"), "model": "claude-opus-4-6"},
    {**thinking("between_tools"), "model": "claude-sonnet-5-5"},
    {**thinking("disabled"), **effort("high"), "model": "claude-opus-5"},
    {**FORCED, "model": "claude-opus-4-8"},
    {**TOOLS, "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    format(OBJECT, effort="low"),
    format(
        {
            **OBJECT,
            "properties": {"a": {"enum": [1, "b"]}, "d": {"$ref": "#/$defs/D"}},
            "$defs": {"D": {"type": "string", "format": "date"}},
        }
    ),
    format({"anyOf": [{"type": "null"}, {"type": "array", "items": OBJECT, "minItems": 1}]}),
]

REFUSED: list[tuple[str, Json]] = [
    ("temperature", {"temperature": 1.1}),
    ("top_p", {"top_p": -0.1}),
    ("temperature", {"temperature": 0.5, **thinking("adaptive")}),
    ("top_k", {"top_k": 3, **thinking("adaptive")}),
    ("top_p", {"top_p": 0.5, **thinking("adaptive")}),
    ("both be specified", {"temperature": 0.5, "top_p": 0.5, "model": "claude-haiku-4-5"}),
    ("deprecated", {"temperature": 1, "model": "claude-sonnet-5-5"}),
    ("deprecated", {"top_k": 3, "model": "claude-opus-4-7"}),
    ("non-whitespace", {"stop_sequences": [" "]}),
    ("metadata.name", {"metadata": {"name": "Anna"}}),
    ("effort", effort("extreme")),
    ("effort", {**effort("low"), "model": "claude-haiku-4-5"}),
    ("effort", {**effort("max"), "model": "claude-opus-4-5"}),
    ("effort", {**effort("xhigh"), "model": "claude-opus-4-6"}),
    ("effort", {**effort("max"), **thinking("disabled"), "model": "claude-opus-5"}),
    ("disabled", {**thinking("disabled"), "model": "claude-sonnet-5-5"}),
    ("disabled", {**thinking("disabled"), "model": "claude-opus-5-5"}),
    ("between_tools", {**thinking("between_tools"), "model": "claude-opus-5"}),
    ("forced", {**FORCED, "model": "claude-sonnet-5-5"}),
    ("forces tool use", {**FORCED, **thinking("adaptive")}),
    ("tool_choice.any.name", {**TOOLS, "tool_choice": {"type": "any", "name": "t"}}),
    ("output_config.mood", {"output_config": {"mood": "good"}}),
    ("structured outputs", {**format(OBJECT), "model": "claude-3-7-sonnet"}),
    ("schema", {"output_config": {"format": {"type": "json_schema"}}}),
    (
        "format.name",
        {"output_config": {"format": {"type": "json_schema", "schema": OBJECT, "name": "x"}}},
    ),
    ("additionalProperties", format({"type": "object", "properties": {}})),
    ("minimum", format({"type": "integer", "minimum": 1})),
    ("type", format({})),
    ("'minItems'", format({"type": "array", "minItems": 2})),
    ("format 'phone'", format({"type": "string", "format": "phone"})),
    ("$ref", format({"$ref": "#/$defs/A"})),
    (
        "Circular",
        format(
            {
                "$ref": "#/$defs/A",
                "$defs": {"A": {**OBJECT, "properties": {"a": {"$ref": "#/$defs/A"}}}},
            }
        ),
    ),
    ("citations", {**format(OBJECT), "messages": [{"role": "user", "content": [DOCUMENT]}]}),
]


@pytest.mark.parametrize("fields", TAKEN, ids=str)
def test_the_api_takes(fields: Json) -> None:
    judge(request(**fields))


@pytest.mark.parametrize(("named", "fields"), REFUSED, ids=str)
def test_the_api_refuses(named: str, fields: Json) -> None:
    with pytest.raises(Rejected) as caught:
        judge(request(**fields))
    assert named in str(caught.value)


def test_the_demo_ends_at_a_stop_sequence() -> None:
    answer = demo_answer(request(stop_sequences=["simulator", "Hello"]))
    assert answer.stop_reason == "stop_sequence"
    (delta,) = [event["delta"] for event in answer.events() if event["type"] == "message_delta"]
    assert delta["stop_sequence"] == "Hello"


def test_the_demo_answers_in_the_format() -> None:
    schema = {
        **OBJECT,
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "required": ["a"],
        "$defs": {"A": {"const": 7}},
    }
    answer = demo_answer(request(**format(schema)))
    said = [event["delta"]["text"] for event in answer.events() if "text" in event.get("delta", {})]
    assert "".join(said) == '{"a": 7}'

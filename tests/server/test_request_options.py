"""What a send and the settings say of how to answer reaches the model, as that takes it."""

from typing import Any

import pytest

from tests.kit.chat import MODEL, ended, of_type, talking
from tests.kit.service import turnwire_over
from tests.kit.wire import Wire
from turnwire_protocol import Done, ToolResult
from turnwire_server.errors import SettingsError
from turnwire_simulator import Answer, Fault, Simulator, Text, ToolUse

OK = Answer(Text("Ok."))
ALL = [
    "model",
    "thinking",
    "effort",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tool_choice",
    "output_format",
    "tools",
]
OFF = {"type": "disabled"}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "celsius": {"type": "number", "minimum": -90}},
    "required": ["city"],
}
FORMAT = {"type": "json_schema", "schema": SCHEMA}


def plain(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


async def refused(wire: Wire, **fields: Any) -> str:
    """How the message of the refusal begins."""
    reject = await wire.ask("send", content="Hello", **fields)
    assert (reject["type"], reject["code"]) == ("reject", "bad_command")
    return str(reject["message"]).partition(":")[0]


# Effort, sampling, stop sequences

REACHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "effort": ({"effort": "low"}, {"output_config": {"effort": "low"}}),
    "temperature": ({"temperature": 0.2}, {"temperature": 0.2, "thinking": OFF}),
    "top_p": ({"top_p": 0.5, "top_k": 7}, {"top_p": 0.5, "top_k": 7, "thinking": OFF}),
    "stop_sequences": ({"stop_sequences": ["END"]}, {"stop_sequences": ["END"]}),
    "none": ({"tool_choice": {"type": "none"}}, {"tool_choice": {"type": "none"}}),
    "any": ({"tool_choice": {"type": "any"}}, {"tool_choice": {"type": "any"}, "thinking": OFF}),
    "one at a time": (
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    ),
}


@pytest.mark.parametrize(("fields", "body"), REACHES.values(), ids=REACHES)
async def test_an_option_of_a_send_reaches_the_model(
    simulator: Simulator, fields: dict[str, Any], body: dict[str, Any]
) -> None:
    async with talking(simulator, OK, client_options=ALL, tools=[plain]) as wire:
        assert (await ended(wire, **fields))["stop_reason"] == "end_turn"
    assert simulator.rejections == []
    asked = simulator.requests[0]
    assert {name: asked[name] for name in body} == body


async def test_options_that_are_settings_reach_the_model_until_a_send_says_otherwise(
    simulator: Simulator,
) -> None:
    settings: dict[str, Any] = {
        "effort": "high",
        "temperature": 0.3,
        "top_k": 5,
        "stop_sequences": ["END"],
        "thinking": OFF,
        "client_options": ALL,
    }
    async with talking(simulator, OK, OK, **settings) as wire:
        await ended(wire)
        await ended(wire, effort="low", top_p=0.5, stop_sequences=[])
    names = ("output_config", "temperature", "top_p", "top_k", "stop_sequences")
    first, second = ({name: body.get(name) for name in names} for body in simulator.requests)
    assert first == {
        "output_config": {"effort": "high"},
        "temperature": 0.3,
        "top_p": None,
        "top_k": 5,
        "stop_sequences": ["END"],
    }
    assert second == {
        "output_config": {"effort": "low"},
        "temperature": None,
        "top_p": 0.5,
        "top_k": 5,
        "stop_sequences": None,
    }


async def test_a_sampling_that_is_a_setting_gives_way_to_thinking(simulator: Simulator) -> None:
    async with talking(simulator, OK, temperature=0.3) as wire:
        await ended(wire)
    assert "temperature" not in simulator.requests[0]
    assert simulator.requests[0]["thinking"]["type"] == "adaptive"


async def test_the_stop_sequence_that_ended_the_answer_is_told(simulator: Simulator) -> None:
    stopped = Answer(Text("One, "), stop_reason="stop_sequence", stop_sequence="two")
    async with talking(simulator, stopped, OK) as wire:
        done = await ended(wire, stop_sequences=["two"])
        again = await ended(wire)
    assert (done["stop_reason"], done["stop_sequence"]) == ("stop_sequence", "two")
    assert "stop_sequence" not in again


REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "not allowed": ("temperature", {"temperature": 0.2}),
    "both samplers": ("top_p", {"temperature": 0.2, "top_p": 0.2}),
    "sampling and thinking": ("top_k", {"top_k": 3, "thinking": {"type": "adaptive"}}),
    "forced and thinking": (
        "tool_choice",
        {"tool_choice": {"type": "any"}, "thinking": {"type": "adaptive"}},
    ),
    "no such tool": ("tool_choice.name", {"tool_choice": {"type": "tool", "name": "other"}}),
    "no tool at all": ("tool_choice", {"tool_choice": {"type": "any"}, "tools": []}),
    "a model that samples not": ("temperature", {"temperature": 0.2, "model": "claude-sonnet-5"}),
    "a model not to be forced": (
        "tool_choice",
        {"tool_choice": {"type": "any"}, "model": "claude-sonnet-5-5"},
    ),
    "a model without formats": (
        "output_format",
        {"output_format": FORMAT, "model": "claude-3-7-sonnet"},
    ),
    "an open object": (
        "output_format.schema.properties.a",
        {"output_format": {**FORMAT, "schema": {"type": "object", "properties": {"a": True}}}},
    ),
}


@pytest.mark.parametrize(("path", "fields"), REFUSED.values(), ids=REFUSED)
async def test_what_the_model_would_refuse_is_refused_at_the_send(
    simulator: Simulator, path: str, fields: dict[str, Any]
) -> None:
    models = ["claude-sonnet-5", "claude-sonnet-5-5", "claude-3-7-sonnet"]
    options = [name for name in ALL if name != "temperature" or len(fields) > 1]
    async with talking(simulator, client_options=options, tools=[plain], models=models) as wire:
        assert await refused(wire, **fields) == path
    assert simulator.requests == []


# Tool choice


async def test_a_forced_call_is_forced_once_and_the_turn_ends(simulator: Simulator) -> None:
    call = Answer(ToolUse("plain", {"city": "Rome"}), stop_reason="tool_use")
    choice = {"type": "tool", "name": "plain"}
    async with talking(simulator, call, OK, tools=[plain]) as wire:
        done = await ended(wire, tool_choice=choice)
        (result,) = of_type(wire, ToolResult)
    assert (done["steps"], result.content) == (2, "sunny in Rome")
    assert [body.get("tool_choice") for body in simulator.requests] == [choice, None]
    # Thinking that began in the middle of a turn would be refused.
    assert [body["thinking"] for body in simulator.requests] == [OFF, OFF]
    assert simulator.rejections == []


async def test_a_fallback_goes_without_what_it_does_not_take(simulator: Simulator) -> None:
    async with talking(
        simulator,
        Fault(529, "overloaded_error", "Overloaded"),
        Answer(ToolUse("plain", {"city": "Rome"}), stop_reason="tool_use"),
        OK,
        tools=[plain],
        fallback_model="claude-sonnet-5-5",
        client_options=ALL,
    ) as wire:
        done = await ended(wire, tool_choice={"type": "any"}, temperature=0.2, effort="max")
    assert done["stop_reason"] == "end_turn"
    assert simulator.rejections == []
    fallen = simulator.requests[1]
    assert fallen["model"] == "claude-sonnet-5-5"
    assert fallen.keys().isdisjoint(("tool_choice", "temperature"))
    assert (fallen["thinking"], fallen["output_config"]) == (
        {"type": "between_tools"},
        {"effort": "high"},
    )


# Structured output


async def test_an_answer_in_a_format_is_told_as_data(simulator: Simulator) -> None:
    said = Answer(Text('{"city": "Oslo", '), Text('"}'), Text('{"city": "Oslo", "celsius": null}'))
    async with talking(simulator, said) as wire:
        done = await ended(wire, output_format=FORMAT)
        (event,) = of_type(wire, Done)
    assert done["output"] == event.output == {"city": "Oslo", "celsius": None}
    format = simulator.requests[0]["output_config"]["format"]
    assert format == {
        "type": "json_schema",
        "schema": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "celsius": {"type": "number", "description": "{minimum: -90}"},
            },
            "required": ["city"],
            "additionalProperties": False,
        },
    }


CUT: dict[str, Answer] = {
    "cut off": Answer(Text('{"city": "Oslo"}'), stop_reason="max_tokens"),
    "no JSON": Answer(Text("Oslo, I think.")),
    "not finite": Answer(Text('{"city": 1e999}')),
    "nothing": Answer(),
}


@pytest.mark.parametrize("answer", CUT.values(), ids=CUT)
async def test_an_answer_that_is_no_whole_json_has_no_output(
    simulator: Simulator, answer: Answer
) -> None:
    async with talking(simulator, answer) as wire:
        assert "output" not in await ended(wire, output_format=FORMAT)


async def test_json_that_nobody_asked_for_is_text(simulator: Simulator) -> None:
    async with talking(simulator, Answer(Text("{}"))) as wire:
        assert "output" not in await ended(wire)


async def test_the_demo_answers_in_the_format(simulator: Simulator) -> None:
    async with talking(simulator) as wire:
        done = await ended(wire, "What of Oslo", output_format=FORMAT)
    assert done["output"] == {"city": "Oslo"}


# What goes with each request


async def test_what_the_operator_adds_goes_with_each_request(simulator: Simulator) -> None:
    async with talking(
        simulator,
        OK,
        request={"inference_geo": "eu", "output_config": {"task_budget": {"total": 9}}},
        service_tier="standard_only",
        user_ids=True,
    ) as wire:
        await ended(wire, effort="low")
    (body,) = simulator.requests
    assert body["inference_geo"] == "eu"
    assert body["output_config"] == {"task_budget": {"total": 9}, "effort": "low"}
    assert body["service_tier"] == "standard_only"
    assert len(body["metadata"]["user_id"]) == 32
    assert "local" not in body["metadata"]["user_id"]


async def test_unless_it_is_set_the_provider_is_told_of_nobody(simulator: Simulator) -> None:
    async with talking(simulator, OK) as wire:
        await ended(wire)
    assert "metadata" not in simulator.requests[0]


async def test_betas_go_in_a_header(simulator: Simulator) -> None:
    async with talking(simulator, OK, betas=["one-2026-01-01", "two-2026-01-01"]) as wire:
        await ended(wire)
    assert simulator.betas == [{"one-2026-01-01", "two-2026-01-01"}]


@pytest.mark.parametrize(
    "request_",
    [{"messages": []}, {"stream": False}, {"output_config": {"format": {}}}, {"metadata": 1}],
    ids=str,
)
async def test_what_is_made_here_is_not_to_be_added(
    simulator: Simulator, request_: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError, match="request"):
        turnwire_over(simulator, model=MODEL, request=request_)

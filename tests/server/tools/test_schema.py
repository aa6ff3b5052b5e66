"""Schemas of tools, a client's among them, which may be made to take for ever."""

from typing import Any

import pytest

from tests.kit.chat import of_type, talking
from turnwire_protocol import ToolExecuting, ToolResult
from turnwire_server.tools.schema import Schema, schema_problem
from turnwire_simulator import Answer, Simulator, Text, ToolUse


def holding(schema: dict[str, Any]) -> dict[str, Any]:
    """An input with a `part` of that schema."""
    return {"type": "object", "properties": {"part": schema}, "required": ["part"]}


def fits(schema: dict[str, Any], part: Any) -> bool:
    return Schema(holding(schema), is_foreign=True).problem({"part": part}) is None


@pytest.mark.parametrize(
    ("pattern", "part", "does"),
    [
        ("^a+$", "aaa", True),
        ("^a+$", "aab", False),
        ("b", "abc", True),
        (r"\d{3}", "12", False),
        ("^a+$", 7, True),
        # What has no linear time is left to the client.
        ("^(?=b)a", "c", True),
    ],
)
def test_a_pattern_of_a_client_is_searched_for(pattern: str, part: Any, *, does: bool) -> None:
    assert fits({"pattern": pattern}, part) is does


def test_a_pattern_that_would_backtrack_for_ever_does_not() -> None:
    assert not fits({"pattern": "^(a+)+$"}, f"{'a' * 1000}!")
    assert not fits({"propertyNames": {"pattern": "^(a+)+$"}}, {f"{'a' * 1000}!": 1})


def doubling(levels: int) -> dict[str, Any]:
    """A schema of few words that is applied 2 ** levels times."""
    references = {
        f"s{level}": {"allOf": [{"$ref": f"#/$defs/s{level + 1}"}] * 2} for level in range(levels)
    }
    return {
        "type": "object",
        "$ref": "#/$defs/s0",
        "$defs": {**references, f"s{levels}": {"type": "object"}},
    }


def test_a_check_that_grows_without_bound_is_given_up() -> None:
    assert Schema(doubling(5), is_foreign=True).problem({}) is None
    with pytest.raises(RecursionError):
        Schema(doubling(60), is_foreign=True).problem({})


def test_a_large_input_is_checked_in_full() -> None:
    schema = {"type": "array", "items": {"type": "object", "required": ["id"]}}
    rows: list[dict[str, int]] = [{"id": number} for number in range(5_000)]
    assert fits(schema, rows)
    assert not fits(schema, [*rows, {}])


def test_only_a_client_may_not_use_pattern_properties() -> None:
    schema = holding({"anyOf": [{"patternProperties": {"^a": {}}}]})
    assert schema_problem(schema) is None
    assert schema_problem(schema, is_foreign=True) is not None


@pytest.mark.parametrize("schema", [doubling(60), holding({"pattern": "^(a+)+$"})])
async def test_a_clients_schema_fails_its_call_and_holds_nobody_up(
    simulator: Simulator, schema: dict[str, Any]
) -> None:
    step = Answer(ToolUse("page_title", {"part": f"{'a' * 1000}!"}), stop_reason="tool_use")
    tools = [{"name": "page_title", "description": "", "input_schema": schema}]
    async with talking(simulator, step, Answer(Text("Ok."))) as wire:
        await wire.send("send", content="hi", client_tools=tools, runner="r_1")
        done = await wire.until("done")
        (result,) = of_type(wire, ToolResult)
    assert (done["stop_reason"], result.is_error) == ("end_turn", True)
    assert of_type(wire, ToolExecuting) == []


async def test_an_offer_with_pattern_properties_is_rejected_by_name(simulator: Simulator) -> None:
    schema = holding({"patternProperties": {"^a": {}}})
    tools = [{"name": "page_title", "description": "", "input_schema": schema}]
    async with talking(simulator) as wire:
        reject = await wire.ask("send", content="hi", client_tools=tools, runner="r_1")
    assert (reject["type"], reject["code"]) == ("reject", "bad_command")
    assert reject["message"].startswith("client_tools.0.input_schema:")

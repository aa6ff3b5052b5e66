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


def deep(levels: int) -> dict[str, Any]:
    """A schema in a schema, and so on."""
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


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


def named(name: str) -> dict[str, Any]:
    """An input with a property of that name."""
    return {"type": "object", "properties": {name: {"type": "string"}}}


ODD = "filter[id]"
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no object": ({"type": "string"}, "s: "),
    "anyOf at the top": ({"type": "object", "anyOf": [{}]}, "s.anyOf: "),
    "allOf at the top": ({"type": "object", "allOf": [{}]}, "s.allOf: "),
    "oneOf at the top": ({"type": "object", "oneOf": [{}]}, "s.oneOf: "),
    "a key with brackets": (named(ODD), f"s.properties.{ODD}: "),
    "an empty key": (named(""), "s.properties.: "),
    "a long key": (named("a" * 65), f"s.properties.{'a' * 65}: "),
    "a key in a property": (holding(named(ODD)), f"s.properties.part.properties.{ODD}: "),
    "a key in a list": (
        holding({"anyOf": [{}, {"items": named(ODD)}]}),
        f"s.properties.part.anyOf.1.items.properties.{ODD}: ",
    ),
    "a key in a definition": (
        {"type": "object", "$defs": {"d": named(ODD)}},
        f"s.$defs.d.properties.{ODD}: ",
    ),
    "an older draft": (
        holding({"items": [{"type": "string"}]}),
        "s.properties.part.items: ",
    ),
    "a type that there is not": (holding({"type": "text"}), "s.properties.part.type: "),
    "no JSON": (holding({"default": object()}), "s: "),
    "no number of JSON": (holding({"default": float("nan")}), "s: "),
    "half a surrogate pair": (holding({"description": "\ud83d"}), "s: "),
    "endless": (deep(2_000), "s: "),
}


@pytest.mark.parametrize(("schema", "begin"), REFUSED.values(), ids=REFUSED)
def test_what_the_api_would_refuse_is_named_by_its_place(
    schema: dict[str, Any], begin: str
) -> None:
    problem = schema_problem(schema)
    assert problem is not None
    assert problem.at("s").startswith(begin)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        named("a.b-c_1"),
        named("a" * 64),
        holding({"anyOf": [{"type": "string"}, {"allOf": [{}]}]}),
        # A property may be called as keywords are, and values are no schemas.
        {"type": "object", "properties": {"anyOf": {}, "properties": {"enum": [named(ODD)]}}},
        {"type": "object", "required": [ODD], "examples": [named(ODD)]},
    ],
)
def test_what_the_api_takes_has_no_problem(schema: dict[str, Any]) -> None:
    assert schema_problem(schema) is None


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


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (named(ODD), f"properties.{ODD}"),
        ({"type": "object", "anyOf": [{}]}, "anyOf"),
        (holding({"type": "text"}), "properties.part.type"),
    ],
)
async def test_an_offer_that_the_api_would_refuse_is_rejected_by_its_place(
    simulator: Simulator, schema: dict[str, Any], path: str
) -> None:
    good = {"name": "good", "description": "", "input_schema": {"type": "object"}}
    tools = [good, {"name": "page_title", "description": "", "input_schema": schema}]
    async with talking(simulator) as wire:
        reject = await wire.ask("send", content="hi", client_tools=tools, runner="r_1")
    assert (reject["type"], reject["code"]) == ("reject", "bad_command")
    assert reject["message"].startswith(f"client_tools.1.input_schema.{path}: ")
    assert simulator.requests == []

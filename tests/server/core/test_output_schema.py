"""Schemas of structured output, in the part that the API takes."""

import json
from typing import Any, Literal

import pytest
from anthropic import transform_schema
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from turnwire_server.core.turn.output_schema import api_schema, parse_output
from turnwire_server.tools.schema import SchemaProblem
from turnwire_simulator.options import judge_options

Json = dict[str, Any]


class Place(BaseModel):
    """Where."""

    name: str = Field(max_length=30)
    tags: list[str] = Field(min_length=1, max_length=3)


class Trip(BaseModel):
    start: Place
    end: Place | None = None
    kind: Literal["train", "car"]
    days: int = Field(ge=1, default=1)


def judged(schema: Json) -> None:
    """Raises what the API would refuse it with."""
    format = {"type": "json_schema", "schema": schema}
    judge_options({"messages": [], "output_config": {"format": format}})


@pytest.mark.parametrize("model", [Place, Trip])
def test_a_model_of_pydantic_becomes_what_the_sdk_makes_of_it(model: type[BaseModel]) -> None:
    form = api_schema(model.model_json_schema())
    expected = transform_schema(model)
    # It writes values as Python does.
    text = json.dumps(expected).replace("{default: None}", "{default: null}")
    assert form == json.loads(text)
    assert isinstance(form, dict)
    judged(form)


FORMS: list[tuple[Json, Json]] = [
    (
        {"type": ["string", "null"], "maxLength": 5, "description": "Who."},
        {
            "anyOf": [
                {"type": "string", "description": "{maxLength: 5}"},
                {"type": "null", "description": "{maxLength: 5}"},
            ],
            "description": "Who.",
        },
    ),
    (
        {"oneOf": [{"type": "integer"}, {"const": "none"}]},
        {"anyOf": [{"type": "integer"}, {"const": "none"}]},
    ),
    (
        {"definitions": {"A": {"type": "string"}}, "$ref": "#/definitions/A"},
        {"$defs": {"A": {"type": "string"}}, "$ref": "#/$defs/A"},
    ),
    (
        {"type": "object", "properties": {"$ref": {"type": "string", "format": "date"}}},
        {
            "type": "object",
            "properties": {"$ref": {"type": "string", "format": "date"}},
            "additionalProperties": False,
        },
    ),
    (
        {"type": "array", "items": {"type": "number"}, "minItems": 2, "$schema": "x"},
        {"type": "array", "items": {"type": "number"}, "description": "{minItems: 2}"},
    ),
]


@pytest.mark.parametrize(("schema", "form"), FORMS)
def test_a_schema_takes_the_form_that_the_api_knows(schema: Json, form: Json) -> None:
    assert api_schema(schema) == form
    judged(form)


LINK = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Link"}}}
DEEP: Json = {"type": "string"}
for _ in range(3000):
    DEEP = {"type": "array", "items": DEEP}

PROBLEMS: list[tuple[Json, str]] = [
    ({}, "S"),
    ({"type": "text"}, "S.type"),
    ({"type": "object", "properties": {"a": True}}, "S.properties.a"),
    ({"type": "object", "properties": {}, "required": ["a"]}, "S.required"),
    ({"type": "object", "additionalProperties": {"type": "string"}}, "S"),
    ({"enum": [{"a": 1}]}, "S"),
    ({"$ref": "https://example.com/schema"}, "S.$ref"),
    ({"$ref": "#/$defs/B", "$defs": {}}, "S.$defs"),
    ({"$ref": "#/$defs/Link", "$defs": {"Link": LINK}}, "S.$defs.Link"),
    (DEEP, "S"),
    ({"type": "string", "enum": [[n] for n in range(900)]}, "S"),
]


@pytest.mark.parametrize(("schema", "path"), PROBLEMS, ids=[path for _, path in PROBLEMS])
def test_a_schema_that_the_api_refuses_is_told_by_its_place(schema: Json, path: str) -> None:
    problem = api_schema(schema)
    assert isinstance(problem, SchemaProblem)
    assert problem.at("S").partition(":")[0] == path


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
kinds = st.sampled_from(["object", "array", "string", "integer", "null"])
names = st.sampled_from(["a", "b", "items", "$ref", "type"])
schemas: st.SearchStrategy[Any] = st.recursive(
    st.fixed_dictionaries({"type": kinds}) | st.fixed_dictionaries({"const": scalars}),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries(
            {"type": st.just("object"), "properties": st.dictionaries(names, inner, max_size=3)}
        ),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries(
            {
                "type": st.lists(kinds, min_size=1, unique=True),
                "items": inner,
                "properties": st.dictionaries(names, inner, max_size=2),
                "minimum": st.integers(),
            }
        ),
    ),
    max_leaves=8,
)


@given(schemas)
def test_whatever_is_taken_the_api_takes(schema: Json) -> None:
    form = api_schema(schema)
    assert isinstance(form, dict), form
    judged(form)


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ('{"a": [1, null]}', {"a": [1, None]}),
        (" 0 ", 0),
        ('{"a": ', None),
        ("NaN", None),
        ("[1e999]", None),
        ("", None),
        ("[" * 5000, None),
    ],
)
def test_an_output_is_what_the_whole_text_says_as_json(text: str, output: object) -> None:
    assert parse_output(text) == output

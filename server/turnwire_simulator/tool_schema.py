"""Judges the input schema of a tool as the Claude API does, in its words.

Sources: https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools, and the
refusals quoted in anthropics/claude-code#5973, twilio-labs/mcp#58, AlexGladkov/claude-in-mobile#57.
"""

import json
import re
from collections.abc import Iterator
from functools import lru_cache

from jsonschema import Draft202012Validator

from turnwire_simulator.shapes import expect

__all__ = ["judge_schema"]

_PROPERTY_KEY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_DATA = ("const", "default", "enum", "examples")
"""Keywords that hold values, in which nothing is a schema."""
_DRAFT = (
    "JSON schema is invalid. It must match JSON Schema draft 2020-12 "
    "(https://json-schema.org/draft/2020-12). Learn more about tool use at "
    "https://docs.claude.com/en/docs/tool-use."
)


def judge_schema(schema: object, path: str) -> None:
    """Returns when the API would take the schema.

    Raises:
        Rejected: with the path before the message.
    """
    fits = isinstance(schema, dict) and schema.get("type") == "object"
    expect(fits, f"{path}.type", "Input should be 'object'")
    assert isinstance(schema, dict)
    expect(
        schema.keys().isdisjoint(("oneOf", "allOf", "anyOf")),
        path,
        "input_schema does not support oneOf, allOf, or anyOf at the top level",
    )
    expect(
        all(map(_PROPERTY_KEY.fullmatch, _property_keys(schema))),
        f"{path}.properties",
        f"Property keys should match pattern '^{_PROPERTY_KEY.pattern}$'",
    )
    expect(_is_schema(json.dumps(schema)), path, _DRAFT)


def _property_keys(part: object, *, names: bool = False) -> Iterator[str]:
    """The keys of all `properties` in a schema; with `names`, the part is such an object."""
    if isinstance(part, list):
        for inner in part:
            yield from _property_keys(inner)
    elif isinstance(part, dict):
        for key, value in part.items():
            if names:
                yield key
            if names or key not in _DATA:
                yield from _property_keys(value, names=not names and key == "properties")


@lru_cache(maxsize=1024)
def _is_schema(text: str) -> bool:
    # A check takes a millisecond, and each request brings the same tools.
    return Draft202012Validator(Draft202012Validator.META_SCHEMA).is_valid(json.loads(text))

"""JSON Schemas of tools, and the check of an input against one; knows no tool.

A client's schema is foreign, and is applied on the event loop: it fetches nothing, its regular
expressions run in linear time (https://docs.rs/regex), and a check ends after `_MAX_STEPS`.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema
from referencing.jsonschema import EMPTY_REGISTRY

__all__ = ["MAX_SIZE", "Schema", "SchemaProblem", "schema_problem", "size_of"]

_PROBLEM_CHARS = 1000
_MAX_STEPS = 30_000
"""Of one check; a step is a keyword applied to a value."""
MAX_SIZE = 10_000
"""Of all schemas of a client; see `size_of`. To check one of that size takes most of a second."""

_PROPERTY_KEY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
_MAPS = ("$defs", "definitions", "dependentSchemas", "patternProperties", "properties")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_PARTS = (
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
"""The keywords of JSON Schema that hold schemas: by name, in a list, one."""

Check = Callable[[Any, Any, Any, Any], Iterable[ValidationError] | None]

_steps: ContextVar[list[int]] = ContextVar("turnwire_schema_steps")


class Schema:
    """A schema that `schema_problem` finds nothing wrong with."""

    def __init__(self, schema: dict[str, Any], *, is_foreign: bool) -> None:
        kind = _ForeignValidator if is_foreign else Draft202012Validator
        # A registry that fetches nothing: by itself the library would open any address that a
        # schema refers to.
        self._validator = kind(schema, registry=EMPTY_REGISTRY)

    def problem(self, input: dict[str, Any]) -> str | None:
        """Why the input does not fit, in words for the model; None if it does.

        Raises whatever a schema can make the library raise: it may refer to nowhere or to itself.
        """
        _steps.set([_MAX_STEPS])
        error = best_match(self._validator.iter_errors(input))
        if error is None:
            return None
        return f"Invalid input at {error.json_path}: {error.message[:_PROBLEM_CHARS]}"


@dataclass(slots=True, frozen=True)
class SchemaProblem:
    """A rule that a schema breaks, and where in it."""

    path: tuple[str | int, ...]
    rule: str

    def at(self, root: str) -> str:
        """In words; `root` is the path of the schema itself."""
        return f"{'.'.join(map(str, (root, *self.path)))}: {self.rule}"


def schema_problem(schema: dict[str, Any], *, is_foreign: bool = False) -> SchemaProblem | None:
    """Why this is no JSON Schema of a tool's input, or none that the API takes; None if it is one.

    The API refuses every request that lists such a tool, whether it is called or not. Its rules are
    documented in part (https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools);
    the others are those of its refusals (anthropics/claude-code#5973, twilio-labs/mcp#58,
    AlexGladkov/claude-in-mobile#57).
    """
    try:
        Draft202012Validator.check_schema(schema)
        json.dumps(schema, allow_nan=False, ensure_ascii=False).encode()
    except SchemaError as error:
        return SchemaProblem(tuple(error.absolute_path), error.message[:_PROBLEM_CHARS])
    except RecursionError:
        return SchemaProblem((), "is nested too deeply")
    except (TypeError, ValueError) as error:
        return SchemaProblem((), f"is not JSON: {error}"[:_PROBLEM_CHARS])
    if is_foreign and _has_pattern_properties(schema):
        return SchemaProblem((), "patternProperties cannot be used here")
    if schema.get("type") != "object":
        return SchemaProblem((), "its type must be object")
    for keyword in ("oneOf", "allOf", "anyOf"):
        if keyword in schema:
            return SchemaProblem((keyword,), "the API does not take this at the top level")
    for path in _property_paths(schema):
        if _PROPERTY_KEY.fullmatch(str(path[-1])) is None:
            return SchemaProblem(
                path, f"the API takes only property keys that match ^{_PROPERTY_KEY.pattern}$"
            )
    return None


def size_of(schema: Any) -> int:
    """What it costs to check a schema, roughly: the values in it, those in lists that the library
    cannot sort by the square, because it looks for doubles in them."""
    size = 0
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        size += 1
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
            kinds = {type(value) for value in part}
            if not (kinds <= {str} or kinds <= {int, float}):
                size += len(part) ** 2 // 64
    return size


def _property_paths(schema: dict[str, Any]) -> Iterator[tuple[str | int, ...]]:
    """Where a property is declared, at every level; one may itself be called `properties`."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), schema)]
    while waiting:
        path, part = waiting.pop()
        if not isinstance(part, dict):
            continue
        for keyword, value in part.items():
            here = (*path, keyword)
            if keyword in _MAPS and isinstance(value, dict):
                waiting += [((*here, name), inner) for name, inner in value.items()]
                if keyword == "properties":
                    yield from ((*here, name) for name in value)
            elif keyword in _LISTS and isinstance(value, list):
                waiting += [((*here, index), inner) for index, inner in enumerate(value)]
            elif keyword in _PARTS:
                waiting.append((here, value))


def _has_pattern_properties(schema: Any) -> bool:
    # Three keywords of the library look at these, each with Python's regular expressions.
    if isinstance(schema, dict):
        return "patternProperties" in schema or any(map(_has_pattern_properties, schema.values()))
    return isinstance(schema, list) and any(map(_has_pattern_properties, schema))


@lru_cache
def _matcher(pattern: str) -> SchemaValidator | None:
    """None: the pattern (look-around, for example) cannot be matched in linear time."""
    try:
        schema = core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")
        return SchemaValidator(schema)
    except PatternError:
        return None


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterable[ValidationError]:
    if not validator.is_type(instance, "string"):
        return
    matcher = _matcher(pattern)
    # A pattern that cannot be matched here is left to the client.
    if matcher is not None and not matcher.isinstance_python(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _with_limit(check: Check) -> Check:
    def counted(
        validator: Any, value: Any, instance: Any, schema: Any
    ) -> Iterable[ValidationError] | None:
        steps = _steps.get()
        steps[0] -= 1
        if steps[0] < 0:
            raise RecursionError("the check of an input took too many steps")
        return check(validator, value, instance, schema)

    return counted


_KEYWORDS: dict[str, Check] = {**Draft202012Validator.VALIDATORS, "pattern": _pattern}
_ForeignValidator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator, {name: _with_limit(check) for name, check in _KEYWORDS.items()}
)

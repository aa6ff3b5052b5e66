"""JSON Schemas of tools, and the check of an input against one; knows no tool.

A client's schema is foreign, and is applied on the event loop: it fetches nothing, its regular
expressions run in linear time (https://docs.rs/regex), and a check ends after `_MAX_STEPS`.
"""

from collections.abc import Callable, Iterable
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from pydantic_core import SchemaError as PatternError
from pydantic_core import SchemaValidator, core_schema
from referencing.jsonschema import EMPTY_REGISTRY

__all__ = ["Schema", "schema_problem"]

_PROBLEM_CHARS = 1000
_MAX_STEPS = 30_000
"""Of one check; a step is a keyword applied to a value."""

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


def schema_problem(schema: dict[str, Any], *, is_foreign: bool = False) -> str | None:
    """Why this is no JSON Schema of a tool's input; None if it is one."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return error.message[:_PROBLEM_CHARS]
    if is_foreign and _has_pattern_properties(schema):
        return "patternProperties cannot be used here"
    return None if schema.get("type") == "object" else "its type must be object"


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

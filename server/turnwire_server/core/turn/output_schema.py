"""JSON Schemas of structured output, in the part of JSON Schema that the API takes. Pure.

The API decodes along such a schema, and refuses what it cannot decode along: objects that are open,
bounds of numbers and lengths, schemas that refer to themselves. As the SDK's `transform_schema`
does (anthropic 2.11, `lib/_parse/_transform.py`), what has no form there goes into descriptions,
where the model reads it; unlike there, nothing that a schema may hold makes it fail otherwise than
by a `SchemaProblem`, and a type that is a list of types becomes an `anyOf`.
https://platform.claude.com/docs/en/build-with-claude/structured-outputs
"""

import json
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic_core import from_json

from turnwire_server.tools.schema import MAX_SIZE, SchemaProblem, size_of

__all__ = ["api_schema", "parse_output"]

_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")
_FORMATS = frozenset(
    ("date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid")
)
_DEFINITIONS = ("$defs", "definitions")
_PROBLEM_CHARS = 500

Schema = dict[str, Any]
Path = tuple[str | int, ...]


class _Unfit(Exception):
    def __init__(self, path: Path, rule: str) -> None:
        self.problem = SchemaProblem(path, rule)


def api_schema(schema: Schema) -> Schema | SchemaProblem:
    """The schema as the API takes it, or what keeps it from being one."""
    if size_of(schema) > MAX_SIZE:
        return SchemaProblem((), "is too large")
    try:
        Draft202012Validator.check_schema(schema)
        json.dumps(schema, allow_nan=False, ensure_ascii=False).encode()
        definitions = {
            name: part for word in _DEFINITIONS for name, part in schema.get(word, {}).items()
        }
        form = _form(schema, ())
        if definitions:
            parts = {name: _form(part, ("$defs", name)) for name, part in definitions.items()}
            form = {"$defs": parts, **form}
            _check_references(form, parts)
        else:
            _check_references(form, {})
    except SchemaError as error:
        return SchemaProblem(tuple(error.absolute_path), error.message[:_PROBLEM_CHARS])
    except RecursionError:
        return SchemaProblem((), "is nested too deeply")
    except (TypeError, ValueError) as error:
        return SchemaProblem((), f"is not JSON: {error}"[:_PROBLEM_CHARS])
    except _Unfit as unfit:
        return unfit.problem
    return form


def parse_output(text: str) -> Any:
    """What an answer in JSON says; None if it is none, as one that was cut off."""
    try:
        value = from_json(text)
        # JSON's grammar allows 1e999, and this parser NaN: neither could be told.
        json.dumps(value, allow_nan=False)
    except ValueError:
        return None
    return value


def _form(part: Any, path: Path) -> Schema:
    """One schema, and those in it; definitions are looked after elsewhere."""
    if not isinstance(part, dict):
        raise _Unfit(path, "a schema that is an object is required")
    rest = {
        name: value for name, value in part.items() if name not in (*_DEFINITIONS, "$schema", "$id")
    }
    if "$ref" in rest:
        return {"$ref": _reference(rest["$ref"], path)}
    form: Schema = {}
    for name in ("enum", "const"):
        values = rest.get(name) if name == "enum" else [rest.get(name)]
        if name in rest and values and all(map(_is_scalar, values)):
            form[name] = rest.pop(name)
    kind = rest.pop("type", None)
    branches = next((name for name in ("anyOf", "oneOf", "allOf") if rest.get(name)), None)
    if branches is not None:
        word = "allOf" if branches == "allOf" else "anyOf"
        variants = rest.pop(branches)
        form[word] = [_form(each, (*path, branches, n)) for n, each in enumerate(variants)]
    elif isinstance(kind, list) and not form:
        told = {name: rest.pop(name) for name in ("title", "description") if name in rest}
        return {
            "anyOf": [_form({**_of_type(each, rest), "type": each}, path) for each in kind],
            **told,
        }
    elif not form:
        if kind not in _TYPES:
            raise _Unfit(path, "a type, anyOf, oneOf, allOf, const or enum of scalars is required")
        form["type"] = kind
        _shape(form, kind, rest, path)
    for name in ("description", "title"):
        if name in rest:
            form[name] = rest.pop(name)
    if rest:
        said = ", ".join(f"{name}: {json.dumps(value)}" for name, value in rest.items())
        form["description"] = "\n\n".join(filter(None, (form.get("description"), f"{{{said}}}")))
    return form


def _of_type(kind: str, rest: Schema) -> Schema:
    """The keywords without those that hold schemas for another type: each is gone through once."""
    return {
        name: value
        for name, value in rest.items()
        if (name not in ("properties", "required") or kind == "object")
        and (name != "items" or kind == "array")
    }


def _shape(form: Schema, kind: str, rest: Schema, path: Path) -> None:
    """What the API takes of the keywords of a type; moved from `rest` to `form`."""
    match kind:
        case "object":
            properties = rest.pop("properties", {})
            form["properties"] = {
                name: _form(each, (*path, "properties", name)) for name, each in properties.items()
            }
            if isinstance(rest.pop("additionalProperties", None), dict) and not properties:
                # The model could say nothing but {}.
                raise _Unfit(path, "the API takes only objects whose properties are named")
            form["additionalProperties"] = False
            if "required" in rest:
                required = rest.pop("required")
                if unknown := [name for name in required if name not in properties]:
                    raise _Unfit((*path, "required"), f"there is no property {unknown[0]!r:.80}")
                form["required"] = required
        case "array":
            if "items" in rest:
                form["items"] = _form(rest.pop("items"), (*path, "items"))
            if rest.get("minItems") in (0, 1):
                form["minItems"] = rest.pop("minItems")
        case "string" if rest.get("format") in _FORMATS:
            form["format"] = rest.pop("format")


def _reference(target: str, path: Path) -> str:
    for word in _DEFINITIONS:
        name = target.removeprefix(f"#/{word}/")
        if name != target and "/" not in name:
            return f"#/$defs/{name}"
    raise _Unfit((*path, "$ref"), "only what is in $defs can be referred to")


def _check_references(form: Schema, definitions: dict[str, Schema]) -> None:
    """All of them lead somewhere, and none back to itself: the API takes no recursive schema."""
    done: set[str] = set()

    def follow(part: Any, inside: tuple[str, ...]) -> None:
        for target in _targets(part):
            name = target.removeprefix("#/$defs/").replace("~1", "/").replace("~0", "~")
            if name not in definitions:
                raise _Unfit(("$defs",), f"there is no definition {name!r:.80}")
            if name in inside:
                raise _Unfit(("$defs", name), "refers to itself, which the API does not take")
            if name not in done:
                follow(definitions[name], (*inside, name))
                done.add(name)

    follow({name: part for name, part in form.items() if name != "$defs"}, ())
    for name, part in definitions.items():
        if name not in done:
            follow(part, (name,))


def _targets(part: Any) -> list[str]:
    """The references in a schema of our form, at any depth."""
    found: list[str] = []
    waiting = [part]
    while waiting:
        here = waiting.pop()
        if isinstance(here, list):
            waiting += here
        elif isinstance(here, dict):
            found += [value for name, value in here.items() if name == "$ref"]
            for name in ("properties", "$defs"):
                waiting += here.get(name, {}).values()
            waiting += [here[name] for name in ("items", "anyOf", "allOf") if name in here]
    return found


def _is_scalar(value: object) -> bool:
    return value is None or isinstance(value, str | int | float | bool)

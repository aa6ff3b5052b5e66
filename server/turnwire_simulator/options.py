"""Judges what a request says of how to answer: sampling, stops, metadata, effort, the format.

What only some models take is judged elsewhere. Sources: https://docs.claude.com/en/api/messages,
https://platform.claude.com/docs/en/build-with-claude/structured-outputs, and the API's refusals in
bug reports (such as pydantic/pydantic-ai#3471: "For 'object' type, …").
"""

from turnwire_simulator.blocks import ApiObject
from turnwire_simulator.errors import Rejected
from turnwire_simulator.prompt_cache import blocks_of
from turnwire_simulator.shapes import expect

__all__ = ["EFFORTS", "judge_options"]

EFFORTS = ("low", "medium", "high", "xhigh", "max")

_FORMATS = {
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "time",
    "uri",
    "uuid",
}
_COMMON = {"type", "title", "description", "enum", "const", "default"}
_KEYWORDS: dict[str, set[str]] = {
    "array": {"items", "minItems"},
    "boolean": set(),
    "integer": set(),
    "null": set(),
    "number": set(),
    "object": {"properties", "required", "additionalProperties"},
    "string": {"format"},
}


def judge_options(body: ApiObject) -> None:
    """Raises `Rejected` when the API would not take one of them, whichever the model."""
    for name in ("temperature", "top_p"):
        if name in body:
            expect(body[name] >= 0, name, "Input should be greater than or equal to 0")
            expect(body[name] <= 1, name, "range: -0.0..1.0")
    for number, sequence in enumerate(body.get("stop_sequences", ())):
        path = f"stop_sequences.{number}"
        expect(isinstance(sequence, str), path, "Input should be a valid string")
        expect(
            bool(sequence.strip()),
            "stop_sequences",
            "each stop sequence must contain non-whitespace",
        )
    for name in body.get("metadata", {}).keys() - {"user_id"}:
        raise Rejected(f"metadata.{name}: Extra inputs are not permitted")
    user = body.get("metadata", {}).get("user_id")
    expect(user is None or isinstance(user, str), "metadata.user_id", "Input should be a string")
    if isinstance(user, str):
        expect(len(user) <= 256, "metadata.user_id", "String should have at most 256 characters")
    _judge_output_config(body)


def _judge_output_config(body: ApiObject) -> None:
    config: ApiObject = body.get("output_config", {})
    for name in config.keys() - {"effort", "format", "task_budget"}:
        raise Rejected(f"output_config.{name}: Extra inputs are not permitted")
    effort = config.get("effort")
    expect(
        effort is None or effort in EFFORTS,
        "output_config.effort",
        f"Input should be one of {', '.join(map(repr, EFFORTS))}",
    )
    format = config.get("format")
    if format is None:
        return
    path = "output_config.format"
    expect(isinstance(format, dict), path, "Input should be a valid dictionary")
    expect(format.get("type") == "json_schema", f"{path}.type", "Input should be 'json_schema'")
    expect(isinstance(format.get("schema"), dict), f"{path}.schema", "Field required")
    for name in format.keys() - {"type", "schema"}:
        raise Rejected(f"{path}.{name}: Extra inputs are not permitted")
    schema = format["schema"]
    definitions = schema.get("$defs", {})
    _judge_schema(schema, f"{path}.schema", definitions, ())
    for name, part in definitions.items():
        _judge_schema(part, f"{path}.schema", definitions, (name,))
    if _has_citations(body):
        raise Rejected("citations cannot be enabled when using structured outputs")


def _judge_schema(
    schema: object, path: str, definitions: ApiObject, inside: tuple[str, ...]
) -> None:
    expect(isinstance(schema, dict), path, "Input should be a valid dictionary")
    assert isinstance(schema, dict)
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        expect(name in definitions, path, f"Unresolved $ref: {schema['$ref']}")
        expect(name not in inside, path, "Circular reference detected")
        _judge_schema(definitions[name], path, definitions, (*inside, name))
        return
    for word in ("anyOf", "allOf"):
        for part in schema.get(word, ()):
            _judge_schema(part, path, definitions, inside)
    kind = schema.get("type")
    if kind is None:
        known = {"anyOf", "allOf", "enum", "const"} & schema.keys()
        expect(bool(known), path, "Schema type is missing or not supported")
        extra = schema.keys() - _COMMON - {"anyOf", "allOf", "$defs"}
        expect(not extra, path, f"properties {', '.join(sorted(extra))} are not supported")
        return
    expect(kind in _KEYWORDS, path, f"Schema type {kind!r} is not supported")
    unknown = ", ".join(sorted(schema.keys() - _COMMON - _KEYWORDS[kind] - {"$defs"}))
    expect(not unknown, path, f"For '{kind}' type, properties {unknown} are not supported")
    if kind == "object":
        closed = schema.get("additionalProperties") is False
        rule = "For 'object' type, 'additionalProperties' must be explicitly set to false"
        expect(closed, path, rule)
        for part in schema.get("properties", {}).values():
            _judge_schema(part, path, definitions, inside)
    if kind == "array" and "items" in schema:
        _judge_schema(schema["items"], path, definitions, inside)
    least = schema.get("minItems", 0)
    expect(
        least in (0, 1),
        path,
        "For 'array' type, 'minItems' values other than 0 or 1 are not supported",
    )
    wanted = schema.get("format")
    expect(wanted is None or wanted in _FORMATS, path, f"String format {wanted!r} is not supported")


def _has_citations(body: ApiObject) -> bool:
    return any(
        (block.get("citations") or {}).get("enabled")
        for message in body["messages"]
        if isinstance(message, dict)
        for block in blocks_of(message.get("content") or [])
        if isinstance(block, dict) and block.get("type") == "document"
    )

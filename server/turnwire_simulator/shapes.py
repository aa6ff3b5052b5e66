"""The fields each content block of a request may and must have; knows no rule between blocks."""

import re
from typing import Any, NamedTuple

from turnwire_simulator.blocks import ApiObject
from turnwire_simulator.errors import Rejected
from turnwire_simulator.signature import is_sealed, is_signed

__all__ = ["expect", "is_count", "is_result", "judge_block", "judge_text"]


class Shape(NamedTuple):
    """What a block of one type looks like; `role` is the only one it may come from."""

    role: str | None
    required: dict[str, type | tuple[type, ...]]
    optional: frozenset[str] = frozenset()


_CACHED = frozenset({"cache_control"})
_CALLED = _CACHED | {"caller"}

_SHAPES = {
    "text": Shape(None, {"text": str}, _CACHED | {"citations"}),
    "image": Shape("user", {"source": dict}, _CACHED),
    "document": Shape("user", {"source": dict}, _CACHED | {"citations", "context", "title"}),
    "search_result": Shape(
        "user", {"source": str, "title": str, "content": list}, _CACHED | {"citations"}
    ),
    "container_upload": Shape(None, {"file_id": str}, _CACHED),
    "tool_result": Shape("user", {"tool_use_id": str}, _CACHED | {"content", "is_error"}),
    "compaction": Shape(
        None, {}, _CACHED | {"content", "encrypted_content", "signature", "tool_changes"}
    ),
    "thinking": Shape("assistant", {"thinking": str, "signature": str}),
    "redacted_thinking": Shape("assistant", {"data": str}),
    "tool_use": Shape(
        "assistant", {"id": str, "name": str, "input": dict}, _CALLED | {"toolset_name"}
    ),
    "server_tool_use": Shape("assistant", {"id": str, "name": str, "input": dict}, _CALLED),
    "mcp_tool_use": Shape(
        "assistant", {"id": str, "name": str, "input": dict, "server_name": str}, _CACHED
    ),
    "mcp_tool_result": Shape(
        "assistant", {"tool_use_id": str, "content": (str, list), "is_error": bool}, _CACHED
    ),
    "mcp_tool_listing": Shape("assistant", {"mcp_server_name": str, "tools": list}),
    "fallback": Shape("assistant", {"from": dict, "to": dict}, frozenset({"trigger"})),
}
# Results of the API's own tools: `web_search_tool_result` and its like.
_PROVIDER_RESULT = Shape("assistant", {"tool_use_id": str, "content": (list, dict)}, _CALLED)

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_PROVIDER_ID = re.compile(r"srvtoolu_[a-zA-Z0-9_]+")


def expect(condition: bool, path: str, message: str) -> None:
    """Raises `Rejected` with the path before the message, unless the condition holds."""
    if not condition:
        raise Rejected(f"{path}: {message}")


def is_count(value: object) -> bool:
    """Whether the value is an integer of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def is_result(block: ApiObject) -> bool:
    """Whether the block is the result of one of the API's own tools."""
    kind: str = block["type"]
    return kind.endswith("_tool_result")


def judge_text(block: ApiObject, path: str, where: str) -> None:
    """Raises `Rejected` unless it is a well-formed text block with something to read in it."""
    _judge_fields(block, path, _SHAPES["text"])
    expect(bool(block["text"]), where, f"text content blocks must be non-empty ({path})")
    has_ink = bool(block["text"].strip())
    expect(has_ink, where, f"text content blocks must contain non-whitespace text ({path})")


def judge_block(block: Any, role: str, path: str) -> None:
    """Raises `Rejected` unless the block can stand in a message of this role."""
    expect(isinstance(block, dict), path, "Input should be a valid dictionary")
    kind = block.get("type")
    expect(isinstance(kind, str), f"{path}.type", "Field required")
    shape = _SHAPES.get(kind) or (_PROVIDER_RESULT if is_result(block) else None)
    if shape is None:
        raise Rejected(f"{path}.type: Input tag '{kind}' does not match any of the expected tags")
    if shape.role not in (None, role):
        raise Rejected(f"{path}: `{kind}` blocks can only be in `{shape.role}` messages")
    if kind == "text":
        judge_text(block, path, "messages")
        return
    _judge_fields(block, path, shape)
    match kind:
        case "compaction":
            summary = block.get("content")
            fits = summary is None or (isinstance(summary, str) and bool(summary))
            expect(fits, f"{path}.compaction.content", "Input should be a non-empty string")
        case "thinking":
            fits = is_signed(block["thinking"], block["signature"])
            expect(fits, path, "Invalid `signature` in `thinking` block")
        case "redacted_thinking":
            expect(is_sealed(block["data"]), path, "Invalid `data` in `redacted_thinking` block")
        case "tool_use":
            fits = _ID.fullmatch(block["id"]) is not None
            expect(fits, f"{path}.tool_use.id", f"String should match pattern '^{_ID.pattern}$'")
            fits = _NAME.fullmatch(block["name"]) is not None
            pattern = f"^{_NAME.pattern}$"
            expect(fits, f"{path}.tool_use.name", f"String should match pattern '{pattern}'")
        case "server_tool_use":
            fits = _PROVIDER_ID.fullmatch(block["id"]) is not None
            pattern = f"^{_PROVIDER_ID.pattern}$"
            expect(fits, f"{path}.server_tool_use.id", f"String should match pattern '{pattern}'")
        case "tool_result":
            _judge_result(block, path)
        case "image" | "document":
            _judge_source(block, path)


_SOURCES: dict[str, dict[str, tuple[str, ...]]] = {
    "image": {"base64": ("media_type", "data"), "url": ("url",), "file": ("file_id",)},
    "document": {
        "base64": ("media_type", "data"),
        "content": ("content",),
        "file": ("file_id",),
        "text": ("media_type", "data"),
        "url": ("url",),
    },
}


def _judge_source(block: ApiObject, path: str) -> None:
    path = f"{path}.{block['type']}"
    source = block["source"]
    fields = _SOURCES[block["type"]].get(source.get("type"))
    tag = f"Input tag '{source.get('type')}' does not match any of the expected tags"
    expect(fields is not None, f"{path}.source", tag)
    for name in fields or ():
        expect(name in source, f"{path}.source.{source['type']}.{name}", "Field required")
    for name in source.keys() - {"type"} - set(fields or ()):
        raise Rejected(f"{path}.source.{source['type']}.{name}: Extra inputs are not permitted")
    if source["type"] == "url":
        is_https = str(source["url"]).startswith("https://")
        expect(is_https, f"{path}.source.url.url", "Only HTTPS URLs are supported.")
    citations = block.get("citations")
    fits = citations is None or (isinstance(citations, dict) and citations.keys() <= {"enabled"})
    expect(fits, f"{path}.citations", "Input should be a valid dictionary")


def _judge_fields(block: ApiObject, path: str, shape: Shape) -> None:
    path = f"{path}.{block['type']}"
    for name, kind in shape.required.items():
        expect(name in block, f"{path}.{name}", "Field required")
        expect(isinstance(block[name], kind), f"{path}.{name}", "Input has the wrong type")
    for name in block.keys() - shape.required.keys() - shape.optional - {"type"}:
        raise Rejected(f"{path}.{name}: Extra inputs are not permitted")


def _judge_result(block: ApiObject, path: str) -> None:
    content = block.get("content", "")
    fits = isinstance(content, str | list)
    expect(fits, f"{path}.tool_result.content", "Input should be a valid string or list")
    if isinstance(content, list):
        for number, inner in enumerate(content):
            judge_block(inner, "user", f"{path}.tool_result.content.{number}")
            nested = inner["type"] == "tool_result"
            expect(not nested, f"{path}.tool_result.content.{number}", "cannot be nested")
    failed = block.get("is_error", False)
    expect(isinstance(failed, bool), f"{path}.tool_result.is_error", "Input should be a boolean")
    silent = failed and not content
    expect(not silent, f"{path}.tool_result", "content cannot be empty if `is_error` is true")

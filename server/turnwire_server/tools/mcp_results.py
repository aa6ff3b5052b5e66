"""Results of MCP calls as servers really send them, made into what the protocol has for them.

The mcp package checks a result only when the call has taken place, and then refuses all of it for
one field: the model would be told of an error, and might call again. So what does not fit is said
in text instead, and images and documents get the type of their bytes. Pure; imports no mcp.
"""

import base64
from typing import Any

from pydantic_core import to_json

from turnwire_server.core.blobs.media_types import media_type_of

__all__ = ["mended"]

_MAX_CHARS = 10_000

_FIELDS: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "image": ("data", "mimeType"),
    "audio": ("data", "mimeType"),
    "resource_link": ("name", "uri"),
}
"""What a block of content needs: strings. https://modelcontextprotocol.io/specification"""


def mended(result: dict[str, Any]) -> dict[str, Any]:
    """The result of a call, valid in every version; what is no such result is given back as it is.

    `structuredContent` must be an object up to 2025-11-25; another value becomes text, unless the
    server says the same in `content`.
    """
    is_result = result.keys() & {"content", "structuredContent", "isError"}
    if not is_result or result.get("resultType", "complete") != "complete":
        return result
    made = {**result, "isError": result.get("isError") is True}
    content, structured = result.get("content"), result.get("structuredContent")
    blocks = content if isinstance(content, list) else [] if content is None else [content]
    if not isinstance(structured, dict):
        made.pop("structuredContent", None)
        if structured is not None and not blocks:
            blocks = [structured]
    made["content"] = [_block(block) for block in blocks]
    if not isinstance(made.get("_meta", {}), dict):
        del made["_meta"]
    return made


def _block(block: Any) -> dict[str, Any]:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    if isinstance(block, dict):
        kind = block.get("type")
        if kind == "image" and isinstance(data := block.get("data"), str):
            block = {**block, "mimeType": _media_type(data) or block.get("mimeType") or "unknown"}
        if kind == "resource" and (resource := _resource(block.get("resource"))) is not None:
            return {"type": kind, "resource": resource}
        fields = _FIELDS.get(kind) if isinstance(kind, str) else None
        if fields is not None and all(isinstance(block.get(field), str) for field in fields):
            return {"type": kind, **{field: block[field] for field in fields}}
    return {"type": "text", "text": to_json(block).decode()[:_MAX_CHARS]}


def _resource(resource: Any) -> dict[str, Any] | None:
    if not isinstance(resource, dict) or not isinstance(resource.get("uri"), str):
        return None
    kept = {
        field: resource[field]
        for field in ("uri", "mimeType", "text", "blob")
        if isinstance(resource.get(field), str)
    }
    if (media_type := _media_type(kept.get("blob", ""))) is not None:
        kept["mimeType"] = media_type
    return kept if kept.keys() & {"text", "blob"} else None


def _media_type(data: str) -> str | None:
    """The type of base64, of which the beginning is decoded; None if it is none of ours."""
    try:
        return media_type_of(base64.b64decode(data[:64]))
    except ValueError:
        return None

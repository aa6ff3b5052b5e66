"""Request bodies, read within bounds and judged exactly as frames are; knows no endpoint."""

import functools
from email.message import Message
from typing import Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel

from turnwire_protocol import BadCommand, Code, parse_body, parse_object
from turnwire_server.errors import Rejected

__all__ = ["body_of", "described", "read_bounded"]

Body = TypeVar("Body", bound=BaseModel)


def body_of(model: type[Body], *, max_bytes: int) -> Any:
    """A dependency that gives the request's body as `model`.

    FastAPI's own reading would take NaN and nulls, and answer deep nesting in a form of its own.

    Raises (when it is called):
        BadCommand, BadFrame: it is not such a body.
        Rejected: it has more than `max_bytes`.
    """

    async def read(request: Request) -> Body:
        # Also what keeps a foreign page's plain form or text from being taken for a command.
        if not _is_json(request.headers.get("content-type", "")):
            raise BadCommand("Content-Type: application/json is required")
        return parse_body(model, parse_object(await read_bounded(request, max_bytes=max_bytes)))

    return Depends(read)


async def read_bounded(request: Request, *, max_bytes: int) -> bytes:
    """The request's body.

    Raises:
        Rejected: it has more than `max_bytes`.
    """
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > max_bytes:
            raise Rejected(Code.TOO_LARGE, f"body: at most {max_bytes} bytes")
    return bytes(data)


@functools.cache
def described(model: type[BaseModel]) -> dict[str, Any]:
    """What `openapi_extra` says of an endpoint that takes `model` by `body_of`."""
    schema = model.model_json_schema()
    content = {"application/json": {"schema": _inline(schema, schema.get("$defs", {}))}}
    return {"requestBody": {"required": True, "content": content}}


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    # An endpoint cannot add to the components of the app it is included in.
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inline(part, definitions) for name, part in schema.items() if name != "$defs"}


def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    is_json = subtype == "json" or subtype.endswith("+json")
    return is_json and message.get_content_maintype() == "application"

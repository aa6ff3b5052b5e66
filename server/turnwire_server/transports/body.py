"""Request bodies, read within bounds and judged exactly as frames are; knows no endpoint."""

import asyncio
import functools
from email.message import Message
from typing import Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel

from turnwire_protocol import BadCommand, Code, parse_body, parse_object
from turnwire_protocol.schema import inlined, on_the_wire
from turnwire_server.core.limits import Places, ServiceLimits
from turnwire_server.errors import Rejected
from turnwire_server.transports.http import principal_of

__all__ = ["Bodies", "body_of", "described"]

Body = TypeVar("Body", bound=BaseModel)


class Bodies:
    """How the bodies of commands are read: bounded in size, in time and in number per principal."""

    def __init__(self, limits: ServiceLimits, *, max_bytes: int | None = None) -> None:
        """`max_bytes`: of one body, unless it is `limits.max_frame_bytes`."""
        self._max_bytes = limits.max_frame_bytes if max_bytes is None else max_bytes
        self._timeout_seconds = limits.body_timeout_seconds
        self._seconds_per_byte = 1 / limits.min_body_bytes_per_second
        self._under_way = Places("bodies", limits.max_bodies)

    async def read(self, request: Request) -> bytes:
        """The body of a request to a guarded endpoint.

        Raises:
            Rejected: it is too large, comes too slowly, or with too many others.
        """
        data = bytearray()
        now = asyncio.get_running_loop().time()
        try:
            with self._under_way.taken(principal_of(request)):
                async with asyncio.timeout_at(now + self._timeout_seconds) as deadline:
                    async for chunk in request.stream():
                        data += chunk
                        if len(data) > self._max_bytes:
                            raise Rejected(Code.TOO_LARGE, f"body: at most {self._max_bytes} bytes")
                        more = len(data) * self._seconds_per_byte
                        deadline.reschedule(now + self._timeout_seconds + more)
        except TimeoutError:
            raise Rejected(Code.TIMEOUT, "body: it comes too slowly") from None
        return bytes(data)


def body_of(model: type[Body], bodies: Bodies) -> Any:
    """A dependency that gives the request's body as `model`.

    FastAPI's own reading would take NaN and nulls, and answer deep nesting in a form of its own.

    Raises (when it is called):
        BadCommand, BadFrame: it is not such a body.
        Rejected: as `Bodies.read` says.
    """

    async def read(request: Request) -> Body:
        # Also what keeps a foreign page's plain form or text from being taken for a command.
        if not _is_json(request.headers.get("content-type", "")):
            raise BadCommand("Content-Type: application/json is required")
        data = await bodies.read(request)
        return parse_body(model, parse_object(data))

    return Depends(read)


@functools.cache
def described(model: type[BaseModel]) -> dict[str, Any]:
    """What `openapi_extra` says of an endpoint that takes `model` by `body_of`."""
    # An endpoint cannot add to the components of the app it is included in.
    schema = inlined(on_the_wire(model.model_json_schema()))
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    is_json = subtype == "json" or subtype.endswith("+json")
    return is_json and message.get_content_maintype() == "application"

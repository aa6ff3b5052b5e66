"""Images and documents over HTTP: uploaded once, read by id; knows no conversation."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.requests import ClientDisconnect

from turnwire_protocol import Code
from turnwire_server.core.blobs.media_types import MEDIA_TYPES
from turnwire_server.errors import Rejected
from turnwire_server.transports.endpoints import per_service
from turnwire_server.transports.http import principal_of, refusals
from turnwire_server.transports.service import service_of

__all__ = ["blobs_routes"]

_BINARY = {
    media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in MEDIA_TYPES
}
_BODY = {"requestBody": {"required": True, "content": _BINARY}}
_OF_ONE = refusals(Code.NOT_FOUND)

_HEADERS = {
    # The bytes of an id never change; who may read them depends on the credentials.
    "Cache-Control": "private, max-age=31536000, immutable",
    "Vary": "Authorization",
    # Foreign bytes: opened as a page of their own, they may run and load nothing.
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
}


class Uploaded(BaseModel):
    """What a content block says of the blob."""

    model_config = ConfigDict(frozen=True)

    blob: str
    media_type: str
    bytes: int


def _make(router: APIRouter) -> None:
    @router.post(
        "/blobs",
        status_code=201,
        responses=refusals(Code.BAD_COMMAND, Code.TOO_LARGE, Code.TIMEOUT),
        openapi_extra=_BODY,
    )
    async def upload(request: Request) -> Uploaded:
        """Store an image or a PDF; content blocks refer to it by the id in the answer."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        announced = request.headers.get("content-length", "")
        try:
            blob = await service_of(request).blobs.receive(
                principal_of(request),
                request.stream(),
                media_type,
                announced_bytes=int(announced) if announced.isdecimal() else None,
            )
        except ClientDisconnect as error:
            # Nobody reads this answer; but it is no fault of ours either.
            raise Rejected(Code.BAD_COMMAND, "body: it ends too early") from error
        return Uploaded(blob=blob.id, media_type=blob.media_type, bytes=blob.bytes)

    @router.get(
        "/blobs/{blob}",
        responses={**_OF_ONE, 200: {"content": _BINARY}},
        response_class=Response,
    )
    async def read(request: Request, blob: str) -> Response:
        """The bytes, for the principal who uploaded them."""
        found, parts = await service_of(request).blobs.get(principal_of(request), blob)
        headers = {**_HEADERS, "Content-Length": str(found.bytes)}
        if found.media_type == "application/pdf":
            headers["Content-Disposition"] = f'attachment; filename="{found.id}.pdf"'
        return StreamingResponse(parts, media_type=found.media_type, headers=headers)

    @router.delete("/blobs/{blob}", status_code=204, responses=_OF_ONE)
    async def delete(request: Request, blob: str) -> Response:
        """Forget the bytes; where a conversation refers to them they are lost."""
        await service_of(request).blobs.delete(principal_of(request), blob)
        return Response(status_code=204)


blobs_routes = per_service(_make)
"""`/v1/blobs` (PROTOCOL.md "Blobs")."""

"""Images and documents over HTTP: uploaded once, read by id; knows no conversation."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from turnwire_server.core.blobs import MEDIA_TYPES, Blobs
from turnwire_server.transports.access import Access
from turnwire_server.transports.body import read_bounded
from turnwire_server.transports.http import guarded, principal_of

__all__ = ["blobs_router"]

_BINARY = {
    media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in MEDIA_TYPES
}
_BODY = {"requestBody": {"required": True, "content": _BINARY}}
_READ_DOCS: dict[int | str, dict[str, Any]] = {200: {"content": _BINARY}}

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


def blobs_router(blobs: Blobs, access: Access, *, max_bytes: int) -> APIRouter:
    """`POST /v1/blobs` and `GET /v1/blobs/{id}` (PROTOCOL.md "Blobs")."""
    router = APIRouter(prefix="/v1", tags=["turnwire"], route_class=guarded(access))

    @router.post("/blobs", status_code=201, openapi_extra=_BODY)
    async def upload(request: Request) -> Uploaded:
        """Store an image or a PDF; content blocks refer to it by the id in the answer."""
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        data = await read_bounded(request, max_bytes=max_bytes)
        blob = await blobs.put(principal_of(request), data, media_type)
        return Uploaded(blob=blob.id, media_type=blob.media_type, bytes=len(blob.data))

    @router.get("/blobs/{blob}", responses=_READ_DOCS, response_class=Response)
    async def read(request: Request, blob: str) -> Response:
        """The bytes, for the principal who uploaded them."""
        found = await blobs.get(principal_of(request), blob)
        headers = dict(_HEADERS)
        if found.media_type == "application/pdf":
            headers["Content-Disposition"] = f'attachment; filename="{found.id}.pdf"'
        return Response(found.data, media_type=found.media_type, headers=headers)

    return router

"""Blobs: images and documents, stored once for each owner; logs refer to them by id.

Knows no log and no turn. The model gets their bytes just before a call, in the Messages API's form
(https://docs.claude.com/en/docs/build-with-claude/vision, .../pdf-support).
"""

import asyncio
import base64
import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from turnwire_protocol import Attachment, Code, Content, DocumentBlock, ImageBlock, TextBlock
from turnwire_server.errors import ModelError, Rejected, StoreError
from turnwire_server.model.port import ApiBlock, ApiMessage
from turnwire_server.store.port import Blob, Store

__all__ = ["MEDIA_TYPES", "Blobs", "media_type_of"]

_KEEP_BYTES = 64 * 1024 * 1024
"""Of encoded attachments, for the next calls of the model."""
_MAX_REQUEST_BYTES = 22 * 1024 * 1024
"""Of all attachments in one request: the API takes 32 MB, in which they are base64."""

_MAGIC: dict[str, tuple[bytes, ...]] = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "application/pdf": (b"%PDF-",),
}
MEDIA_TYPES = (*_MAGIC, "image/webp")


@dataclass(slots=True, frozen=True)
class _Encoded:
    owner: str
    media_type: str
    bytes: int
    base64: str


class Blobs:
    """All blobs of this process's store. Somebody else's looks like an unknown one."""

    def __init__(self, store: Store, *, max_bytes: int, keep_bytes: int = _KEEP_BYTES) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._keep_bytes = keep_bytes
        self._encoded: OrderedDict[str, _Encoded] = OrderedDict()
        """The last ones used, together `keep_bytes` at most."""
        self._encoded_bytes = 0

    async def put(self, owner: str, data: bytes, media_type: str) -> Blob:
        """Store the bytes; the same bytes of one owner are one blob.

        Raises:
            Rejected: too large, not of that type, or the store cannot be written.
        """
        if len(data) > self._max_bytes:
            raise Rejected(Code.TOO_LARGE, f"body: at most {self._max_bytes} bytes")
        if media_type not in MEDIA_TYPES:
            known = ", ".join(sorted(MEDIA_TYPES))
            raise Rejected(Code.BAD_COMMAND, f"Content-Type: one of {known} is required")
        if not _has_signature_of(media_type, data):
            raise Rejected(Code.BAD_COMMAND, f"body: it does not begin as {media_type} does")
        # Hashing this much on the loop would delay the tokens of all streams.
        id = await asyncio.to_thread(_id, owner, data)
        blob = Blob(id, owner, media_type, data)
        try:
            await self._store.put_blob(blob)
        except StoreError as error:
            raise Rejected.because_of_the_store() from error
        return blob

    async def get(self, owner: str, id: str) -> Blob:
        """The blob.

        Raises:
            Rejected: there is none of this owner, or the store cannot be read.
        """
        try:
            blob = await self._store.get_blob(id)
        except StoreError as error:
            raise Rejected.because_of_the_store() from error
        if blob is None or blob.owner != owner:
            raise Rejected(Code.NOT_FOUND, "blob: no such blob")
        return blob

    async def check(self, owner: str, content: Content) -> None:
        """Refuse content whose attachments are not what they say, or too many for one request.

        Raises:
            Rejected: the message names the field; or the store cannot be read.
        """
        if isinstance(content, str):
            return
        size = 0
        for index, block in enumerate(content):
            if isinstance(block, TextBlock):
                continue
            where = f"content.{index}"
            try:
                encoded = await self._encode(block.blob)
            except StoreError as error:
                raise Rejected.because_of_the_store() from error
            if encoded is None or encoded.owner != owner:
                raise Rejected(Code.BAD_COMMAND, f"{where}.blob: no such blob")
            for field in ("media_type", "bytes"):
                if getattr(block, field) != getattr(encoded, field):
                    raise Rejected(Code.BAD_COMMAND, f"{where}.{field}: is not the blob's")
            size += block.bytes
            if size > _MAX_REQUEST_BYTES:
                most = f"at most {_MAX_REQUEST_BYTES} bytes of attachments"
                raise Rejected(Code.TOO_LARGE, f"content: {most}")

    async def keep(self, owner: str, data: str, media_type: str) -> Attachment:
        """Store what a tool made, given as base64.

        Its type is that of its bytes, whatever the tool says: the API refuses a conversation with
        an image that is called by another type, and every further send with it.

        Raises:
            ValueError: it is not base64.
            Rejected: see `put`.
        """
        if len(data) > self._max_bytes * 2:
            raise Rejected(Code.TOO_LARGE, f"at most {self._max_bytes} bytes")
        decoded = base64.b64decode(data, validate=True)
        media_type = media_type_of(decoded) or media_type
        blob = await self.put(owner, decoded, media_type)
        fields: dict[str, Any] = {
            "blob": blob.id,
            "media_type": media_type,
            "bytes": len(blob.data),
        }
        return ImageBlock(**fields) if media_type.startswith("image/") else DocumentBlock(**fields)

    async def resolve(self, messages: list[ApiMessage]) -> list[ApiMessage]:
        """A copy of a history with bytes in place of its references.

        Raises:
            ModelError: they are too large for one request, or the store cannot be read.
        """
        sources = [source for message in messages for source in _sources(message["content"])]
        if not sources:
            return messages
        if sum(source["bytes"] for source in sources) > _MAX_REQUEST_BYTES:
            most = f"at most {_MAX_REQUEST_BYTES} bytes of attachments fit into a conversation"
            raise ModelError(Code.CONTEXT_TOO_LONG, most)
        found: dict[str, dict[str, Any]] = {}
        for id in {source["blob"]: None for source in sources}:
            try:
                encoded = await self._encode(id)
            except StoreError as error:
                reason = "the attachments cannot be read now"
                raise ModelError(Code.STORAGE_UNAVAILABLE, reason) from error
            if encoded is not None:
                media_type, data = encoded.media_type, encoded.base64
                found[id] = {"type": "base64", "media_type": media_type, "data": data}
        return [
            {"role": message["role"], "content": _resolve(message["content"], found)}
            for message in messages
        ]

    async def _encode(self, id: str) -> _Encoded | None:
        encoded = self._encoded.get(id)
        if encoded is not None:
            self._encoded.move_to_end(id)
            return encoded
        blob = await self._store.get_blob(id)
        if blob is None:
            return None
        text = base64.b64encode(blob.data).decode()
        encoded = _Encoded(blob.owner, blob.media_type, len(blob.data), text)
        # Another call may have encoded it while this one was reading.
        if id not in self._encoded:
            self._encoded[id] = encoded
            self._encoded_bytes += len(text)
        while self._encoded_bytes > self._keep_bytes:
            _, oldest = self._encoded.popitem(last=False)
            self._encoded_bytes -= len(oldest.base64)
        return encoded


def _id(owner: str, data: bytes) -> str:
    of_data = hashlib.sha256(data).hexdigest()
    of_both = hashlib.sha256(f"{owner}\0{of_data}".encode()).hexdigest()
    return f"b_{of_both[:32]}"


def media_type_of(data: bytes) -> str | None:
    """The type that bytes begin as; None if it is none of ours."""
    return next(
        (media_type for media_type in MEDIA_TYPES if _has_signature_of(media_type, data)), None
    )


def _has_signature_of(media_type: str, data: bytes) -> bool:
    if media_type == "image/webp":  # https://developers.google.com/speed/webp/docs/riff_container
        return data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return data.startswith(_MAGIC[media_type])


def _sources(content: str | list[ApiBlock]) -> Iterator[dict[str, Any]]:
    """The references in the content of a message, and in the tool results in it."""
    for block in content if isinstance(content, list) else ():
        if block["type"] == "tool_result":
            yield from _sources(block["content"])
        elif _is_reference(block):
            yield block["source"]


def _resolve(
    content: str | list[ApiBlock], found: dict[str, dict[str, Any]]
) -> str | list[ApiBlock]:
    """The content with the bytes that were found."""
    if isinstance(content, str):
        return content
    return [_resolve_block(block, found) for block in content]


def _resolve_block(block: ApiBlock, found: dict[str, dict[str, Any]]) -> ApiBlock:
    if block["type"] == "tool_result":
        return {**block, "content": _resolve(block["content"], found)}
    if not _is_reference(block):
        return block
    source = found.get(block["source"]["blob"])
    if source is None:
        return {"type": "text", "text": f"[{block['type']}: its bytes are lost]"}
    return {**block, "source": source}


def _is_reference(block: ApiBlock) -> bool:
    return block["type"] in ("image", "document") and block["source"]["type"] == "blob"

"""Attachments as the model gets them: bytes, encoded, in place of the references in a history.

In the Messages API's form (https://docs.claude.com/en/docs/build-with-claude/vision,
.../pdf-support).
"""

import binascii
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from turnwire_protocol import Code
from turnwire_server.core.complaint import Complaint
from turnwire_server.errors import ModelError, StoreError
from turnwire_server.model.port import ApiBlock, ApiMessage, may_refer
from turnwire_server.store.port import BlobStore

__all__ = ["KEEP_BYTES", "MAX_REQUEST_BYTES", "Attachments"]

KEEP_BYTES = 64 * 1024 * 1024
"""Of encoded attachments, for the next calls of the model."""
MAX_REQUEST_BYTES = 22 * 1024 * 1024
"""Of all attachments in one request: the API takes 32 MB, in which they are base64."""
_PART_BYTES = 3 * 128 * 1024
"""Encoded at once, on the loop, while which no token moves. Three bytes are four characters."""


@dataclass(slots=True, frozen=True)
class _Encoded:
    media_type: str
    base64: str


class Attachments:
    """Encodes blobs for the model, and keeps the last ones used, together `keep_bytes` at most."""

    def __init__(self, store: BlobStore, complaint: Complaint, *, keep_bytes: int) -> None:
        self._store = store
        self._complaint = complaint
        self._keep_bytes = keep_bytes
        self._encoded: OrderedDict[str, _Encoded] = OrderedDict()
        self._encoded_bytes = 0
        self._forgotten = 0
        """How often something was forgotten: what is being encoded meanwhile is not kept."""

    async def resolve(self, messages: list[ApiMessage]) -> list[ApiMessage]:
        """A copy of a history with bytes in place of its references.

        Raises:
            ModelError: they are too large for one request, or the store cannot be read.
        """
        referring = {at for at, message in enumerate(messages) if may_refer(message)}
        sources = [source for at in referring for source in _sources(messages[at]["content"])]
        if not sources:
            return messages
        if sum(source["bytes"] for source in sources) > MAX_REQUEST_BYTES:
            most = f"at most {MAX_REQUEST_BYTES} bytes of attachments fit into a conversation"
            raise ModelError(Code.CONTEXT_TOO_LONG, most)
        found: dict[str, dict[str, Any]] = {}
        for id in {source["blob"]: None for source in sources}:
            try:
                encoded = await self._encode(id)
            except StoreError as error:
                self._complaint.make(error)
                reason = "the attachments cannot be read now"
                raise ModelError(Code.STORAGE_UNAVAILABLE, reason) from error
            if encoded is not None:
                media_type, data = encoded.media_type, encoded.base64
                found[id] = {"type": "base64", "media_type": media_type, "data": data}
        return [
            {"role": message["role"], "content": _resolve(message["content"], found)}
            if at in referring
            else message
            for at, message in enumerate(messages)
        ]

    def forget(self, id: str) -> None:
        """The blob has been deleted."""
        self._forgotten += 1
        if (encoded := self._encoded.pop(id, None)) is not None:
            self._encoded_bytes -= len(encoded.base64)

    async def _encode(self, id: str) -> _Encoded | None:
        encoded = self._encoded.get(id)
        if encoded is not None:
            self._encoded.move_to_end(id)
            return encoded
        forgotten = self._forgotten
        blob = await self._store.find(id)
        if blob is None:
            return None
        parts: list[str] = []
        for start in range(0, blob.bytes, _PART_BYTES):
            data = await self._store.read(id, start, _PART_BYTES)
            if not data:
                return None
            # A part at a time. In a thread it would hold up the loop as long: it does not let go of
            # the interpreter meanwhile.
            parts.append(binascii.b2a_base64(data, newline=False).decode())
        encoded = _Encoded(blob.media_type, "".join(parts))
        # Another call may have encoded it while this one was reading.
        if id not in self._encoded and forgotten == self._forgotten:
            self._encoded[id] = encoded
            self._encoded_bytes += len(encoded.base64)
        while self._encoded_bytes > self._keep_bytes:
            _, oldest = self._encoded.popitem(last=False)
            self._encoded_bytes -= len(oldest.base64)
        return encoded


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

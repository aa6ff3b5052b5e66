"""What a page says in a user message, as our content: its files become blobs."""

import re
from typing import Any

from turnwire_protocol import Code, Content, ContentBlock, TextBlock
from turnwire_server.core.blobs.blobs import Blobs
from turnwire_server.errors import Rejected
from turnwire_server.wires.bounds import MAX_PARTS

__all__ = ["content_of"]

_OURS = re.compile(r".*/v1/blobs/(b_[0-9a-f]{32})")
"""Whatever stands before it: the service may lie below a prefix, and nothing is fetched."""


async def content_of(given: Any, blobs: Blobs, principal: str) -> Content:
    """The content of an AG-UI user message: text, or a list of parts.

    Raises:
        Rejected: a part is of a kind that the model does not read, or its file cannot be taken.
    """
    if isinstance(given, str):
        return given
    if not isinstance(given, list):
        raise Rejected(Code.BAD_COMMAND, "content: a text, or a list of parts, is required")
    if len(given) > MAX_PARTS:
        raise Rejected(Code.BAD_COMMAND, f"content: at most {MAX_PARTS} parts")
    return [await _block_of(part, blobs, principal) for part in given]


async def _block_of(part: Any, blobs: Blobs, principal: str) -> ContentBlock:
    match part:
        case {"type": "text", "text": str() as text}:
            return TextBlock(text=text)
        case {"type": "image" | "document", "source": dict() as source}:
            return await _file_of(source, blobs, principal)
        # 0.x, before it had a type for each medium.
        case {"type": "binary", "mimeType": str() as type, "data": str() as data}:
            return await _kept(data, type, blobs, principal)
        case {"type": "binary", "url": str() as url}:
            return await _blob_at(url, blobs, principal)
    raise Rejected(Code.BAD_COMMAND, "content: texts, images and PDF documents can be read")


async def _file_of(source: dict[str, Any], blobs: Blobs, principal: str) -> ContentBlock:
    match source:
        case {"type": "data", "value": str() as data, "mimeType": str() as type}:
            return await _kept(data, type, blobs, principal)
        case {"type": "url", "value": str() as url}:
            return await _blob_at(url, blobs, principal)
    raise Rejected(Code.BAD_COMMAND, "content: a file needs its data, or the address of a blob")


async def _kept(data: str, type: str, blobs: Blobs, principal: str) -> ContentBlock:
    try:
        return await blobs.keep(principal, data, type)
    except ValueError as error:
        raise Rejected(Code.BAD_COMMAND, "content: the data of a file must be base64") from error


async def _blob_at(url: str, blobs: Blobs, principal: str) -> ContentBlock:
    # The server fetches no address that a page names: it may be one of its own network.
    if (ours := _OURS.fullmatch(url)) is None:
        raise Rejected(Code.BAD_COMMAND, "content: a file's address must be that of a blob here")
    return await blobs.reference(principal, ours[1])

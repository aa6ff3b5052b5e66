"""Files of a page's message: what it sends becomes a blob, what is a blob already stays one."""

import asyncio
import re
from urllib.parse import unquote

from turnwire_protocol import (
    BadCommand,
    Content,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
)
from turnwire_server.core.blobs.blobs import Blobs
from turnwire_server.wires.ai_sdk.request import Message
from turnwire_server.wires.ai_sdk.values import Json
from turnwire_server.wires.bounds import MAX_PARTS

__all__ = ["content_of"]

_DATA = re.compile(r"data:([^;,]{0,200})((?:;[^,]{0,1000})?),")
"""Bounded, so that nothing is looked for in megabytes."""
_BLOB = re.compile(r"/v1/blobs/(b_[0-9a-f]{32})$")
_MAX_NAME_CHARS = 200


async def content_of(message: Message, *, blobs: Blobs, owner: str) -> Content:
    """The content of a user's message.

    Raises:
        BadCommand: a file is none that can be sent.
        Rejected: a file cannot be stored, or there is no such blob.
    """
    if len(message.parts) > MAX_PARTS:
        raise BadCommand(f"parts: at most {MAX_PARTS} in a message")
    blocks: list[ContentBlock] = []
    for part in message.parts:
        match part:
            case {"type": "text", "text": str() as text} if text.strip():
                blocks.append(TextBlock(text=text))
            case {"type": "file"}:
                blocks.append(await _attachment(part, blobs=blobs, owner=owner))
    if len(blocks) == 1 and isinstance(blocks[0], TextBlock):
        return blocks[0].text
    return blocks or ""


async def _attachment(part: Json, *, blobs: Blobs, owner: str) -> ImageBlock | DocumentBlock:
    url, name = part.get("url"), part.get("filename")
    if not isinstance(url, str):
        raise BadCommand("file: a url is required")
    if (data := _DATA.match(url)) is not None:
        if ";base64" not in data[2]:
            raise BadCommand("file: data in base64 is required")
        try:
            given = await asyncio.to_thread(unquote, url[data.end() :])
            block = await blobs.keep(owner, given, data[1].lower())
        except ValueError:
            raise BadCommand("file: its data is not base64") from None
    elif (named := _BLOB.search(url)) is not None:
        block = await blobs.reference(owner, named[1])
    else:
        # Nothing is fetched for anybody.
        raise BadCommand("file: it has to come with the message, or be a blob of this service")
    if isinstance(name, str) and name:
        return block.model_copy(update={"name": name[:_MAX_NAME_CHARS]})
    return block

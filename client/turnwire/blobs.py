"""Images and documents over HTTP; knows no conversation."""

import asyncio
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request

from pydantic import TypeAdapter
from pydantic_core import from_json

from turnwire.errors import BadArgument, BadServer
from turnwire.http import Http
from turnwire_protocol import Attachment

__all__ = ["Blobs"]

BLOBS_PATH = "/v1/blobs"
MAX_ANSWER_BYTES = 64 * 1024
MAX_FILE_BYTES = 1024 * 1024 * 1024
"""Of a file that a tool made; the server's own bound is far below."""
MAX_NAME_CHARACTERS = 200

MEDIA_TYPES = {
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".webp": "image/webp",
}

BLOCK: TypeAdapter[Attachment] = TypeAdapter(Attachment)


class Blobs:
    """The blobs of the service that `http` asks."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self._url = f"{self._http.url}{BLOBS_PATH}"
        self._headers = self._http.headers

    async def upload(
        self,
        source: bytes | Path,
        *,
        media_type: str | None,
        name: str | None,
        max_bytes: int | None,
    ) -> Attachment:
        """See `Wire.upload`."""
        if isinstance(source, Path):
            name = source.name if name is None else name
            media_type = media_type or MEDIA_TYPES.get(source.suffix.lower())
            try:
                data = await asyncio.to_thread(source.read_bytes)
            except OSError as error:
                raise BadArgument(f"{source}: {error.strerror}") from error
            except ValueError as error:  # Its name has a NUL.
                raise BadArgument(f"{source}: {error}") from error
        else:
            data = source
        if media_type is None:
            known = ", ".join(sorted(MEDIA_TYPES))
            raise BadArgument(f"media_type: known is that of {known}; of others it must be given")
        if max_bytes is not None and len(data) > max_bytes:
            # A server that stops reading would look like a broken connection.
            raise BadArgument(f"{len(data)} bytes; the server takes {max_bytes}")
        headers = {**self._headers, "Content-Type": media_type}
        body = await self._ask(Request(self._url, data, headers), max_bytes=MAX_ANSWER_BYTES)
        kind = "image" if media_type.startswith("image/") else "document"
        about = {"name": name[:MAX_NAME_CHARACTERS]} if name else {}
        try:
            return BLOCK.validate_python({**from_json(body), "type": kind, **about})
        except (ValueError, TypeError) as error:
            raise BadServer("the answer to an upload describes no blob") from error

    async def download(self, block: Attachment) -> bytes:
        """See `Wire.download`."""
        request = Request(f"{self._url}/{block.blob}", headers=self._headers)
        data = await self._ask(request, max_bytes=block.bytes)
        if len(data) != block.bytes:
            raise BadServer(f"a blob of {block.bytes} bytes came with {len(data)}")
        return data

    async def download_file(self, conversation: str, file: str) -> bytes:
        """See `Wire.download_file`."""
        path = f"{quote(conversation, safe='')}/files/{quote(file, safe='')}"
        url = f"{self._http.url}/v1/conversations/{path}"
        data = await self._ask(Request(url, headers=self._headers), max_bytes=MAX_FILE_BYTES)
        if len(data) > MAX_FILE_BYTES:
            raise BadServer(f"a file of more than {MAX_FILE_BYTES} bytes")
        return data

    def address_of(self, block: Attachment) -> str:
        """See `Wire.address_of`."""
        return f"{self._url}/{block.blob}"

    async def _ask(self, request: Request, *, max_bytes: int) -> bytes:
        return await self._http.ask(request, max_bytes=max_bytes)

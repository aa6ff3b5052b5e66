"""Blobs: images and documents, stored once for each owner; logs refer to them by id.

Knows no log and no turn. A blob comes in through a spool of the store and takes no more memory than
a part of it. Whether its owner may have it is decided when all of it is there, because only then it
is known whether it is a new one; a refused one leaves nothing.
"""

import asyncio
import base64
import binascii
import hashlib
import logging
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from turnwire_protocol import Attachment, Code, Content, DocumentBlock, ImageBlock, TextBlock
from turnwire_server.core.blobs.attachments import KEEP_BYTES, MAX_REQUEST_BYTES, Attachments
from turnwire_server.core.blobs.media_types import (
    MEDIA_TYPES,
    SIGNATURE_BYTES,
    has_signature_of,
    media_type_of,
)
from turnwire_server.core.blobs.throttle import Throttle
from turnwire_server.core.complaint import Complaint
from turnwire_server.core.limits import Places, ServiceLimits
from turnwire_server.errors import Rejected, StoreError
from turnwire_server.model.port import ApiMessage
from turnwire_server.store.port import Blob, BlobStore, Spool

__all__ = ["Blobs"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PART_BYTES = 256 * 1024
"""Given to a spool, or read, at once."""
_DECODED_AT_ONCE = 4 * 64 * 1024
_REST = 3.0
_MAX_REST_SECONDS = 0.05
_CHECKED_SECONDS = 600.0
"""How long what was just named by somebody is not collected: its log will say so by then."""


class Blobs:
    """All blobs of this process's store. Somebody else's looks like an unknown one."""

    def __init__(
        self,
        store: BlobStore,
        limits: ServiceLimits,
        *,
        keep_bytes: int = KEEP_BYTES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock`: seconds of Unix; `keep_bytes` of what is encoded for the model."""
        self.taken_bytes = 0
        """Of all that was put here since the start."""
        self._store = store
        self._limits = limits
        self._clock = clock
        self._places = Places(
            "uploads", limits.max_uploads_per_principal, most_in_all=limits.max_uploads
        )
        self._throttle = Throttle(rest=_REST, max_rest_seconds=_MAX_REST_SECONDS)
        self._complaint = Complaint(logger, "blobs cannot be stored or read")
        self._attachments = Attachments(store, self._complaint, keep_bytes=keep_bytes)
        self._turn = asyncio.Lock()
        """Whose turn it is to change the store's blobs: a change is a look and several writes."""
        self._changes: set[asyncio.Task[Any]] = set()
        self._checked: dict[str, float] = {}
        """When a blob was last named in a command; the log that will name it may not be stored."""
        self._leaving: set[str] = set()
        """Blobs that are being collected: nobody may name them any more."""

    # In

    async def receive(
        self,
        owner: str,
        chunks: AsyncIterable[bytes],
        media_type: str,
        *,
        announced_bytes: int | None = None,
    ) -> Blob:
        """Store what comes in; the same bytes of one owner are one blob.

        Raises:
            Rejected: too large, not of that type, too many at once, more than the owner may have,
                too slow, or the store cannot be written.
        """
        if announced_bytes is not None and announced_bytes > self._limits.max_blob_bytes:
            raise self._too_large()
        with self._places.taken(owner):
            try:
                async with asyncio.timeout(self._limits.upload_timeout_seconds) as limit:
                    return await self._receive(owner, chunks, media_type, limit)
            except TimeoutError as error:
                raise Rejected(Code.TIMEOUT, "body: it takes too long to come") from error

    async def put(self, owner: str, data: bytes, media_type: str) -> Blob:
        """Store the bytes; see `receive`."""
        return await self._receive(owner, _parts_of(data), media_type)

    async def keep(self, owner: str, data: str, media_type: str) -> Attachment:
        """Store what a tool made, given as base64.

        Its type is that of its bytes, whatever the tool says: the API refuses a conversation with
        an image that is called by another type, and every further send with it.

        Raises:
            ValueError: it is not base64.
            Rejected: see `receive`.
        """
        if len(data) > self._limits.max_blob_bytes * 2:
            raise self._too_large()
        decoded = await asyncio.to_thread(_decode, data)
        media_type = media_type_of(decoded) or media_type
        return _reference(await self.put(owner, decoded, media_type))

    async def _receive(
        self,
        owner: str,
        chunks: AsyncIterable[bytes],
        media_type: str,
        limit: asyncio.Timeout | None = None,
    ) -> Blob:
        if media_type not in MEDIA_TYPES:
            known = ", ".join(sorted(MEDIA_TYPES))
            raise Rejected(Code.BAD_COMMAND, f"Content-Type: one of {known} is required")
        try:
            spool = await self._store.spool()
            try:
                await self._spool(spool, chunks, media_type)
                if limit is not None:
                    limit.reschedule(None)  # All has come; the rest is the store's time.
                id = _id(owner, await spool.finish())
                blob = Blob(id, owner, media_type, spool.size)
                await self._change(self._put(spool, blob))
            finally:
                spool.discard()
        except StoreError as error:
            raise self._refused(error) from error
        return blob

    async def _spool(self, spool: Spool, chunks: AsyncIterable[bytes], media_type: str) -> None:
        part = bytearray()
        is_known = False

        async def write() -> None:
            nonlocal is_known
            if not is_known and not has_signature_of(media_type, bytes(part[:SIGNATURE_BYTES])):
                message = f"body: it does not begin as {media_type} does"
                raise Rejected(Code.BAD_COMMAND, message)
            is_known = True
            async with self._throttle.turn():
                await spool.write(bytes(part))
            part.clear()

        async for chunk in chunks:
            part += chunk
            if spool.size + len(part) > self._limits.max_blob_bytes:
                raise self._too_large()
            if len(part) >= _PART_BYTES:
                await write()
        await write()

    async def _put(self, spool: Spool, blob: Blob) -> None:
        if await self._store.find(blob.id) is None:
            await self._check_quota(blob)
        await spool.put(blob, at=int(self._clock()))
        self.taken_bytes += blob.bytes

    async def _check_quota(self, blob: Blob) -> None:
        usage = await self._store.usage(blob.owner)
        most = self._limits.max_blobs_per_principal
        if usage.blobs >= most:
            raise Rejected(Code.TOO_MANY, f"{most} blobs of yours are stored: delete some")
        most = self._limits.max_blob_bytes_per_principal
        if usage.bytes + blob.bytes > most:
            message = f"body: your blobs may have {most} bytes together: delete some"
            raise Rejected(Code.TOO_LARGE, message)

    def _refused(self, error: StoreError) -> Rejected:
        """What is told of the store's trouble; the log has the reason."""
        self._complaint.make(error)
        return Rejected.because_of_the_store()

    def _too_large(self) -> Rejected:
        return Rejected(Code.TOO_LARGE, f"body: at most {self._limits.max_blob_bytes} bytes")

    # Out

    async def get(self, owner: str, id: str) -> tuple[Blob, AsyncIterator[bytes]]:
        """The blob, and its bytes in parts.

        Raises:
            Rejected: there is none of this owner, or the store cannot be read.
        """
        try:
            blob = await self._store.find(id)
            if blob is None or blob.owner != owner:
                raise _unknown()
            first = await self._store.read(id, 0, _PART_BYTES)
        except StoreError as error:
            raise self._refused(error) from error
        if first is None:
            raise _unknown()
        return blob, self._rest(blob, first)

    async def reference(self, owner: str, id: str) -> Attachment:
        """The block that refers to the blob.

        Raises:
            Rejected: there is none of this owner, or the store cannot be read.
        """
        blob = await self._named(id)
        if blob is None or blob.owner != owner:
            raise _unknown()
        return _reference(blob)

    async def _rest(self, blob: Blob, part: bytes | None) -> AsyncIterator[bytes]:
        start = 0
        while part:
            yield part
            start += len(part)
            if start >= blob.bytes:
                return
            part = await self._store.read(blob.id, start, _PART_BYTES)
        raise StoreError(f"the bytes of {blob.id} were deleted while they were read")

    async def check(self, owner: str, content: Content, *, takes_links: bool = False) -> None:
        """Refuse content whose attachments are not what they say, or too many for one request.

        `takes_links`: somebody else has looked at those; otherwise they are refused.

        Raises:
            Rejected: the message names the field; or the store cannot be read.
        """
        if isinstance(content, str):
            return
        size = 0
        for index, block in enumerate(content):
            where = f"content.{index}"
            if isinstance(block, TextBlock):
                continue
            if not isinstance(block, Attachment):
                if takes_links:
                    continue
                raise Rejected(Code.BAD_COMMAND, f"{where}: links are taken in messages only")
            blob = await self._named(block.blob)
            if blob is None or blob.owner != owner:
                raise Rejected(Code.BAD_COMMAND, f"{where}.blob: no such blob")
            for field in ("media_type", "bytes"):
                if getattr(block, field) != getattr(blob, field):
                    raise Rejected(Code.BAD_COMMAND, f"{where}.{field}: is not the blob's")
            size += block.bytes
            if size > MAX_REQUEST_BYTES:
                most = f"at most {MAX_REQUEST_BYTES} bytes of attachments"
                raise Rejected(Code.TOO_LARGE, f"content: {most}")

    async def _named(self, id: str) -> Blob | None:
        """The blob, which will not be collected before the log that names it is stored."""
        # Both before the store is asked, and with no await in between: either it is being collected
        # already, and gone, or `collect` passes it over.
        if id in self._leaving:
            return None
        self._checked[id] = time.monotonic()
        try:
            blob = await self._store.find(id)
        except StoreError as error:
            raise self._refused(error) from error
        if blob is None:
            self._checked.pop(id, None)
        return blob

    async def resolve(self, messages: list[ApiMessage]) -> list[ApiMessage]:
        """A copy of a history with bytes in place of its references.

        Raises:
            ModelError: they are too large for one request, or the store cannot be read.
        """
        return await self._attachments.resolve(messages)

    # Away

    async def delete(self, owner: str, id: str) -> None:
        """Forget the blob, whichever logs name it.

        Raises:
            Rejected: there is none of this owner, or the store cannot be written.
        """
        try:
            blob = await self._store.find(id)
            if blob is None or blob.owner != owner or not await self._change(self._delete(id)):
                raise _unknown()
        except StoreError as error:
            raise self._refused(error) from error

    async def collect(self) -> None:
        """Delete what no log names and what was put in more than the limits' time ago.

        Raises:
            StoreError: the store cannot be used now.
        """
        since = time.monotonic() - _CHECKED_SECONDS
        self._checked = {id: at for id, at in self._checked.items() if at > since}
        before = int(self._clock() - self._limits.keep_unused_blobs_seconds)
        async for id in self._store.unused(before=before):
            if id not in self._checked:
                self._leaving.add(id)
                try:
                    await self._change(self._delete(id, unused_before=before))
                finally:
                    self._leaving.discard(id)

    async def tidy(self) -> bool:
        """One piece of what a crash or an older version has left to do; False: all is done.

        Raises:
            StoreError: the store cannot be used now.
        """
        return await self._change(self._store.tidy())

    async def close(self) -> None:
        """Wait for the changes that have begun, whoever began them."""
        await asyncio.gather(*self._changes, return_exceptions=True)

    async def _delete(self, id: str, *, unused_before: int | None = None) -> bool:
        is_gone = await self._store.delete(id, unused_before=unused_before)
        if is_gone:
            self._attachments.forget(id)
        return is_gone

    async def _change(self, change: Coroutine[Any, Any, T]) -> T:
        """Change the store's blobs, after all others. It goes on if who asked for it goes."""
        task = asyncio.create_task(self._in_turn(change))
        self._changes.add(task)
        task.add_done_callback(self._changed)
        return await asyncio.shield(task)

    async def _in_turn(self, change: Coroutine[Any, Any, T]) -> T:
        async with self._turn:
            return await change

    def _changed(self, task: asyncio.Task[Any]) -> None:
        self._changes.discard(task)
        if not task.cancelled():
            # Who waited for it may be gone: then nobody asks, and asyncio would complain of that.
            task.exception()


def _id(owner: str, of_data: str) -> str:
    of_both = hashlib.sha256(f"{owner}\0{of_data}".encode()).hexdigest()
    return f"b_{of_both[:32]}"


def _reference(blob: Blob) -> Attachment:
    fields: dict[str, Any] = {"blob": blob.id, "media_type": blob.media_type, "bytes": blob.bytes}
    kind = ImageBlock if blob.media_type.startswith("image/") else DocumentBlock
    return kind(**fields)


def _unknown() -> Rejected:
    return Rejected(Code.NOT_FOUND, "blob: no such blob")


async def _parts_of(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _PART_BYTES):
        yield data[start : start + _PART_BYTES]


def _decode(data: str) -> bytes:
    """Bytes of base64, in a thread of its own: a part at a time, so that the loop has its turns.

    Raises:
        ValueError: it is no base64.
    """
    decoded = bytearray()
    for start in range(0, len(data), _DECODED_AT_ONCE):
        part = data[start : start + _DECODED_AT_ONCE]
        decoded += base64.b64decode(part, validate=True)
        if start + len(part) < len(data) and part.endswith("="):
            raise binascii.Error("padding before the end")
        time.sleep(0)
    return bytes(decoded)

"""Blobs without a service: what becomes of the references in a history."""

import asyncio
import base64
from typing import Any

import pytest
from pydantic_core import to_json

from tests.kit.patience import patience
from tests.server.store.store_rows import blob_of, put
from turnwire_protocol import Code
from turnwire_server.core.blobs.blobs import Blobs
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.errors import ModelError, Rejected
from turnwire_server.model.port import ApiMessage, encoded_message, json_of
from turnwire_server.store.memory import MemoryBlobs, MemoryStore
from turnwire_server.store.port import BlobStore

MIB = 1024 * 1024


def message(*blobs: str, size: int = 1) -> ApiMessage:
    """A user's message with images by reference."""
    sources = [{"type": "blob", "blob": blob, "bytes": size} for blob in blobs]
    return {"role": "user", "content": [{"type": "image", "source": s} for s in sources]}


class CountingBlobs(MemoryBlobs):
    """Counts how often a blob's bytes are read."""

    def __init__(self) -> None:
        super().__init__(lambda blob: False)
        self.reads = 0

    async def read(self, id: str, start: int, size: int) -> bytes | None:
        """Counts."""
        self.reads += 1
        return await super().read(id, start, size)


def blobs_over(store: BlobStore | None = None, **options: Any) -> Blobs:
    """Blobs of a mebibyte at most."""
    limits = ServiceLimits(max_blob_bytes=MIB)
    return Blobs(MemoryStore().blobs if store is None else store, limits, **options)


async def test_a_history_without_attachments_is_given_back_as_it_is() -> None:
    messages: list[ApiMessage] = [{"role": "user", "content": "Hi"}]
    assert await blobs_over().resolve(messages) is messages


async def test_messages_without_attachments_keep_their_json() -> None:
    said: ApiMessage = {"role": "user", "content": 'Of "type":"blob".'}
    plain, image = (encoded_message(each, to_json(each)) for each in (said, message("b_1")))
    first, second, last = await blobs_over().resolve([plain, image, plain])
    assert first is last is plain
    assert (json_of(first), json_of(second)) == (to_json(said), None)
    assert await blobs_over().resolve([image]) == [second]


async def test_a_blob_that_is_lost_is_named_and_the_history_is_not_changed() -> None:
    messages = [message("b_1")]
    (resolved,) = await blobs_over().resolve(messages)
    assert isinstance(resolved["content"], list)
    assert [block["type"] for block in resolved["content"]] == ["text"]
    assert messages == [message("b_1")]


async def test_more_than_a_request_takes_fails_before_anything_is_read() -> None:
    store = CountingBlobs()
    with pytest.raises(ModelError) as caught:
        await blobs_over(store).resolve([message("b_1", "b_1", size=12 * MIB)])
    assert (caught.value.code, store.reads) == (Code.CONTEXT_TOO_LONG, 0)


async def test_a_blob_is_read_once_until_others_have_taken_its_place() -> None:
    store = CountingBlobs()
    blobs = blobs_over(store, keep_bytes=1000)
    for name in ("b_1", "b_2", "b_3"):
        await put(store, blob_of(name, bytes(300)), bytes(300))  # 400 in base64.
    for name in ("b_1", "b_1", "b_2", "b_1"):
        await blobs.resolve([message(name)])
    assert store.reads == 2
    await blobs.resolve([message("b_3")])  # Three of them are more than are kept.
    await blobs.resolve([message("b_1")])
    assert store.reads == 3
    await blobs.resolve([message("b_2")])
    assert store.reads == 4


class MeetingBlobs(CountingBlobs):
    """The first two who read have both begun before either is answered."""

    def __init__(self) -> None:
        super().__init__()
        self._meeting = asyncio.Barrier(2)

    async def read(self, id: str, start: int, size: int) -> bytes | None:
        """Counts, and waits for the other one."""
        data = await super().read(id, start, size)
        if self.reads <= 2:
            await self._meeting.wait()
        return data


async def test_a_blob_that_two_read_at_once_takes_its_place_once() -> None:
    store = MeetingBlobs()
    blobs = blobs_over(store, keep_bytes=1000)
    for name in ("b_1", "b_2"):
        await put(store, blob_of(name, bytes(300)), bytes(300))  # 400 in base64.
    async with patience():
        await asyncio.gather(*(blobs.resolve([message("b_1")]) for _ in range(2)))
    for name in ("b_2", "b_1", "b_2"):
        await blobs.resolve([message(name)])
    assert store.reads == 3, "b_1 twice at once, then b_2: both fit"


class HeldBlobs(CountingBlobs):
    """What is read first is answered once it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.released = asyncio.Event()

    async def read(self, id: str, start: int, size: int) -> bytes | None:
        """Reads, and waits."""
        data = await super().read(id, start, size)
        self.asked.set()
        await self.released.wait()
        return data


async def test_a_blob_that_is_deleted_while_it_is_read_is_kept_for_no_other_request() -> None:
    store = HeldBlobs()
    blobs = blobs_over(store, keep_bytes=1000)
    await put(store, blob_of("b_1", bytes(300)), bytes(300))
    async with patience():
        resolving = asyncio.create_task(blobs.resolve([message("b_1")]))
        await store.asked.wait()
        await blobs.delete("ann", "b_1")
        store.released.set()
        await resolving
        (lost,) = await blobs.resolve([message("b_1")])
    assert lost["content"] == [{"type": "text", "text": "[image: its bytes are lost]"}]


async def test_a_blob_larger_than_what_is_kept_is_read_each_time() -> None:
    store = CountingBlobs()
    blobs = blobs_over(store, keep_bytes=1000)
    for name, size in (("b_1", 300), ("b_2", 3000)):
        await put(store, blob_of(name, bytes(size)), bytes(size))
    for name in ("b_2", "b_2", "b_1", "b_1"):
        await blobs.resolve([message(name)])
    assert store.reads == 3


SIGNATURES: dict[str, tuple[bytes, str, str]] = {
    "a PNG that is called JPEG": (b"\x89PNG\r\n\x1a\n.", "image/jpeg", "image/png"),
    "a JPEG of no type": (b"\xff\xd8\xff .", "application/octet-stream", "image/jpeg"),
    "a GIF": (b"GIF89a .", "image/gif", "image/gif"),
    "a WebP that is called PNG": (b"RIFF\0\0\0\0WEBP .", "image/png", "image/webp"),
    "a PDF that is called an image": (b"%PDF-1.7", "image/png", "application/pdf"),
}


@pytest.mark.parametrize(("data", "said", "media_type"), SIGNATURES.values(), ids=SIGNATURES)
async def test_what_a_tool_made_has_the_type_of_its_bytes(
    data: bytes, said: str, media_type: str
) -> None:
    blobs = blobs_over()
    attachment = await blobs.keep("ann", base64.b64encode(data).decode(), said)
    assert attachment.media_type == media_type
    assert attachment.type == ("document" if "pdf" in media_type else "image")
    await blobs.check("ann", [attachment])


async def test_what_has_no_signature_of_ours_is_not_kept() -> None:
    blobs = blobs_over()
    with pytest.raises(Rejected):
        await blobs.keep("ann", base64.b64encode(b"text").decode(), "image/png")

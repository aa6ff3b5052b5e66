"""What the core lets in, keeps and throws away: quotas, places, deletion, collection."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kit.fence import fence_of
from tests.kit.patience import patience
from tests.server.store.store_rows import batch_of, opened
from turnwire_protocol import Code, ImageBlock
from turnwire_server.core.blobs.blobs import Blobs
from turnwire_server.core.blobs.housekeeper import Housekeeper
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.errors import Rejected, StoreError
from turnwire_server.model.port import ApiMessage
from turnwire_server.store.memory import MemoryBlobs, MemoryStore
from turnwire_server.store.port import Blob, Usage

SIGNATURE = b"\x89PNG\r\n\x1a\n"
DAY = 24 * 3600


def png(number: int, size: int = 100) -> bytes:
    """So many bytes that are taken for an image."""
    return (SIGNATURE + b"%d" % number).ljust(size, b".")


class Shelf:
    """Blobs over a store in memory, at a time that the test sets."""

    def __init__(self, store: MemoryStore | None = None, **limits: Any) -> None:
        self.store = store or MemoryStore()
        self.now = 0.0
        self.blobs = Blobs(self.store.blobs, ServiceLimits(**limits), clock=lambda: self.now)

    async def put(self, data: bytes, *, owner: str = "ann") -> Blob:
        """Put in at once."""
        return await self.blobs.put(owner, data, "image/png")

    async def has(self, blob: Blob) -> bool:
        """Whether it is still there."""
        return await self.store.blobs.find(blob.id) is not None

    async def name(self, *blobs: Blob, conversation: str = "c_1") -> None:
        """A conversation says these."""
        fence = await fence_of(self.store, conversation)
        await self.store.append([batch_of(fence, 1, blobs=[blob.id for blob in blobs])])


def image_of(blob: Blob) -> ImageBlock:
    """How content refers to it."""
    return ImageBlock.model_validate(
        {"blob": blob.id, "media_type": blob.media_type, "bytes": blob.bytes}
    )


class Body:
    """A body of which the rest comes when the test says so."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.begun = asyncio.Event()
        self.released = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        half = len(self._data) // 2
        yield self._data[:half]
        self.begun.set()
        await self.released.wait()
        yield self._data[half:]


def files_in(folder: Path) -> list[str]:
    """All files in it and below, by their names."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


async def code_of(upload: Any) -> str:
    """With which it is refused."""
    with pytest.raises(Rejected) as refused:
        await upload
    return refused.value.code


# Quotas


async def test_one_blob_more_than_a_principal_may_have_is_refused_and_leaves_no_trace() -> None:
    shelf = Shelf(max_blobs_per_principal=2)
    first, _ = [await shelf.put(png(number)) for number in (1, 2)]
    assert await code_of(shelf.put(png(3))) == Code.TOO_MANY
    assert await shelf.store.blobs.usage("ann") == Usage(2, 200)
    await shelf.put(png(3), owner="bob")
    await shelf.blobs.delete("ann", first.id)
    await shelf.put(png(3))


async def test_one_byte_more_than_a_principal_may_have_is_refused_and_leaves_no_trace() -> None:
    shelf = Shelf(max_blob_bytes_per_principal=250)
    await shelf.put(png(1))
    assert await code_of(shelf.put(png(2, 151))) == Code.TOO_LARGE
    assert await shelf.store.blobs.usage("ann") == Usage(1, 100)
    await shelf.put(png(2, 150))


async def test_what_is_there_already_may_be_put_in_again_by_one_who_may_have_no_more() -> None:
    shelf = Shelf(max_blobs_per_principal=1, max_blob_bytes_per_principal=100)
    blob = await shelf.put(png(1))
    assert await shelf.put(png(1)) == blob


class SlowToCount(MemoryBlobs):
    """Has counted for the first who asks, and answers when the test says so."""

    def __init__(self) -> None:
        super().__init__(lambda blob: False)
        self.asked = asyncio.Event()
        self.released = asyncio.Event()

    async def usage(self, owner: str) -> Usage:
        """Waits, the first time."""
        usage = await super().usage(owner)
        if not self.asked.is_set():
            self.asked.set()
            await self.released.wait()
        return usage


async def test_of_two_uploads_at_once_that_fit_one_by_one_only_one_is_taken() -> None:
    store = SlowToCount()
    blobs = Blobs(store, ServiceLimits(max_blobs_per_principal=1))
    async with patience():
        first = asyncio.create_task(blobs.put("ann", png(1), "image/png"))
        await store.asked.wait()
        second = asyncio.create_task(blobs.put("ann", png(2), "image/png"))
        await asyncio.wait([second], timeout=0.2)  # It would come past the first one here.
        store.released.set()
        results = await asyncio.gather(first, second, return_exceptions=True)
    assert [type(result).__name__ for result in results] == ["Blob", "Rejected"]
    assert (await store.usage("ann")).blobs == 1


async def test_what_a_tool_makes_counts_too() -> None:
    shelf = Shelf(max_blobs_per_principal=1)
    await shelf.put(png(1))
    keeping = shelf.blobs.keep("ann", base64.b64encode(png(2)).decode(), "image/png")
    assert await code_of(keeping) == Code.TOO_MANY


async def test_two_uploads_of_the_same_bytes_at_once_are_one_blob(tmp_path: Path) -> None:
    async with opened(tmp_path / "turnwire.db") as store:
        blobs = Blobs(store.blobs, ServiceLimits())
        bodies = [Body(png(1, 1000)) for _ in range(2)]
        tasks = [asyncio.create_task(blobs.receive("ann", body, "image/png")) for body in bodies]
        async with patience():
            for body in bodies:
                await body.begun.wait()
            for body in bodies:
                body.released.set()
            first, second = await asyncio.gather(*tasks)
        assert first == second
        assert await store.blobs.usage("ann") == Usage(1, 1000)
        assert await store.blobs.read(first.id, 0, 2000) == png(1, 1000)


# Places


async def test_more_uploads_at_once_than_a_principal_may_have_are_told_to_come_back() -> None:
    shelf = Shelf(max_uploads_per_principal=1)
    body = Body(png(1))
    upload = asyncio.create_task(shelf.blobs.receive("ann", body, "image/png"))
    async with patience():
        await body.begun.wait()
        with pytest.raises(Rejected) as refused:
            await shelf.blobs.receive("ann", Body(png(2)), "image/png")
        assert refused.value.code == Code.TOO_MANY
        assert refused.value.retry_after_seconds
        other = Body(png(3))
        other.released.set()
        await shelf.blobs.receive("bob", other, "image/png")
        body.released.set()
        await upload
        await shelf.blobs.receive("ann", other, "image/png")


async def test_more_uploads_at_once_than_all_may_have_are_told_to_come_back() -> None:
    shelf = Shelf(max_uploads=1)
    body = Body(png(1))
    upload = asyncio.create_task(shelf.blobs.receive("ann", body, "image/png"))
    async with patience():
        await body.begun.wait()
        assert await code_of(shelf.blobs.receive("bob", Body(png(2)), "image/png")) == (
            Code.TOO_MANY
        )
        upload.cancel()
        await asyncio.gather(upload, return_exceptions=True)
        body.released.set()
        await shelf.blobs.receive("bob", body, "image/png")


async def test_a_body_that_does_not_come_loses_its_place_and_leaves_no_trace(
    tmp_path: Path,
) -> None:
    limits = ServiceLimits(max_uploads=1, upload_timeout_seconds=0.001)
    async with opened(tmp_path / "turnwire.db") as store:
        blobs = Blobs(store.blobs, limits)
        async with patience():
            body = Body(png(1, 1_000_000))
            assert await code_of(blobs.receive("ann", body, "image/png")) == Code.TIMEOUT
        assert await store.blobs.usage("ann") == Usage(0, 0)
    assert files_in(tmp_path) == ["turnwire.db", "turnwire.db.lock"]


async def test_an_upload_that_is_cancelled_half_way_leaves_no_trace(tmp_path: Path) -> None:
    async with opened(tmp_path / "turnwire.db") as store:
        blobs = Blobs(store.blobs, ServiceLimits())
        body = Body(png(1, 1_000_000))
        upload = asyncio.create_task(blobs.receive("ann", body, "image/png"))
        async with patience():
            await body.begun.wait()
        assert [name for name in files_in(tmp_path) if name.startswith("upload-")]
        upload.cancel()
        await asyncio.gather(upload, return_exceptions=True)
        assert await store.blobs.usage("ann") == Usage(0, 0)
    assert files_in(tmp_path) == ["turnwire.db", "turnwire.db.lock"]


# Deletion and collection


async def test_a_deleted_blob_is_gone_for_the_model_too_which_had_it_before() -> None:
    shelf = Shelf()
    blob = await shelf.put(png(1))
    source = {"type": "blob", "blob": blob.id, "bytes": blob.bytes}
    message: ApiMessage = {"role": "user", "content": [{"type": "image", "source": source}]}
    (before,) = await shelf.blobs.resolve([message])
    await shelf.blobs.delete("ann", blob.id)
    (after,) = await shelf.blobs.resolve([message])
    assert [block["type"] for block in (*before["content"], *after["content"])] == [
        "image",
        "text",
    ]


async def test_only_its_owner_deletes_a_blob() -> None:
    shelf = Shelf()
    blob = await shelf.put(png(1))
    for owner, id in (("bob", blob.id), ("ann", f"b_{'0' * 32}")):
        assert await code_of(shelf.blobs.delete(owner, id)) == Code.NOT_FOUND
    assert await shelf.has(blob)
    await shelf.blobs.delete("ann", blob.id)
    assert await code_of(shelf.blobs.delete("ann", blob.id)) == Code.NOT_FOUND


async def test_what_no_conversation_names_is_collected_after_a_day() -> None:
    shelf = Shelf()
    named, unnamed = [await shelf.put(png(number)) for number in (1, 2)]
    await shelf.name(named)
    shelf.now = DAY
    await shelf.blobs.collect()
    assert await shelf.has(unnamed), "a day old is not older than a day"
    shelf.now = DAY + 1
    await shelf.blobs.collect()
    assert (await shelf.has(named), await shelf.has(unnamed)) == (True, False)
    await shelf.store.delete("c_1")
    await shelf.blobs.collect()
    assert not await shelf.has(named)


async def test_what_was_just_named_in_a_command_is_not_collected_before_its_log_is_stored() -> None:
    shelf = Shelf()
    blob = await shelf.put(png(1))
    shelf.now = 2 * DAY
    await shelf.blobs.check("ann", [image_of(blob)])
    await shelf.blobs.collect()
    assert await shelf.has(blob)


class SlowToDelete(MemoryBlobs):
    """Deletes when the test says so."""

    def __init__(self) -> None:
        super().__init__(lambda blob: False)
        self.asked = asyncio.Event()
        self.released = asyncio.Event()

    async def delete(self, id: str, *, unused_before: int | None = None) -> bool:
        """Waits first."""
        self.asked.set()
        await self.released.wait()
        return await super().delete(id, unused_before=unused_before)


@asynccontextmanager
async def being_collected(shelf: Shelf, slow: SlowToDelete) -> AsyncIterator[Blob]:
    """A blob that is old enough, and whose deletion has begun; it is over afterwards."""
    blob = await shelf.put(png(1))
    shelf.now = 2 * DAY
    collecting = asyncio.create_task(shelf.blobs.collect())
    async with patience():
        await slow.asked.wait()
        yield blob
        await collecting


async def test_what_is_being_collected_cannot_be_named_any_more() -> None:
    store = MemoryStore()
    store.blobs = slow = SlowToDelete()
    shelf = Shelf(store)
    async with being_collected(shelf, slow) as blob:
        assert await code_of(shelf.blobs.check("ann", [image_of(blob)])) == Code.BAD_COMMAND
        slow.released.set()
    assert not await shelf.has(blob)


async def test_what_is_put_in_again_while_it_is_to_be_collected_stays() -> None:
    store = MemoryStore()
    store.blobs = slow = SlowToDelete()
    shelf = Shelf(store)
    async with being_collected(shelf, slow) as blob:
        again = asyncio.create_task(shelf.put(png(1)))
        slow.released.set()
        assert await again == blob
    assert await shelf.has(blob)


async def test_a_change_that_has_begun_is_finished_though_who_asked_for_it_has_gone() -> None:
    store = MemoryStore()
    store.blobs = slow = SlowToDelete()
    shelf = Shelf(store)
    blob = await shelf.put(png(1))
    async with patience():
        deleting = asyncio.create_task(shelf.blobs.delete("ann", blob.id))
        await slow.asked.wait()
        deleting.cancel()
        await asyncio.gather(deleting, return_exceptions=True)
        slow.released.set()
        await shelf.blobs.close()
    assert not await shelf.has(blob)


# In the background


class Untidy(MemoryBlobs):
    """Cannot be tidied at first; says when it has been looked at."""

    def __init__(self) -> None:
        super().__init__(lambda blob: False)
        self.looks: asyncio.Queue[str] = asyncio.Queue()
        self.troubles = 1
        self.left = 2

    async def tidy(self) -> bool:
        """Fails as often as it should."""
        if self.troubles:
            self.troubles -= 1
            self.looks.put_nowait("trouble")
            raise StoreError("trouble")
        self.left -= 1
        return self.left >= 0

    async def unused(self, *, before: int) -> AsyncIterator[str]:
        """Says so."""
        self.looks.put_nowait(f"collected with {self.left} left")
        async for id in super().unused(before=before):
            yield id


async def test_the_housekeeper_tidies_all_then_collects_and_again_whenever_it_is_woken() -> None:
    store = Untidy()
    housekeeper = Housekeeper(Blobs(store, ServiceLimits()))
    housekeeper.start()
    async with patience():
        assert await store.looks.get() == "trouble"
        housekeeper.wake()
        assert await store.looks.get() == "collected with -1 left"
        housekeeper.wake()
        assert await store.looks.get() == "collected with -2 left"
        await housekeeper.close()

"""What every store does with blobs."""

import hashlib

from tests.kit.fence import fence_of
from tests.server.store.store_rows import batch_of, blob_of, bytes_of, fill, put
from turnwire_server.store.port import Store, Usage

DATA = bytes(range(256)) * 1000


async def unused(store: Store, *, before: int) -> set[str]:
    """All blobs that may be collected."""
    return {id async for id in store.blobs.unused(before=before)}


async def test_a_blob_is_read_back_as_it_was_put_in_whole_and_in_parts(store: Store) -> None:
    blob = blob_of("b_1", DATA)
    await put(store.blobs, blob, DATA)
    assert await store.blobs.find("b_1") == blob
    assert await bytes_of(store.blobs, "b_1") == DATA
    assert await store.blobs.read("b_1", 1000, 10) == DATA[1000:1010]
    assert await store.blobs.read("b_1", len(DATA) - 3, 10) == DATA[-3:]
    assert await store.blobs.read("b_1", len(DATA), 10) == b""


async def test_of_an_unknown_blob_there_is_nothing(store: Store) -> None:
    assert await store.blobs.find("b_1") is None
    assert await store.blobs.read("b_1", 0, 10) is None
    assert not await store.blobs.delete("b_1")


async def test_a_spool_gives_the_hash_and_the_size_of_what_was_written(store: Store) -> None:
    spool = await store.blobs.spool()
    for part in (DATA[:10], DATA[10:]):
        await spool.write(part)
    assert spool.size == len(DATA)
    assert await spool.finish() == hashlib.sha256(DATA).hexdigest()
    spool.discard()


async def test_what_is_in_a_spool_is_no_blob(store: Store) -> None:
    spool = await store.blobs.spool()
    await spool.write(DATA)
    await spool.finish()
    assert await store.blobs.usage("ann") == Usage(0, 0)
    spool.discard()
    assert await store.blobs.usage("ann") == Usage(0, 0)


async def test_a_blob_put_in_again_stays_as_it_was(store: Store) -> None:
    blob = blob_of("b_1", DATA)
    await put(store.blobs, blob, DATA)
    await put(store.blobs, blob, DATA)
    assert await store.blobs.find("b_1") == blob
    assert await store.blobs.usage("ann") == Usage(1, len(DATA))


async def test_usage_is_that_of_one_owner_and_falls_with_each_deletion(store: Store) -> None:
    await put(store.blobs, blob_of("b_1", b"one"), b"one")
    await put(store.blobs, blob_of("b_2", b"three"), b"three")
    await put(store.blobs, blob_of("b_3", b"bob's", owner="bob"), b"bob's")
    assert await store.blobs.usage("ann") == Usage(2, 8)
    assert await store.blobs.delete("b_2")
    assert await store.blobs.usage("ann") == Usage(1, 3)
    assert await store.blobs.usage("nobody") == Usage(0, 0)
    assert await store.blobs.find("b_2") is None
    assert await bytes_of(store.blobs, "b_2") is None


async def test_a_deleted_blob_may_be_put_in_anew(store: Store) -> None:
    await put(store.blobs, blob_of("b_1", b"one"), b"one")
    await store.blobs.delete("b_1")
    await put(store.blobs, blob_of("b_1", b"one"), b"one")
    assert await bytes_of(store.blobs, "b_1") == b"one"


async def test_unused_is_what_no_log_names_and_what_was_put_before_a_time(store: Store) -> None:
    for number, at in enumerate((10, 10, 20), start=1):
        await put(store.blobs, blob_of(f"b_{number}", b"x"), b"x", at=at)
    fence = await fence_of(store, "c_1")
    await store.append([batch_of(fence, 1, blobs=["b_1"])])
    assert await unused(store, before=10) == set()
    assert await unused(store, before=11) == {"b_2"}
    assert await unused(store, before=21) == {"b_2", "b_3"}


async def test_a_blob_put_in_again_is_as_young_as_that(store: Store) -> None:
    for at in (10, 20):
        await put(store.blobs, blob_of("b_1", b"x"), b"x", at=at)
    assert await unused(store, before=20) == set()
    assert not await store.blobs.delete("b_1", unused_before=20)
    assert await store.blobs.delete("b_1", unused_before=21)


async def test_a_blob_is_used_until_the_last_conversation_that_names_it_is_deleted(
    store: Store,
) -> None:
    await put(store.blobs, blob_of("b_1", b"x"), b"x")
    for conversation in ("c_1", "c_2"):
        fence = await fill(store, conversation, 1)
        await store.append([batch_of(fence, 2, blobs=["b_1"])])
        await store.append([batch_of(fence, 3, blobs=["b_1"])])
    await store.delete("c_1")
    assert await unused(store, before=99) == set()
    assert not await store.blobs.delete("b_1", unused_before=99)
    await store.delete("c_2")
    assert await unused(store, before=99) == {"b_1"}


async def test_a_used_blob_is_deleted_all_the_same_if_nobody_asks_whether_it_is(
    store: Store,
) -> None:
    await put(store.blobs, blob_of("b_1", b"x"), b"x")
    fence = await fence_of(store, "c_1")
    await store.append([batch_of(fence, 1, blobs=["b_1"])])
    assert await store.blobs.delete("b_1")


async def test_a_new_store_has_nothing_to_tidy(store: Store) -> None:
    assert not await store.blobs.tidy()

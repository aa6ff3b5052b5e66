"""The committer while its store fails or hangs: it says so, and is well again after a commit."""

import asyncio
import logging
from dataclasses import replace

import pytest

from tests.kit.patience import patience
from tests.kit.service import HeldStore
from turnwire_server.core.log.committer import Committer
from turnwire_server.errors import StoreError
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Batch, Fence


class FailingStore(MemoryStore):
    """A store that fails until it is mended, and counts how often it was asked to commit."""

    def __init__(self) -> None:
        super().__init__()
        self.is_mended = False
        self.asked: asyncio.Queue[list[Batch]] = asyncio.Queue()

    async def append(self, batches: list[Batch]) -> None:
        self.asked.put_nowait(batches)
        if not self.is_mended:
            raise StoreError("the disk is full")
        await super().append(batches)


class Log:
    """A log with one batch, which it withdraws as soon as the store fails."""

    fence = Fence("c_1", "ann", "e")

    def __init__(self) -> None:
        self.waited = asyncio.Event()
        self.durable = asyncio.Event()
        self._batch: Batch | None = Batch(self.fence, 1, 1, b"[]", False)

    def unstored(self) -> Batch | None:
        return self._batch

    def stored(self, upto: int) -> None:
        self._batch = None
        self.durable.set()

    def reconcile(self, head: int) -> None:
        assert head == 0

    def waits(self, *, has_failed: bool) -> None:
        if has_failed:
            self._batch = None
        self.waited.set()

    def lost(self) -> None:
        raise AssertionError("nobody else writes here")


async def test_a_store_with_nothing_left_to_commit_is_well_only_after_a_probe_succeeded(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, log = FailingStore(), Log()
    committer = Committer(store, retry_seconds=0.001)
    committer.start()
    with caplog.at_level(logging.WARNING):
        async with patience():
            committer.note(log)
            await log.waited.wait()
            asked = [await store.asked.get() for _ in range(4)]
            assert [len(batches) for batches in asked] == [1, 0, 0, 0], "then probes"
            assert committer.trouble is not None
            assert committer.trouble.reason == "the disk is full"
            assert [record.levelname for record in caplog.records] == ["ERROR"]
            assert "c_1" in caplog.text
            assert "works again" not in caplog.text
            store.is_mended = True
            while committer.trouble is not None:  # noqa: ASYNC110 (nobody is told but the log)
                await asyncio.sleep(0)
            await committer.close()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "works again" in caplog.text


async def test_a_store_that_hangs_is_told_in_the_log_once_and_again_when_it_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, log = HeldStore(), Log()
    committer = Committer(store, watch_seconds=0.001)
    committer.start()
    with caplog.at_level(logging.WARNING):
        async with patience():
            committer.note(log)
            for _ in range(3):
                log.waited.clear()
                await log.waited.wait()
            assert committer.trouble is not None
            assert ["hangs" in record.message for record in caplog.records] == [True]
            assert log.unstored() is not None, "what is being stored is not taken back"
            store.released.set()
            await log.durable.wait()
            await committer.close()
    assert committer.trouble is None
    assert ["works again" in record.message for record in caplog.records] == [False, True]


class HungStore(FailingStore):
    """One that fails, too, once it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = asyncio.Event()

    async def append(self, batches: list[Batch]) -> None:
        await self.answers.wait()
        await super().append(batches)


async def test_a_store_that_hangs_and_then_fails_has_its_reason_told_and_since_when_it_hung(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, log = HungStore(), Log()
    committer = Committer(store, watch_seconds=0.001, retry_seconds=0.001)
    committer.start()
    with caplog.at_level(logging.WARNING):
        async with patience():
            committer.note(log)
            await log.waited.wait()
            hung = committer.trouble
            assert hung is not None
            store.answers.set()
            while committer.trouble is hung:  # noqa: ASYNC110 (nobody is told but the log)
                await asyncio.sleep(0)
            assert committer.trouble == replace(hung, reason="the disk is full")
            assert committer.failures == 1
            store.is_mended = True
            await committer.close()
    told = [record.message for record in caplog.records]
    assert ["hangs" in told[0], "the disk is full" in told[1]] == [True, True]


class KeptLog(Log):
    """One that has nothing to withdraw: the tail of an answer."""

    def waits(self, *, has_failed: bool) -> None:
        self.waited.set()


async def test_who_closes_waits_for_no_store_that_fails() -> None:
    store, log = FailingStore(), KeptLog()
    committer = Committer(store, retry_seconds=0.001)
    committer.start()
    async with patience():
        committer.note(log)
        await log.waited.wait()
        await committer.close()
    assert not log.durable.is_set()


class LostLog(Log):
    """Another log, which belongs to somebody else by now."""

    fence = Fence("c_2", "ann", "e")

    def __init__(self) -> None:
        super().__init__()
        self.is_lost = False
        self._batch = Batch(self.fence, 1, 1, b"[]", False)

    def lost(self) -> None:
        self._batch = None
        self.is_lost = True


async def test_a_log_that_is_lost_takes_none_of_those_with_it_that_are_stored_beside_it() -> None:
    store, healthy, lost = MemoryStore(), Log(), LostLog()
    await store.append([Batch(Fence("c_2", "ann", "of somebody else"), 1, 1, b"[]", False)])
    committer = Committer(store)
    for log in (healthy, lost):
        committer.note(log)
    committer.start()
    async with patience():
        await committer.close()
    assert (healthy.durable.is_set(), lost.durable.is_set()) == (True, False)
    assert (lost.is_lost, committer.trouble) == (True, None)


async def test_what_somebody_else_has_stored_never_passes_for_ours_after_a_commit_that_failed() -> (
    None
):
    store, lost = FailingStore(), LostLog()
    others = Batch(Fence("c_2", "ann", "of somebody else"), 1, 1, b"[]", False)
    await MemoryStore.append(store, [others])
    committer = Committer(store, retry_seconds=0.001)
    committer.start()
    async with patience():
        committer.note(lost)
        await store.asked.get()
        store.is_mended = True
        while not lost.is_lost:  # noqa: ASYNC110 (nobody is told)
            await asyncio.sleep(0)
        await committer.close()
    assert not lost.durable.is_set()


class SenselessLog(LostLog):
    """One that cannot be encoded."""

    def unstored(self) -> Batch | None:
        raise ValueError("half a surrogate pair")


async def test_a_log_that_cannot_be_encoded_is_lost_and_those_beside_it_are_stored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, healthy, senseless = MemoryStore(), Log(), SenselessLog()
    committer = Committer(store)
    for log in (senseless, healthy):
        committer.note(log)
    committer.start()
    async with patience():
        await committer.close()
    assert (healthy.durable.is_set(), senseless.is_lost) == (True, True)
    assert "half a surrogate pair" in caplog.text

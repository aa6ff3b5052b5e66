"""The hub: which conversations are open, and what becomes of those who ask while that changes."""

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from tests.kit.core import ANNA, HeldModel, Reader, core_on
from tests.kit.lines import lines_of
from tests.kit.patience import PATIENCE_SECONDS, patience
from turnwire_protocol import Ack, Cancel, Code, Done, Event, Message, SendBody, StopReason
from turnwire_server.core.conversation import Conversation
from turnwire_server.core.hub import Hub
from turnwire_server.core.log.codec import load
from turnwire_server.core.log.follower import MAX_READ_BYTES, Follower
from turnwire_server.errors import Rejected, StoreError, Unreadable
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Batch, Claim, Head, Row

STEPS = range(8)
"""Steps of the event loop by which one comes later: some fall into the moment that is meant."""


class Hold:
    """An operation of the store that waits until it is released."""

    def __init__(self, operation: str) -> None:
        self.operation = operation
        self.asked = asyncio.Event()
        self.released = asyncio.Event()


class WatchedStore(MemoryStore):
    """Counts how often each was claimed, and how often read to be opened; holds or fails what it is
    told to."""

    def __init__(self) -> None:
        super().__init__()
        self.claims = Counter[str]()
        self.loads = Counter[str]()
        self.heads = Counter[str]()
        self.batches: list[Batch] = []
        self.fails = False
        self._holds: list[Hold] = []

    def hold(self, operation: str) -> Hold:
        """The next of these operations waits."""
        self._holds.append(Hold(operation))
        return self._holds[-1]

    def release_all(self) -> None:
        """Nothing waits any more."""
        for hold in self._holds:
            hold.released.set()

    async def _pass(self, operation: str) -> None:
        for hold in self._holds:
            if hold.operation == operation and not hold.asked.is_set():
                hold.asked.set()
                await hold.released.wait()
                return

    async def claim(
        self, conversation: str, owner: str, epoch: str, *, is_new: bool = False
    ) -> Claim:
        self.claims[conversation] += 1
        await self._pass("claim")
        if self.fails:
            raise StoreError("the disk is gone")
        return await super().claim(conversation, owner, epoch, is_new=is_new)

    async def head(self, conversation: str) -> Head | None:
        self.heads[conversation] += 1
        head = await super().head(conversation)
        await self._pass("head")
        return head

    async def read(self, conversation: str, after: int, *, max_bytes: int) -> list[bytes]:
        # Readers want less at once.
        self.loads[conversation] += after == 0 and max_bytes > MAX_READ_BYTES
        return await super().read(conversation, after, max_bytes=max_bytes)

    async def append(self, batches: list[Batch]) -> None:
        await self._pass("append")
        self.batches += batches
        await super().append(batches)

    async def delete(self, conversation: str) -> None:
        await self._pass("delete")
        await super().delete(conversation)


@asynccontextmanager
async def running(
    store: WatchedStore,
    model: HeldModel | None = None,
    *,
    max_open: int = 1000,
    max_open_bytes: int = 2**30,
    idle_seconds: float = 3600.0,
) -> AsyncIterator[Hub]:
    """A core that runs; without a model of the test's own every message is answered at once."""
    if model is None:
        model = HeldModel()
        model.released.set()
    core = core_on(
        store,
        model,
        max_open=max_open,
        max_open_bytes=max_open_bytes,
        idle_seconds=idle_seconds,
    )
    async with patience():
        await core.start()
        try:
            yield core
        finally:
            store.release_all()
            await core.close()


async def sent(core: Hub, content: str = "Hello", **fields: Any) -> Ack:
    """The ack of a message that is durable."""
    accepted = await core.send(ANNA, SendBody(content=content, **fields))
    await accepted.durable
    return accepted.ack


async def ended(core: Hub, ack: Ack) -> Done:
    """How that turn ended, once it has; nobody reads the conversation any more."""
    reader = Reader()
    await reader.connect(core, ack.conversation or "", ack.epoch or "")
    await reader.until(lambda seen: done_of(seen, ack) != [])
    reader.disconnect()
    return done_of(reader.seen, ack)[0]


def done_of(seen: Any, ack: Ack) -> list[Done]:
    return [event for event in seen if isinstance(event, Done) and event.turn == ack.turn]


async def answered(core: Hub, content: str = "Hello", **fields: Any) -> str:
    """A conversation in which a message was answered, and which is idle now."""
    ack = await sent(core, content, **fields)
    await ended(core, ack)
    return ack.conversation or ""


async def follow(core: Hub, conversation: str, *, after: int = 0, steps: int = 0) -> Follower:
    """A cursor over it, asked for so many steps of the event loop later."""
    await stepped(steps)
    follower, _ = await core.follow(ANNA, conversation, after=after, epoch=None, wake=lambda: None)
    return follower


async def stepped(steps: int) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)


def noticed(conversation: Conversation) -> asyncio.Event:
    """Set once it has left memory."""
    gone = asyncio.Event()
    weakref.finalize(conversation, gone.set)
    return gone


# Beginning


async def test_of_a_conversation_that_nobody_can_have_begun_the_store_is_asked_nothing() -> None:
    store = WatchedStore()
    async with running(store) as core:
        new, derived = await answered(core), await answered(core, key="k-1")
        assert (store.heads[new], store.heads[derived]) == (0, 1), "a key may come again"
        await answered(core, "again", conversation=new)
        assert store.heads[new] == 0


async def test_a_message_and_the_beginning_of_its_turn_are_stored_as_one() -> None:
    store = WatchedStore()
    async with running(store) as core:
        await answered(core)
    assert ["message", "start", "step"] in begun_in(store)


async def test_of_a_turn_that_waited_the_start_and_its_first_step_are_stored_as_one() -> None:
    store, model = WatchedStore(), HeldModel()
    async with running(store, model) as core:
        first = await sent(core)
        second = await sent(core, "second", conversation=first.conversation, if_busy="queue")
        model.released.set()
        await ended(core, second)
    assert ["start", "step"] in begun_in(store)


def begun_in(store: WatchedStore) -> list[list[str]]:
    """The events of each batch up to its first step."""
    stored = [[item.event.type for item in load(batch.body)] for batch in store.batches]
    return [types[: types.index("step") + 1] for types in stored if "step" in types]


# Eviction


async def test_the_longest_unused_is_let_go_first() -> None:
    store = WatchedStore()
    async with running(store, max_open=2) as core:
        first, second = [await answered(core) for _ in range(2)]
        await answered(core, "again", conversation=first)
        await answered(core)
        await answered(core, "again", conversation=first)
    assert (store.claims[first], store.claims[second]) == (1, 1)


async def test_beyond_so_many_bytes_idle_conversations_are_let_go() -> None:
    store = WatchedStore()
    async with running(store, max_open_bytes=60_000) as core:
        large = await answered(core, "x" * 40_000)
        (one,) = core._open.all()
        gone = noticed(one)
        del one
        last = await answered(core, "x" * 40_000)
        await gone.wait()
        await follow(core, last)
        await follow(core, large)
    assert (store.loads[large], store.loads[last]) == (1, 0)


async def test_what_is_let_go_leaves_memory_at_once() -> None:
    """And not when the collector comes, which may be hours later."""
    gc.collect()
    gc.disable()
    model = HeldModel()
    model.released.set()
    try:
        async with running(WatchedStore(), model, max_open=1) as core:
            conversation = await answered(core)
            await answered(core, "again", conversation=conversation)
            model.released.clear()
            first = await sent(core, "is stopped", conversation=conversation)
            waits = await sent(core, "is too", conversation=conversation, if_busy="queue")
            for ack in (waits, first):
                await core.submit(ANNA, Cancel(id="1", conversation=conversation, turn=ack.turn))
            await ended(core, first)
            model.released.set()
            (one,) = core._open.all()
            parts: list[Callable[[], object]]
            parts = [weakref.ref(each) for each in (one, one._log, one._folded)]
            del one
            await answered(core, "in another conversation")
            await stepped(3)
            assert [part() for part in parts] == [None] * 3
    finally:
        gc.enable()


async def test_what_nobody_has_used_for_a_while_is_let_go_and_what_is_read_is_not() -> None:
    async with running(WatchedStore(), idle_seconds=0.01) as core:
        conversation = await answered(core)
        follower = await follow(core, conversation)
        await answered(core, "in another conversation")
        (one,) = [one for one in core._open.all() if one.conversation != conversation]
        gone = noticed(one)
        del one
        await gone.wait()
        assert [one.conversation for one in core._open.all()] == [conversation]
        follower.close()


async def test_what_is_opened_for_one_who_left_meanwhile_is_let_go() -> None:
    store = WatchedStore()
    async with running(store, idle_seconds=0.01) as core:
        opening = store.hold("head")
        sending = asyncio.create_task(sent(core, key="k-1"))
        await opening.asked.wait()
        sending.cancel()
        await asyncio.wait([sending])
        opening.released.set()
        # Its traceback knows what it waited for.
        del sending
        while not core._open.all():  # noqa: ASYNC110 (nothing says so)
            await asyncio.sleep(0)
        (one,) = core._open.all()
        gone = noticed(one)
        del one
        await gone.wait()


async def test_what_a_look_costs_does_not_grow_with_the_conversations_that_are_followed() -> None:
    async with running(WatchedStore(), max_open=2) as core:
        few, many = list[int](), list[int]()
        for costs, number in ((few, 2), (many, 40)):
            for _ in range(number):
                await follow(core, await answered(core))
            core._open._look()
            costs += [lines_of(core._open._look), lines_of(core._open._evict)]
    assert [more < 2 * less for less, more in zip(few, many, strict=True)] == [True, True]


async def test_a_refused_send_leaves_no_conversation_in_memory() -> None:
    async with running(WatchedStore(), max_open=1) as core:
        with pytest.raises(Rejected):
            await sent(core, model="no-such-model")
        assert core._open.all() == []


async def test_beyond_the_bound_the_oldest_idle_conversation_is_let_go() -> None:
    store = WatchedStore()
    async with running(store, max_open=2) as core:
        first, second, third = [await answered(core) for _ in range(3)]
        for conversation in (third, second, first):
            await follow(core, conversation)
    assert +store.loads == {first: 1}


async def test_a_conversation_in_which_a_turn_runs_is_not_let_go() -> None:
    store, model = WatchedStore(), HeldModel()
    async with running(store, model, max_open=1) as core:
        ack = await sent(core)
        await model.asked.wait()
        await sent(core, "in another conversation")
        with pytest.raises(Rejected) as refused:
            await sent(core, "in the same", conversation=ack.conversation)
        assert refused.value.code is Code.BUSY
        model.released.set()
        assert (await ended(core, ack)).stop_reason == StopReason.END_TURN


async def test_a_conversation_that_somebody_reads_is_not_let_go() -> None:
    async with running(WatchedStore(), max_open=1) as core:
        conversation = await answered(core)
        follower = await follow(core, conversation)
        await answered(core, "in another conversation")
        ack = await sent(core, "in the same", conversation=conversation)
        assert follower.is_behind
        seen: list[Event] = []
        while events := await follower.events():
            seen += events
        assert ack.turn in [event.turn for event in seen if isinstance(event, Message)]


async def test_a_conversation_whose_end_is_not_stored_yet_is_not_let_go() -> None:
    store, model = WatchedStore(), HeldModel()
    async with running(store, model, max_open=1) as core:
        ack = await sent(core)
        reader = Reader()
        await reader.connect(core, ack.conversation or "", ack.epoch or "")
        await reader.until(lambda seen: any(event.type == "step" for event in seen))
        reader.disconnect()
        end = store.hold("append")
        model.released.set()
        await end.asked.wait()
        other = asyncio.create_task(sent(core, "in another conversation"))
        await stepped(10)
        again = await core.send(ANNA, SendBody(content="Again", conversation=ack.conversation))
        end.released.set()
        await asyncio.gather(again.durable, other)
        assert (await ended(core, ack)).stop_reason == StopReason.END_TURN
        assert store.claims[ack.conversation or ""] == 1


async def test_one_that_is_looked_at_before_its_end_is_stored_is_let_go_afterwards() -> None:
    store, model = WatchedStore(), HeldModel()
    async with running(store, model, idle_seconds=0.01) as core:
        await sent(core)
        await model.asked.wait()
        end = store.hold("append")
        model.released.set()
        await end.asked.wait()
        (one,) = core._open.all()
        while one.is_busy:  # noqa: ASYNC110 (nothing says so)
            await asyncio.sleep(0)
        core._open._look()
        assert core._open.all() == [one]
        gone = noticed(one)
        del one
        end.released.set()
        await gone.wait()


@pytest.mark.parametrize("steps", STEPS)
async def test_whoever_waited_for_one_that_is_let_go_at_once_reads_it_with_all_others(
    steps: int,
) -> None:
    store = WatchedStore()
    async with running(store) as core:
        conversation, other = [await answered(core) for _ in range(2)]
    async with running(store, max_open=1) as core:
        follower, _ = await asyncio.gather(
            follow(core, conversation), follow(core, other, steps=steps)
        )
        await follower.read()
        assert not follower.is_behind
        await sent(core, "Again", conversation=conversation)
        assert follower.is_behind


async def test_what_could_not_be_opened_takes_no_place() -> None:
    store = WatchedStore()
    async with running(store, max_open=3) as core:
        conversation = await answered(core)
        store.fails = True
        for _ in range(3):
            with pytest.raises(Rejected) as refused:
                await sent(core, "in a new one")
            assert refused.value.code is Code.STORAGE_UNAVAILABLE
        await follow(core, conversation)
        assert store.loads[conversation] == 0


# Deletion


async def test_while_it_is_deleted_nobody_opens_it() -> None:
    store = WatchedStore()
    async with running(store) as core:
        conversation = await answered(core)
        deletion = store.hold("delete")
        deleting = asyncio.create_task(core.delete(ANNA, conversation))
        await deletion.asked.wait()
        for asking in (
            follow(core, conversation),
            sent(core, "Again", conversation=conversation),
            core.delete(ANNA, conversation),
        ):
            with pytest.raises(Rejected) as refused:
                await asking
            assert refused.value.code is Code.UNKNOWN_CONVERSATION
        deletion.released.set()
        await deleting
        assert (store.claims[conversation], store.loads[conversation]) == (1, 0)


async def test_a_message_whose_key_names_what_is_deleted_waits_and_begins_it_anew() -> None:
    store = WatchedStore()
    async with running(store) as core:
        old = await sent(core, key="k-1")
        await ended(core, old)
        deletion = store.hold("delete")
        deleting = asyncio.create_task(core.delete(ANNA, old.conversation or ""))
        await deletion.asked.wait()
        sending = asyncio.create_task(sent(core, key="k-1"))
        await stepped(10)
        assert not sending.done()
        deletion.released.set()
        await deleting
        new = await sending
        assert (new.conversation, new.seq) == (old.conversation, 1)
        assert (new.turn, new.epoch) != (old.turn, old.epoch)
        assert (await ended(core, new)).stop_reason == StopReason.END_TURN


@pytest.mark.parametrize("steps", STEPS)
async def test_whoever_waits_for_its_opening_while_it_is_deleted_is_told_that_it_is_gone(
    steps: int,
) -> None:
    store = WatchedStore()
    async with running(store) as core:
        conversation = await answered(core)
    async with running(store) as core:
        opening = store.hold("claim")
        deleting = asyncio.create_task(core.delete(ANNA, conversation))
        await opening.asked.wait()
        asking = asyncio.create_task(follow(core, conversation, steps=steps))
        opening.released.set()
        await deleting
        with suppress(Rejected):
            assert (await asking).closed is not None


async def test_what_was_there_when_asked_and_is_deleted_before_the_answer_is_not_opened() -> None:
    store = WatchedStore()
    async with running(store) as core:
        conversation = await answered(core)
    async with running(store) as core:
        looking = store.hold("head")
        asking = asyncio.create_task(follow(core, conversation))
        await looking.asked.wait()
        deletion = store.hold("delete")
        deleting = asyncio.create_task(core.delete(ANNA, conversation))
        await deletion.asked.wait()
        looking.released.set()
        with pytest.raises(Rejected) as refused:
            await asking
        assert refused.value.code is Code.UNKNOWN_CONVERSATION
        deletion.released.set()
        await deleting
    assert store.claims[conversation] == 2, "for its message, and to be deleted"


# Another process, and the end of this one


async def test_a_log_that_was_lost_to_another_process_is_opened_anew_for_the_next_message() -> None:
    store = WatchedStore()
    async with running(store) as core, running(store) as other:
        conversation = await answered(core, key="k-1")
        await other.delete(ANNA, conversation)
        theirs = await sent(other, key="k-1")
        end = await ended(other, theirs)
        with pytest.raises(Rejected) as refused:
            await sent(core, "Again", conversation=conversation)
        assert refused.value.code is Code.STORAGE_UNAVAILABLE
        ours = await sent(core, "Again", conversation=conversation)
        assert (ours.epoch, ours.after) == (theirs.epoch, end.seq)
        assert (await ended(core, ours)).stop_reason == StopReason.END_TURN


async def test_a_turn_of_a_conversation_opened_during_a_drain_runs_on_unread() -> None:
    store, model = WatchedStore(), HeldModel()
    async with running(store, model) as core:
        await sent(core, "so that there is something to wait for")
        # With a key, the store is asked for it: without one it is open before it is claimed.
        opening = store.hold("head")
        sending = asyncio.create_task(sent(core, key="k-1", on_detach="cancel"))
        await opening.asked.wait()
        draining = asyncio.create_task(core.drain(PATIENCE_SECONDS))
        await stepped(1)
        assert core.is_draining
        opening.released.set()
        ack = await sending
        await stepped(5)
        model.released.set()
        assert (await ended(core, ack)).stop_reason == StopReason.END_TURN
        await draining


async def test_a_drain_waits_for_the_turn_of_a_message_that_was_still_being_decided_on() -> None:
    store, model = WatchedStore(), HeldModel()
    async with running(store, model) as core:
        opening = store.hold("claim")
        sending = asyncio.create_task(sent(core))
        await opening.asked.wait()
        draining = asyncio.create_task(core.drain(PATIENCE_SECONDS))
        await stepped(10)
        opening.released.set()
        ack = await sending
        await stepped(10)
        assert not draining.done()
        model.released.set()
        assert (await ended(core, ack)).stop_reason == StopReason.END_TURN
        await draining


async def test_who_comes_after_the_drain_reads_what_there_is_to_its_end() -> None:
    store = WatchedStore()
    async with running(store) as core:
        conversation = await answered(core)
    async with running(store) as core:
        await core.drain(PATIENCE_SECONDS)
        follower = await follow(core, conversation)
        types = [
            frame.type async for frames in follower.stream(idle_seconds=3600.0) for frame in frames
        ]
        assert (types[0], types[-1]) == ("message", "done")


class SpoiltStore(WatchedStore):
    """Cannot compact one conversation, for what is stored of it is no log."""

    def __init__(self) -> None:
        super().__init__()
        self.spoilt = ""
        self.compacted: list[str] = []
        self.was_asked = asyncio.Event()

    async def compact(
        self, conversation: str, join: Callable[[list[bytes]], list[Row]], *, after: int = 0
    ) -> None:
        self.compacted.append(conversation)
        self.was_asked.set()
        if conversation == self.spoilt:
            raise Unreadable("no log")


async def test_what_cannot_be_read_is_not_compacted_again_and_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("turnwire_server.core.compactor._DELAY_SECONDS", 0)
    store = SpoiltStore()
    async with running(store) as core:
        store.spoilt = core.id_of(ANNA, SendBody(content="one", key="spoilt"))
        await answered(core, key="spoilt", content="one")
        for _ in range(3):
            await store.was_asked.wait()
            store.was_asked.clear()
            await answered(core)
        await store.was_asked.wait()
    assert store.compacted.count(store.spoilt) == 1
    assert len([record for record in caplog.records if store.spoilt in record.message]) == 1

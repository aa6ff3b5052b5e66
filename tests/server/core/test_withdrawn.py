"""A message that cannot be stored is withdrawn whole: what is left of it, and what goes on."""

import asyncio
import gc
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from weakref import ref

import pytest

from tests.kit.core import ANNA, HeldModel, Reader, conversing, services_over
from tests.kit.failing_store import FailingStore
from tests.kit.patience import patience
from tests.server.telemetry.test_watch import Noting
from turnwire_protocol import CancelBody, Code, Done, Message, SendBody
from turnwire_server.core.hub import Hub
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.core.receipts import Accepted
from turnwire_server.core.turn.turn import Turn
from turnwire_server.errors import Rejected
from turnwire_server.store.port import Batch
from turnwire_server.telemetry.watch import Watching


class SlowlyFailingStore(FailingStore):
    """Holds what it fails to take until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = asyncio.Event()
        self.released.set()

    async def append(self, batches: list[Batch]) -> None:
        """See `Store.append`."""
        await self.released.wait()
        await super().append(batches)


class Leaving(Noting):
    """Notes that nobody follows any more, too."""

    def detach(self) -> None:
        """Noted."""
        self.told.append("detached")


@pytest.fixture
def store() -> SlowlyFailingStore:
    return SlowlyFailingStore()


@pytest.fixture
def model() -> HeldModel:
    return HeldModel()


@pytest.fixture
def leaving() -> Leaving:
    return Leaving()


@pytest.fixture
async def hub(store: SlowlyFailingStore, model: HeldModel, leaving: Leaving) -> AsyncIterator[Hub]:
    watching = Watching()
    watching.add(leaving)
    services = replace(services_over(store, model), telemetry=watching)
    hub = Hub(store, services, ServiceLimits())
    await hub.start()
    yield hub
    store.fails = False
    await hub.close()


async def sent(hub: Hub, content: str = "Hi", **fields: Any) -> Accepted:
    return await hub.send(ANNA, SendBody(content=content, **fields))


async def refused(accepted: Accepted) -> None:
    with pytest.raises(Rejected) as rejected:
        await accepted.durable
    assert rejected.value.code is Code.STORAGE_UNAVAILABLE


def turn_of(accepted: Accepted) -> "ref[Turn]":
    """The turn that was begun with it."""
    [turn] = [
        ref(one) for one in gc.get_objects() if type(one) is Turn and one.id == accepted.ack.turn
    ]
    return turn


@pytest.mark.usefixtures("without_collector")
async def test_a_withdrawn_turn_is_let_go_of_though_its_conversation_is_read(
    hub: Hub, store: SlowlyFailingStore, model: HeldModel
) -> None:
    model.released.set()
    first = (await sent(hub)).ack
    reader = Reader()
    await reader.connect(hub, first.conversation or "", first.epoch or "")
    await reader.until(lambda seen: bool(seen) and seen[-1].type == "done")
    store.fails = True
    accepted = await sent(hub, conversation=first.conversation)
    # Another tab: who is there is looked at, with the turn that waits to be stored.
    other = Reader()
    await other.connect(hub, first.conversation or "", first.epoch or "")
    turn = turn_of(accepted)
    await refused(accepted)
    del accepted
    await asyncio.sleep(0)
    assert turn() is None
    reader.disconnect()
    other.disconnect()


@pytest.mark.usefixtures("without_collector")
async def test_a_turn_that_is_stopped_before_its_task_has_run_is_let_go_of() -> None:
    async with patience(), conversing(HeldModel()) as conversation:
        accepted = conversation.send(ANNA, SendBody(content="Hi"))
        turn = turn_of(accepted)
        await accepted.durable
        assert conversation.has_begun
        conversation.cancel(CancelBody(turn=accepted.ack.turn))
        await conversation.all_stored()
        del accepted
        await asyncio.sleep(0)
        assert turn() is None


async def test_a_drain_does_not_wait_for_a_turn_that_was_withdrawn(
    hub: Hub, store: SlowlyFailingStore
) -> None:
    store.fails = True
    store.released.clear()
    accepted = await sent(hub)
    draining = asyncio.create_task(hub.drain(grace_seconds=3600))
    await asyncio.sleep(0)
    assert hub.is_draining
    store.released.set()
    async with patience():
        await refused(accepted)
        await draining


async def test_one_that_interrupts_is_refused_though_another_waits_which_has_its_time_then(
    hub: Hub, store: SlowlyFailingStore, model: HeldModel
) -> None:
    first = (await sent(hub, "first")).ack
    await model.asked.wait()
    waiting = await sent(hub, "waiting", conversation=first.conversation, if_busy="queue")
    await waiting.durable
    store.fails = True
    async with patience():
        await refused(await sent(hub, "lost", conversation=first.conversation, if_busy="interrupt"))
    store.fails = False
    model.released.set()
    reader = Reader()
    await reader.connect(hub, first.conversation or "", first.epoch or "")
    async with patience():
        await reader.until(lambda seen: sum(event.type == "done" for event in seen) == 2)
    reader.disconnect()
    assert [e.turn for e in reader.seen if isinstance(e, Done)] == [first.turn, waiting.ack.turn]
    assert [e.content for e in reader.seen if isinstance(e, Message)] == ["first", "waiting"]


async def test_that_nobody_reads_is_not_told_of_a_turn_that_may_yet_be_withdrawn(
    hub: Hub, store: SlowlyFailingStore, model: HeldModel, leaving: Leaving
) -> None:
    model.released.set()
    first = (await sent(hub)).ack
    reader = Reader()
    await reader.connect(hub, first.conversation or "", first.epoch or "")
    async with patience():
        await reader.until(lambda seen: bool(seen) and seen[-1].type == "done")
    leaving.told.clear()
    store.fails = True
    store.released.clear()
    accepted = await sent(hub, conversation=first.conversation)
    await reader.connect(hub, first.conversation or "", first.epoch or "")
    reader.disconnect()
    store.released.set()
    async with patience():
        await refused(accepted)
    assert leaving.told == [f"turn of {ANNA}"]

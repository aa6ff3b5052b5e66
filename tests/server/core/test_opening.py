"""The beginning of a turn goes to the store with its message: what is left of both if that fails,
and if the beginning itself does."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.kit.core import ANNA, HeldModel, Reader, services_over
from tests.kit.failing_store import FailingStore
from tests.kit.patience import patience
from tests.server.telemetry.test_watch import Noting
from turnwire_protocol import Ack, Code, Done, Event, SendBody
from turnwire_server.core.hub import Hub
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.core.past import PastTurn
from turnwire_server.core.receipts import Accepted
from turnwire_server.errors import Rejected
from turnwire_server.model.port import Context, Part, UsagePart
from turnwire_server.telemetry.watch import Watching

PAST = [PastTurn("What is 1?", "m1", "One.")]


class OddModel(HeldModel):
    """Answers at once; what is known of it may be a mistake of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.released.set()
        self.is_broken = False

    def context(self, model: str) -> Context:
        """See `Model.context`."""
        if self.is_broken:
            raise RuntimeError("broken")
        return Context(window=100, compacts_from=100)

    async def _answer(self) -> AsyncIterator[list[Part]]:
        await self.released.wait()
        yield [UsagePart(1, 1, 0, 0, final=True, context_tokens=2)]
        async for parts in super()._answer():
            yield parts


@dataclass
class Talk:
    """One conversation, over a store that can fail."""

    hub: Hub
    store: FailingStore
    model: OddModel
    noting: Noting

    async def send(self, content: str, past: Sequence[PastTurn] = (), **fields: Any) -> Accepted:
        """A message."""
        send = SendBody(content=content, **{"if_busy": "interrupt", **fields})
        return await self.hub.send(ANNA, send, name="chat", past=past)

    async def refused(self, content: str, past: Sequence[PastTurn] = (), **fields: Any) -> None:
        """A message that cannot be stored."""
        self.store.fails = True
        accepted = await self.send(content, past, **fields)
        with pytest.raises(Rejected) as refused:
            await accepted.durable
        assert refused.value.code is Code.STORAGE_UNAVAILABLE
        self.store.fails = False

    async def answered(self, content: str, past: Sequence[PastTurn] = ()) -> list[Event]:
        """A message, sent until the store takes it; gives what it and its turn have written."""
        while True:
            try:
                return await self.ended((await self.send(content, past)).ack)
            except Rejected:
                await asyncio.sleep(0)

    async def ended(self, ack: Ack) -> list[Event]:
        """What that turn has written, once it is over."""
        reader = Reader()
        await reader.connect(self.hub, ack.conversation or "", ack.epoch or "")
        await reader.until(
            lambda seen: any(isinstance(e, Done) and e.turn == ack.turn for e in seen)
        )
        reader.disconnect()
        return [event for event in reader.seen if event.turn == ack.turn]

    @property
    def shown(self) -> list[Any]:
        """What users have said, as the last request shows it."""
        messages = self.model.requests[-1].messages
        return [message["content"] for message in messages if message["role"] == "user"]


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    store, model, noting, watching = FailingStore(), OddModel(), Noting(), Watching()
    watching.add(noting)
    services = replace(services_over(store, model), telemetry=watching)
    hub = Hub(store, services, ServiceLimits())
    async with patience():
        await hub.start()
        yield Talk(hub, store, model, noting)
        store.fails = False
        await hub.close()


async def test_the_model_is_not_shown_what_could_not_be_stored(talk: Talk) -> None:
    await talk.answered("first")
    await talk.refused("lost")
    events = await talk.answered("second")
    assert [event.type for event in events[:3]] == ["message", "start", "step"]
    assert talk.shown == ["first", "second"]
    assert len(talk.model.requests) == 2


async def test_nor_a_past_that_could_not_be_stored(talk: Talk) -> None:
    await talk.refused("lost", PAST)
    await talk.answered("first", PAST)
    assert talk.shown == ["What is 1?", "first"]


async def test_what_a_refused_message_was_to_replace_is_shown_again(talk: Talk) -> None:
    [message, *_] = await talk.answered("first")
    await talk.refused("lost", retract=message.turn)
    await talk.answered("second")
    assert talk.shown == ["first", "second"]


async def test_a_message_that_is_stored_stays_when_one_behind_it_is_refused(talk: Talk) -> None:
    talk.model.released.clear()
    await (await talk.send("first")).durable
    await talk.model.asked.wait()
    second = await talk.send("second", if_busy="queue")
    await second.durable
    await talk.refused("lost", if_busy="queue")
    talk.model.released.set()
    assert (await talk.ended(second.ack))[-1].type == "done"
    assert talk.shown == ["first", "second"]


async def test_nobody_watches_a_turn_that_could_not_be_stored(talk: Talk) -> None:
    await talk.refused("lost")
    assert talk.noting.told == [f"turn of {ANNA}"]


async def test_of_a_turn_that_is_stopped_before_it_is_stored_its_watch_sees_the_end_alone(
    talk: Talk,
) -> None:
    await talk.send("first")
    await talk.answered("second")  # Which interrupts.
    assert len(talk.model.requests) == 1
    attempts = [told for told in talk.noting.told if told.startswith("attempt 1")]
    ends = [told for told in talk.noting.told if told.endswith(" None")]
    assert (len(attempts), ends) == (1, ["cancelled None", "end_turn None"])


async def test_a_turn_whose_beginning_is_a_mistake_of_ours_ends_and_the_next_one_does_not_suffer(
    talk: Talk, caplog: pytest.LogCaptureFixture
) -> None:
    await talk.answered("first")
    talk.model.is_broken = True
    with caplog.at_level(logging.ERROR, "turnwire"):
        events = await talk.answered("broken")
    assert [event.type for event in events] == ["message", "start", "error", "done"]
    assert "failed" in caplog.text
    talk.model.is_broken = False
    assert (await talk.answered("second"))[-1].type == "done"


async def test_so_does_one_that_waited(talk: Talk, caplog: pytest.LogCaptureFixture) -> None:
    talk.model.released.clear()
    await talk.send("first")
    await talk.model.asked.wait()
    broken = await talk.send("broken", if_busy="queue")
    await broken.durable
    talk.model.is_broken = True
    talk.model.released.set()
    with caplog.at_level(logging.ERROR):
        events = await talk.ended(broken.ack)
    assert [event.type for event in events] == ["message", "start", "error", "done"]
    assert [record.name for record in caplog.records] == ["turnwire.turn"]
    assert len(talk.model.requests) == 1

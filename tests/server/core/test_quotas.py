"""Quotas: who may begin another turn, by what they have begun and used before."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.kit.core import ANNA, HeldModel, conversing
from tests.kit.fence import fence_of
from tests.kit.patience import patience
from tests.kit.shared_store import SharedStore
from turnwire_protocol import Code, SendBody, TotalUsage
from turnwire_server.core.conversation import Conversation
from turnwire_server.core.inquiry import Inquiries
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.core.log.items import spent_of
from turnwire_server.core.quotas import Quotas
from turnwire_server.core.turn.options import Policy
from turnwire_server.core.turn.usage import Price
from turnwire_server.errors import Rejected
from turnwire_server.model.port import Part, TextPart
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Batch, Spent

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


class Desk:
    """Quotas over a store, at a time that the test sets."""

    def __init__(self, store: MemoryStore | None = None, /, **limits: Any) -> None:
        self.now = 0.0
        self.at = NOON
        self.store = MemoryStore() if store is None else store
        self.quotas = Quotas(
            self.store,
            Inquiries(),
            ServiceLimits(**limits),
            now=lambda: self.now,
            clock=lambda: self.at,
        )

    async def ask(self, conversation: Conversation, *, begins: bool = False) -> Rejected | None:
        """Why no turn may begin now, if so."""
        standing = await self.quotas.standing(ANNA, begins=begins)
        try:
            self.quotas.check(ANNA, conversation, standing)
        except Rejected as refused:
            return refused
        return None

    async def spend(self, tokens: int, usd: float, *, owner: str = ANNA) -> None:
        """A turn of the present day has ended."""
        fence = await fence_of(self.store, f"c_{owner}_{tokens}_{self.at}", owner, "e")
        spent = Spent(self.at.date().isoformat(), tokens, usd)
        await self.store.append([Batch(fence, 1, 1, b"[]", is_open=False, spent=(spent,))])


class Talking(HeldModel):
    """A model that says a word before it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = asyncio.Event()
        self.has_spoken = asyncio.Event()

    async def _answer(self) -> AsyncIterator[list[Part]]:
        await self.goes_on.wait()
        yield [TextPart(0, "Well")]
        self.has_spoken.set()
        async for parts in super()._answer():
            yield parts


@asynccontextmanager
async def beginning() -> AsyncIterator[Conversation]:
    """An empty conversation, of which the model answers nothing yet."""
    model = HeldModel()
    async with patience(), conversing(model) as conversation:
        yield conversation
        model.released.set()


async def test_turns_of_a_minute_are_bounded_and_the_refusal_says_when_the_next_may_come() -> None:
    desk = Desk(max_turns_per_minute=2)
    async with beginning() as conversation:
        for _ in range(2):
            assert await desk.ask(conversation) is None
            desk.quotas.begun(ANNA, conversation)
        desk.now = 12.0
        refused = await desk.ask(conversation)
        assert refused is not None
        assert (refused.code, refused.retry_after_seconds) == (Code.TOO_MANY, 18.0)
        desk.now += 18.0
        assert await desk.ask(conversation) is None


async def test_what_is_refused_or_only_asked_takes_no_turn() -> None:
    desk = Desk(max_turns_per_minute=1)
    async with beginning() as conversation:
        for _ in range(5):
            assert await desk.ask(conversation) is None
        desk.quotas.begun(ANNA, conversation)
        for _ in range(5):
            assert await desk.ask(conversation) is not None
        desk.now = 60.0
        assert await desk.ask(conversation) is None


async def test_where_a_turn_runs_another_message_may_wait_though_no_other_turn_may_run() -> None:
    desk = Desk(max_running_turns=1)
    async with patience(), conversing(HeldModel()) as busy, conversing(HeldModel()) as other:
        busy.send(ANNA, SendBody(content="Hello"))
        desk.quotas.begun(ANNA, busy)
        assert await desk.ask(busy) is None
        desk.quotas.rest(busy)  # One of its turns has ended, and another one runs.
        refused = await desk.ask(other)
        assert refused is not None
        assert refused.code is Code.TOO_MANY
        busy.interrupt()


async def test_a_turn_whose_message_was_taken_back_does_not_run_for_ever() -> None:
    desk = Desk(max_running_turns=1)
    async with conversing(HeldModel()) as taken_back, conversing(HeldModel()) as other:
        desk.quotas.begun(ANNA, taken_back)
        assert await desk.ask(other) is None


async def test_conversations_that_other_nodes_begin_are_counted_each_time() -> None:
    store = SharedStore("a")
    desk = Desk(store, max_conversations_per_principal=4)
    async with beginning() as conversation:
        assert await desk.ask(conversation, begins=True) is None
        for number in range(4):
            fence = await fence_of(store, f"c_of_another_node_{number}", ANNA, "e")
            await store.append([Batch(fence, 1, 1, b"[]", is_open=False)])
        assert await desk.ask(conversation, begins=True) is not None


@pytest.mark.parametrize("limits", [{"max_tokens_per_day": 100}, {"max_cost_usd_per_day": 1.0}])
async def test_a_day_that_is_used_up_ends_at_midnight_utc(limits: dict[str, float]) -> None:
    desk = Desk(**limits)
    async with beginning() as conversation:
        await desk.spend(1_000, 10.0, owner="bert")
        await desk.spend(99, 0.99)
        assert await desk.ask(conversation) is None
        await desk.spend(1, 0.01)
        refused = await desk.ask(conversation)
        assert refused is not None
        assert refused.retry_after_seconds == 12 * 3600
        desk.at = datetime(2026, 5, 5, tzinfo=UTC)
        assert await desk.ask(conversation) is None


@pytest.mark.parametrize("limits", [{"max_tokens_per_day": 1}, {"max_cost_usd_per_day": 0.5}])
async def test_what_turns_that_run_have_used_counts_before_they_end(
    limits: dict[str, float],
) -> None:
    desk, model = Desk(**limits), Talking()
    prices = {Policy().model: Price(input=0.0, output=1_000_000.0)}
    async with patience(), conversing(model, prices=prices) as conversation:
        conversation.send(ANNA, SendBody(content="Hello"))
        desk.quotas.begun(ANNA, conversation)
        await model.asked.wait()
        assert await desk.ask(conversation) is None
        model.goes_on.set()
        await model.has_spoken.wait()
        assert await desk.ask(conversation) is not None
        model.released.set()


async def test_a_conversation_more_than_there_may_be_is_refused_and_a_turn_in_an_old_one_not() -> (
    None
):
    desk = Desk(max_conversations_per_principal=1)
    async with beginning() as old, beginning() as new:
        assert await desk.ask(old, begins=True) is None
        accepted = old.send(ANNA, SendBody(content="Hello"))
        desk.quotas.begun(ANNA, old)
        assert await desk.ask(new, begins=True) is not None, "it is not stored yet, and counts"
        await accepted.durable
        await desk.spend(0, 0)
        assert await desk.ask(new, begins=True) is not None
        assert await desk.ask(old) is None


async def test_conversations_are_counted_here_until_half_their_bound_and_then_by_the_store() -> (
    None
):
    class Counting(MemoryStore):
        asked = 0

        async def count(self, owner: str) -> int:
            self.asked += 1
            return await super().count(owner)

    store = Counting()
    desk, asked = Desk(store, max_conversations_per_principal=4), list[int]()
    for number in range(4):
        async with beginning() as new:
            assert await desk.ask(new, begins=True) is None
        await desk.spend(number, 0)
        asked.append(store.asked)
    assert asked == [1, 1, 2, 3]
    async with beginning() as new:
        assert await desk.ask(new, begins=True) is not None
        await store.delete(f"c_{ANNA}_0_{NOON}")
        assert await desk.ask(new, begins=True) is None, "what is deleted makes room at once"


async def test_conversations_that_begin_while_others_are_counted_are_not_forgotten() -> None:
    class Slow(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.counting = asyncio.Queue[asyncio.Future[None]]()

        async def count(self, owner: str) -> int:
            counted = await super().count(owner)
            told = asyncio.get_running_loop().create_future()
            self.counting.put_nowait(told)
            await told
            return counted

    store = Slow()
    desk = Desk(store, max_conversations_per_principal=4)
    async with beginning() as new, patience():
        asked = [asyncio.create_task(desk.ask(new, begins=True)) for _ in range(4)]
        told = [await store.counting.get() for _ in asked]
        for number, task in enumerate(asked):
            told[number].set_result(None)
            assert await task is None
            await desk.spend(number, 0)
        fifth = asyncio.create_task(desk.ask(new, begins=True))
        # The store is asked: more than half of them are there.
        (await store.counting.get()).set_result(None)
        assert await fifth is not None


def test_all_tokens_count_cached_or_not_on_the_day_on_which_the_turn_ended() -> None:
    usage = TotalUsage(
        input_tokens=1,
        output_tokens=2,
        cache_read_input_tokens=4,
        cache_creation_input_tokens=8,
    )
    assert spent_of(usage, None, at="2026-05-04T23:59:59.999Z") == Spent("2026-05-04", 15, 0.0)

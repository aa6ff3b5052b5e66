"""Hidden conversations: in no list, found by their name, gone some time after their last change."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.core import ANNA, HeldModel, Reader, services_over
from tests.kit.patience import patience
from turnwire_protocol import Code, Done, SendBody
from turnwire_server.core.hidden import Hidden
from turnwire_server.core.hub import Hub
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.errors import Rejected
from turnwire_server.store.memory import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def model() -> HeldModel:
    model = HeldModel()
    model.released.set()
    return model


@pytest.fixture
async def core(store: MemoryStore, model: HeldModel) -> AsyncIterator[Hub]:
    limits = ServiceLimits(max_conversations_per_principal=1)
    core = Hub(store, services_over(store, model), limits)
    async with patience():
        await core.start()
        yield core
        await core.close()


async def said(core: Hub, hidden: str, *, key: str | None = None, waits: bool = True) -> str:
    """A message in the hidden conversation of that name, answered; gives the conversation's id."""
    accepted = await core.send(ANNA, SendBody(content="hi", key=key), hidden=hidden)
    await accepted.durable
    id = accepted.ack.conversation or ""
    if waits:
        reader = Reader()
        await reader.connect(core, id, accepted.ack.epoch or "")
        await reader.until(lambda seen: any(isinstance(event, Done) for event in seen))
        reader.disconnect()
    return id


async def test_it_is_in_no_list_and_counts_for_no_quota(core: Hub) -> None:
    await core.send(ANNA, SendBody(content="the one that counts"))
    ids = {await said(core, "a"), await said(core, "b"), await said(core, "c")}
    assert len(ids) == 3
    heads = await core.list_heads(ANNA, limit=9, before=None)
    assert ids.isdisjoint(head.conversation for head in heads)
    with pytest.raises(Rejected) as refused:
        await core.send(ANNA, SendBody(content="another one that would count"))
    assert refused.value.code is Code.TOO_MANY


async def test_its_owner_finds_it_by_its_name_and_nobody_else_does(core: Hub) -> None:
    id = await said(core, "a", key="k")
    assert id == core.hidden_of(ANNA, "a") != core.hidden_of("bob", "a")
    assert await said(core, "a", key="k") == id
    assert len(await core.turns(ANNA, id)) == 1
    assert await core.named(ANNA, "a") != id
    with pytest.raises(Rejected):
        await core.turns("bob", id)


async def test_all_go_when_their_time_is_over_and_not_before(core: Hub, store: MemoryStore) -> None:
    ids = [await said(core, name) for name in "abc"]
    await Hidden(store, core.delete, keep_seconds=3600).sweep()
    for id in ids:
        await core.turns(ANNA, id)
    await Hidden(store, core.delete, keep_seconds=-1).sweep()
    for id in ids:
        with pytest.raises(Rejected):
            await core.turns(ANNA, id)


async def test_while_a_turn_is_unfinished_it_stays(
    core: Hub, store: MemoryStore, model: HeldModel
) -> None:
    model.released.clear()
    id = await said(core, "a", waits=False)
    await Hidden(store, core.delete, keep_seconds=-1).sweep()
    assert len(await core.turns(ANNA, id)) == 1


async def test_one_that_cannot_be_deleted_keeps_no_other(core: Hub, store: MemoryStore) -> None:
    first, second = await said(core, "a"), await said(core, "b")

    async def failing(owner: str, conversation: str) -> None:
        if conversation == first:
            raise Rejected.because_of_the_store()
        await core.delete(owner, conversation)

    await Hidden(store, failing, keep_seconds=-1).sweep()
    assert len(await core.turns(ANNA, first)) == 1
    with pytest.raises(Rejected):
        await core.turns(ANNA, second)

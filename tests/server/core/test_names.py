"""What other front ends ask of the hub: conversations by name, their turns, a past elsewhere."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.kit.core import ANNA, HeldModel, Reader, core_on
from tests.kit.failing_store import FailingStore
from tests.kit.patience import patience
from turnwire_protocol import Ack, Code, Done, Message, SendBody, Start, Token
from turnwire_server.core.hub import Hub
from turnwire_server.core.past import PAST_MODEL, PastTurn
from turnwire_server.core.turn_index import digest_of
from turnwire_server.errors import Rejected

PAST = [
    PastTurn("What is 1?", "m1", "One."),
    PastTurn("And 2?", "m2", ""),
    PastTurn("3?", None, "3"),
]


@pytest.fixture
def store() -> FailingStore:
    return FailingStore()


@pytest.fixture
def model() -> HeldModel:
    model = HeldModel()
    model.released.set()
    return model


@pytest.fixture
async def core(store: FailingStore, model: HeldModel) -> AsyncIterator[Hub]:
    core = core_on(store, model)
    async with patience():
        await core.start()
        yield core
        store.fails = False
        await core.close()


async def said(core: Hub, name: str, content: str, past: Any = (), **fields: Any) -> Ack:
    """A message in the conversation of that name, answered."""
    accepted = await core.send(ANNA, SendBody(content=content, **fields), name=name, past=past)
    await accepted.durable
    reader, ack = Reader(), accepted.ack
    await reader.connect(core, ack.conversation or "", ack.epoch or "")
    await reader.until(lambda seen: any(isinstance(e, Done) and e.turn == ack.turn for e in seen))
    reader.disconnect()
    return ack


async def test_a_name_is_the_same_conversation_each_time_and_for_its_owner_only(core: Hub) -> None:
    first, second = await said(core, "chat-1", "a"), await said(core, "chat-1", "b")
    assert first.conversation == second.conversation == await core.named(ANNA, "chat-1")
    assert await core.named("bob", "chat-1") != first.conversation
    assert (await said(core, "chat-2", "c")).conversation != first.conversation


async def test_the_id_of_a_conversation_of_ours_is_its_name_too(core: Hub) -> None:
    native = await core.send(ANNA, SendBody(content="a"))
    id = native.ack.conversation or ""
    assert (await said(core, id, "b", if_busy="queue")).conversation == id
    # Somebody else's id is a name like any other: nothing tells that it exists.
    assert await core.named("bob", id) != id


async def test_its_turns_are_listed_with_what_tells_them_apart(core: Hub) -> None:
    first = await said(core, "chat", "a", key="k1")
    again = await said(core, "chat", "b", key="k2", retract=first.turn)
    turns = await core.turns(ANNA, await core.named(ANNA, "chat"))
    assert [(turn.turn, turn.key, turn.is_void) for turn in turns] == [
        (first.turn, "k1", True),
        (again.turn, "k2", False),
    ]
    assert [turn.content for turn in turns] == [digest_of("a"), digest_of("b")]
    with pytest.raises(Rejected, match="no such conversation"):
        await core.turns(ANNA, await core.named(ANNA, "other"))


async def test_a_past_stands_before_the_first_message_as_turns_like_any_other(
    core: Hub, model: HeldModel
) -> None:
    ack = await said(core, "chat", "4?", PAST)
    reader = Reader()
    await reader.connect(core, ack.conversation or "", ack.epoch or "")
    await reader.drain()
    reader.disconnect()
    messages = [event.content for event in reader.seen if isinstance(event, Message)]
    assert messages == ["What is 1?", "And 2?", "3?", "4?"]
    texts = [event.text for event in reader.seen if isinstance(event, Token)]
    assert texts == ["One.", "3", "Hello"]
    models = [event.model for event in reader.seen if isinstance(event, Start)]
    assert models[:3] == [PAST_MODEL] * 3
    assert ack.after == 0
    (request,) = model.requests
    assert [(message["role"], message["content"]) for message in request.messages] == [
        ("user", "What is 1?"),
        ("assistant", [{"type": "text", "text": "One."}]),
        ("user", "And 2?"),
        ("user", "3?"),
        ("assistant", [{"type": "text", "text": "3"}]),
        ("user", "4?"),
    ]


async def test_a_conversation_that_has_begun_has_a_past_of_its_own(core: Hub) -> None:
    ack = await said(core, "chat", "a")
    await said(core, "chat", "b", PAST)
    turns = await core.turns(ANNA, ack.conversation or "")
    assert [turn.content for turn in turns] == [digest_of("a"), digest_of("b")]


async def test_a_turn_of_the_past_can_be_taken_back(core: Hub, model: HeldModel) -> None:
    ack = await said(core, "chat", "4?", PAST)
    turns = await core.turns(ANNA, ack.conversation or "")
    await said(core, "chat", "Another 2?", retract=turns[1].turn)
    assert [
        message["content"] for message in model.requests[-1].messages if message["role"] == "user"
    ] == [
        "What is 1?",
        "Another 2?",
    ]


async def test_what_the_store_refused_leaves_no_past_either(store: FailingStore, core: Hub) -> None:
    store.fails = True
    accepted = await core.send(ANNA, SendBody(content="4?", key="k"), name="chat", past=PAST)
    with pytest.raises(Rejected) as refused:
        await accepted.durable
    assert refused.value.code is Code.STORAGE_UNAVAILABLE
    with pytest.raises(Rejected, match="no such conversation"):
        await core.turns(ANNA, accepted.ack.conversation or "")


async def test_after_a_restart_the_first_message_still_begins_before_its_past(
    store: FailingStore, core: Hub, model: HeldModel
) -> None:
    ack = await said(core, "chat", "4?", PAST, key="k")
    again = core_on(store, model)
    await again.start()
    repeated = await again.send(ANNA, SendBody(content="4?", key="k"), name="chat")
    assert (repeated.ack.turn, repeated.ack.after) == (ack.turn, 0)
    await again.close()

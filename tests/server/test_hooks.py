"""Hooks: what the app has to say about messages, turns and tool calls, and what becomes of it."""

import asyncio
import logging
import threading
from typing import Any

import pytest

from tests.kit.failing_store import FailingStore
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import HeldStore, serving, turnwire_over
from tests.kit.sse import asking
from tests.server.inprocess.test_local import ANNA, running
from turnwire_protocol import Code, Done, Error, Message, Start, StopReason
from turnwire_server import (
    CallContext,
    Document,
    Hooks,
    LocalConversation,
    MessageContext,
    Rejected,
    ToolContext,
    TurnContext,
    TurnEnd,
    TurnFailed,
    TurnSetup,
    tool,
)
from turnwire_server.store.memory import MemoryStore
from turnwire_simulator import Answer, Fault, Gate, Simulator, Text, Thinking, ToolUse


def shown(simulator: Simulator, request: int = -1) -> list[Any]:
    """What a request shows as messages, without the marks of the prompt cache."""

    def bare(value: Any) -> Any:
        if isinstance(value, list):
            return [bare(each) for each in value]
        if isinstance(value, dict):
            return {k: bare(each) for k, each in value.items() if k != "cache_control"}
        return value

    return [bare(message["content"]) for message in simulator.requests[request]["messages"]]


async def events_of(chat: LocalConversation) -> list[Any]:
    """All events there are."""
    return [event async for event in chat.follow(live=False)]


# Before a message is accepted


async def test_what_is_not_admitted_leaves_no_trace(simulator: Simulator) -> None:
    asked: list[MessageContext] = []

    def admit(context: MessageContext) -> None:
        asked.append(context)
        if "bomb" in str(context.message):
            raise Rejected(Code.PERMISSION_DENIED, "not here")

    async with running(simulator, hooks=Hooks(admit=admit), state="mine") as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        with pytest.raises(Rejected) as refused:
            await chat.send("a bomb")
        assert (refused.value.code, refused.value.message) == (Code.PERMISSION_DENIED, "not here")
        assert not [head async for head in turnwire.conversations(ANNA)]
        first = await chat.send("a flower", key="k")
        await first
        before = await events_of(chat)
        with pytest.raises(Rejected):
            await chat.send("another bomb")
        assert await events_of(chat) == before
        # What was accepted is not asked about again.
        assert (await chat.send("a flower", key="k")).id == first.id
    assert len(simulator.requests) == 1
    assert [context.message for context in asked] == ["a bomb", "a flower", "another bomb"]
    assert asked[1].conversation == chat.id
    assert (asked[1].principal, asked[1].key, asked[1].state) == (ANNA, "k", "mine")


async def test_clients_are_told_what_the_app_says(simulator: Simulator) -> None:
    async def admit(context: MessageContext) -> None:
        raise Rejected(Code.TOO_MANY, "pay first", retry_after_seconds=60)

    turnwire = turnwire_over(simulator, hooks=Hooks(admit=admit))
    async with serving(turnwire) as address, asking(address) as http:
        answer = await http.post("/v1/chat", json={"content": "hi"})
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "60"
        assert "pay first" in answer.text


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_hook_that_fails_or_hangs_lets_nothing_pass(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, *, is_async: bool
) -> None:
    released = threading.Event()

    async def hangs(context: MessageContext) -> None:
        await asyncio.Event().wait()

    def blocks(context: MessageContext) -> None:
        released.wait()

    def fails(context: MessageContext) -> None:
        raise KeyError("secret words")

    hanging = Hooks(admit=hangs if is_async else blocks, timeout_seconds=0.05)
    failing = Hooks(admit=fails, timeout_seconds=PATIENCE_SECONDS)
    for hooks, code in ((hanging, Code.TIMEOUT), (failing, Code.INTERNAL)):
        async with running(simulator, hooks=hooks) as turnwire, patience():
            with pytest.raises(Rejected) as refused:
                await turnwire.conversation(ANNA).send("hi")
            assert refused.value.code is code
            assert "secret" not in refused.value.message
            assert not [head async for head in turnwire.conversations(ANNA)]
    released.set()
    assert simulator.requests == []
    assert "the hook admit" in caplog.text


async def test_what_is_wrong_with_a_message_needs_no_hook(simulator: Simulator) -> None:
    asked: list[MessageContext] = []
    async with running(simulator, hooks=Hooks(admit=asked.append)) as turnwire:
        with pytest.raises(Rejected) as refused:
            await turnwire.conversation(ANNA).send("hi", model="no-such-model")
        assert refused.value.code is Code.BAD_COMMAND
    assert asked == []


# As a turn begins


async def test_a_turn_gets_its_prompt_its_model_and_its_documents(simulator: Simulator) -> None:
    store = MemoryStore()

    async def before_turn(context: TurnContext) -> TurnSetup:
        assert context.system == "Everybody's."
        text = f"About: {context.message}"
        return TurnSetup(
            system=f"You help {context.principal}.",
            model="claude-haiku-4-5",
            content=["Now it is noon.", Document(title="Notes", text=text, context="of today")],
        )

    hooks = Hooks(before_turn=before_turn)
    service = {"hooks": hooks, "store": store, "system": "Everybody's."}
    async with running(simulator, **service) as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        turn = await chat.send("bells")
        await turn
        started = [event for event in await events_of(chat) if isinstance(event, Start)]
        assert [event.model for event in started] == ["claude-haiku-4-5"]
        state = await chat.load()
        assert state.turns[turn.id].content == "bells"
    document = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "About: bells"},
        "title": "Notes",
        "context": "of today",
        "citations": {"enabled": True},
    }
    first = [{"type": "text", "text": "bells"}, {"type": "text", "text": "Now it is noon."}]
    assert shown(simulator) == [[*first, document]]
    assert simulator.requests[-1]["model"] == "claude-haiku-4-5"
    assert "You help anna." in str(simulator.requests[-1]["system"])
    assert simulator.rejections == []


async def test_what_was_added_stays_where_it_was_after_a_restart(simulator: Simulator) -> None:
    """So that thinking goes back, and the prompt cache holds."""
    asked = 0

    def before_turn(context: TurnContext) -> TurnSetup:
        nonlocal asked
        asked += 1
        return TurnSetup(content=[f"context {asked}"])

    store = MemoryStore()
    simulator.program(*(Answer(Thinking(f"Hm {n}."), Text(f"Answer {n}.")) for n in range(3)))
    id = ""
    for number in range(3):
        service = {"hooks": Hooks(before_turn=before_turn), "store": store}
        async with running(simulator, **service) as turnwire, patience():
            chat = turnwire.conversation(ANNA, id or None)
            await (await chat.send(f"question {number}"))
            id = chat.id or ""
    assert simulator.rejections == []
    last = shown(simulator)
    assert [part["text"] for part in last[0]] == ["question 0", "context 1"]
    assert last[:3] == shown(simulator, -2)
    assert last[:1] == shown(simulator, -3)
    assert [block["type"] for block in last[1]] == ["thinking", "text"]
    usage = (await _last_done(store, id, simulator)).usage
    assert usage.cache_read_input_tokens > 0


async def _last_done(store: MemoryStore, id: str, simulator: Simulator) -> Done:
    async with running(simulator, store=store) as turnwire:
        events = await events_of(turnwire.conversation(ANNA, id))
    (*_, done) = events
    assert isinstance(done, Done)
    return done


async def test_a_refused_turn_is_told_and_not_shown_to_the_model(simulator: Simulator) -> None:
    def before_turn(context: TurnContext) -> None:
        if context.message == "a bomb":
            raise Rejected(Code.PERMISSION_DENIED, "not here")

    async with running(simulator, hooks=Hooks(before_turn=before_turn)) as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        turn = await chat.send("a bomb")
        with pytest.raises(TurnFailed) as failed:
            await turn
        assert (failed.value.code, failed.value.message) == ("permission_denied", "not here")
        kinds = [type(event) for event in await events_of(chat)]
        assert kinds == [Message, Start, Error, Done]
        await (await chat.send("a flower"))
    assert shown(simulator) == [[{"type": "text", "text": "a flower"}]]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"code": "permission_denied"}, Code.PERMISSION_DENIED),
        ({"code": "no_such_code"}, Code.INTERNAL),
        ({"message": ValueError("no text")}, Code.INTERNAL),
        ({"retry_after_seconds": -1.0}, Code.INTERNAL),
        ({"retry_after_seconds": float("nan")}, Code.INTERNAL),
        ({"retry_after_seconds": "soon"}, Code.INTERNAL),
    ],
)
async def test_a_turn_ends_however_it_is_refused(
    simulator: Simulator, said: dict[str, Any], code: Code
) -> None:
    def before_turn(context: TurnContext) -> None:
        if context.message == "a bomb":
            raise Rejected(**{"code": Code.TOO_MANY, "message": "not here", **said})

    async with running(simulator, hooks=Hooks(before_turn=before_turn)) as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        turn = await chat.send("a bomb")
        with pytest.raises(TurnFailed) as failed:
            await turn
        assert failed.value.code == code
        # It runs no more.
        assert (await (await chat.send("a flower"))).stop_reason == StopReason.END_TURN


@pytest.mark.parametrize(
    "given",
    [
        "text",
        TurnSetup(content=[{"type": "tool_use"}]),
        TurnSetup(content=["x" * 2**21]),
        TurnSetup(content=[{"type": "text", "text": "a", "score": float("nan")}]),
        TurnSetup(content=[{"type": "image", "source": {"type": "base64", "data": b"PNG"}}]),
        TurnSetup(system="half a pair: \ud800"),
        TurnSetup(model="\ud800"),
    ],
)
async def test_what_no_turn_can_take_fails_the_turn(simulator: Simulator, given: Any) -> None:
    hooks = Hooks(
        before_turn=lambda context: given if context.message == "hi" else TurnSetup(system="x")
    )
    async with running(simulator, hooks=hooks) as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        turn = await chat.send("hi")
        with pytest.raises(TurnFailed) as failed:
            await turn
        assert failed.value.code == Code.INTERNAL
        assert simulator.requests == []
        # Nothing of it is in the way of what follows.
        assert (await (await chat.send("again"))).stop_reason == StopReason.END_TURN


async def test_a_stop_ends_a_hook_that_hangs(simulator: Simulator) -> None:
    asked, stopped = asyncio.Event(), asyncio.Event()

    async def before_turn(context: TurnContext) -> None:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    hooks = Hooks(before_turn=before_turn, timeout_seconds=3600)
    async with running(simulator, hooks=hooks) as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        turn = await chat.send("hi")
        await asked.wait()
        assert await turn.cancel() == "cancelling"
        assert (await turn).stop_reason == StopReason.CANCELLED
        await stopped.wait()
        assert [type(event) for event in await events_of(chat)] == [Message, Done]
    assert simulator.requests == []


# Tool calls


async def test_a_call_that_is_refused_does_not_run(simulator: Simulator) -> None:
    ran: list[Any] = []

    @tool
    async def ring(bell: str, context: ToolContext) -> str:
        """Ring a bell."""
        ran.append((bell, context.state))
        return "rung"

    def before_tool(context: CallContext) -> None:
        assert (context.principal, context.tool_name) == (ANNA, "ring")
        if context.input["bell"] == "back":
            raise Rejected(Code.PERMISSION_DENIED, "it is night")
        if context.input["bell"] == "broken":
            raise KeyError("secret")

    bells = ("front", "back", "broken")
    calls = [ToolUse("ring", {"bell": bell}, id=f"toolu_{bell}") for bell in bells]
    simulator.program(Answer(*calls), Answer(Text("ok")))
    service = {"hooks": Hooks(before_tool=before_tool), "tools": [ring], "state": {"db": 1}}
    async with running(simulator, **service) as turnwire, patience():
        await (await turnwire.conversation(ANNA).send("Ring"))
    assert ran == [("front", {"db": 1})]
    results = {result["tool_use_id"]: result for result in shown(simulator)[-1]}
    assert "it is night" in str(results["toolu_back"]["content"])
    assert results["toolu_back"]["is_error"] is results["toolu_broken"]["is_error"] is True
    assert "secret" not in str(results["toolu_broken"]["content"])


async def test_an_edited_call_is_asked_about_again(simulator: Simulator) -> None:
    ran: list[str] = []

    @tool(approval=True)
    async def ring(bell: str) -> str:
        """Ring a bell."""
        ran.append(bell)
        return "rung"

    def before_tool(context: CallContext) -> None:
        if context.input["bell"] == "back":
            raise Rejected(Code.PERMISSION_DENIED, "it is night")

    simulator.program(Answer(ToolUse("ring", {"bell": "front"}, id="t1")), Answer(Text("ok")))
    hooks = Hooks(before_tool=before_tool)
    async with running(simulator, hooks=hooks, tools=[ring]) as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        async for event in await chat.send("Ring"):
            if event.type == "tool_approval":
                await chat.decide("t1", allow=True, input={"bell": "back"})
    assert ran == []
    assert "it is night" in str(shown(simulator)[-1])


# After a turn


async def test_the_end_of_a_turn_is_told_once_it_is_stored(simulator: Simulator) -> None:
    ends: list[TurnEnd] = []
    told = asyncio.Event()

    async def after_turn(end: TurnEnd) -> None:
        # It can be read by now, whoever asks.
        (*_, last) = await events_of(turnwire.conversation(ANNA, end.conversation))
        assert isinstance(last, Done)
        ends.append(end)
        told.set()
        raise KeyError("not told again")

    gate = Gate()
    simulator.program(Answer(Text("Yes.")), Fault(401), Answer(Text(["Hel", gate])))
    async with running(simulator, hooks=Hooks(after_turn=after_turn)) as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        turns = []
        for _ in range(2):
            told.clear()
            turns.append((await chat.send("hi")).id)
            await told.wait()
        told.clear()
        turn = await chat.send("hi")
        async for _ in turn.text_stream:
            await turn.cancel()
        await told.wait()
        turns.append(turn.id)
    assert [end.turn for end in ends] == turns
    assert [end.stop_reason for end in ends] == ["end_turn", "failed", "cancelled"]
    assert [end.code for end in ends] == [None, "auth_error", None]
    assert ends[0].usage.output_tokens > 0
    assert ends[0].cost_usd is None


async def test_an_end_that_is_not_stored_yet_is_not_told(simulator: Simulator) -> None:
    ends: list[TurnEnd] = []
    told = asyncio.Event()

    async def after_turn(end: TurnEnd) -> None:
        ends.append(end)
        told.set()

    store = HeldStore()
    store.released.set()
    gate = Gate()
    simulator.program(Answer(Text(["Hel", gate, "lo"])))
    service = {"hooks": Hooks(after_turn=after_turn), "store": store}
    async with running(simulator, **service) as turnwire, patience():
        turn = await turnwire.conversation(ANNA).send("hi")
        async for _ in turn.text_stream:
            store.released.clear()
            store.asked.clear()
            gate.open()
            break
        await simulator.wait(lambda: simulator.finished_streams == 1)
        await store.asked.wait()
        # It ends in memory at the latest here; that is not told of.
        await turn.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        early = list(ends)
        store.released.set()
        await told.wait()
    assert early == []


async def test_the_end_of_the_service_waits_for_what_is_still_told(simulator: Simulator) -> None:
    ends: list[str] = []

    async def after_turn(end: TurnEnd) -> None:
        for _ in range(200):  # It is in no hurry.
            await asyncio.sleep(0)
        ends.append(end.stop_reason)

    gate = Gate()
    simulator.program(Answer(Text(["Hel", gate])))
    async with running(simulator, hooks=Hooks(after_turn=after_turn)) as turnwire, patience():
        turn = await turnwire.conversation(ANNA).send("hi")
        async for _ in turn.text_stream:
            break
    assert ends == ["interrupted"]


async def test_the_end_of_a_turn_whose_conversation_is_deleted_is_told(
    simulator: Simulator,
) -> None:
    ends: list[str] = []
    told = asyncio.Event()

    async def after_turn(end: TurnEnd) -> None:
        ends.append(end.stop_reason)
        told.set()

    simulator.program(Answer(Text(["Hel", Gate()])))
    async with patience(), running(simulator, hooks=Hooks(after_turn=after_turn)) as turnwire:
        chat = turnwire.conversation(ANNA)
        async for _ in (await chat.send("hi")).text_stream:
            break
        await chat.delete()
        await told.wait()
    assert ends == ["interrupted"]


async def test_the_service_ends_though_the_end_of_a_turn_cannot_be_stored(
    simulator: Simulator,
) -> None:
    ends: list[str] = []

    async def after_turn(end: TurnEnd) -> None:
        ends.append(end.stop_reason)

    store = FailingStore()
    simulator.program(Answer(Text(["Hel", Gate()])))
    service = {"hooks": Hooks(after_turn=after_turn), "store": store}
    async with patience(), running(simulator, **service) as turnwire:
        async for _ in (await turnwire.conversation(ANNA).send("hi")).text_stream:
            break
        store.fails = True
    assert ends == ["interrupted"], "what was used was used"


async def test_without_hooks_nothing_is_logged_of_them(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with running(simulator) as turnwire, patience():
        await (await turnwire.conversation(ANNA).send("hi"))
    assert caplog.text == ""

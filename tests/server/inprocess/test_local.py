"""Conversations without a socket: for code of the process in which the service runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import pytest

from tests.kit.oracle import check_log
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from turnwire import Reply as ClientReply
from turnwire import connect
from turnwire_protocol import (
    Code,
    Done,
    Event,
    Message,
    Reset,
    SendBody,
    StopReason,
    Token,
    ToolApproval,
)
from turnwire_server import PastTurn, Rejected, Reply, TurnFailed, Turnwire, tool
from turnwire_server.inprocess.conversation import SendOptions
from turnwire_server.store.memory import MemoryStore
from turnwire_simulator import Answer, Fault, Gate, Simulator, Text, ToolUse

ANNA = "anna"


@asynccontextmanager
async def running(simulator: Simulator, **settings: Any) -> AsyncIterator[Turnwire]:
    """A service without a server."""
    turnwire = turnwire_over(simulator, **settings)
    await turnwire.start()
    try:
        yield turnwire
    finally:
        await turnwire.close()


async def test_a_turn_is_sent_iterated_and_awaited_as_with_the_client(
    simulator: Simulator,
) -> None:
    simulator.program(Answer(Text("It is sunny.")))
    async with running(simulator) as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        assert chat.id is None
        turn = await chat.send("How is the weather?")
        texts = [text async for text in turn.text_stream]
        events = [event async for event in turn]
        reply = await turn
        assert chat.id == turn.conversation
        assert "".join(texts) == reply.text == "It is sunny."
        assert isinstance(events[0], Message)
        assert isinstance(events[-1], Done)
        assert {event.turn for event in events} == {turn.id}
        assert reply.stop_reason == StopReason.END_TURN
        assert reply.usage == events[-1].usage
        state = await chat.load()
        assert state.turns[turn.id].text == "It is sunny."
        log = [event async for event in chat.follow(live=False)]
        check_log([event for event in log if not isinstance(event, Reset)])


async def test_it_is_the_same_conversation_that_a_client_has(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator)
    async with serving(turnwire) as address, connect(f"http://{address}") as wire, patience():
        theirs = wire.conversation()
        await (await theirs.send("from the socket"))
        ours = turnwire.conversation("local", theirs.id)
        turn = await ours.send("from the server", key="scheduled-1")
        again = await ours.send("from the server", key="scheduled-1")
        assert again.id == turn.id
        await turn
        seen: list[Event] = []
        async for event in theirs.follow():
            assert not isinstance(event, Reset)
            seen.append(event)
            if isinstance(event, Done) and event.turn == turn.id:
                break
        contents = [event.content for event in seen if isinstance(event, Message)]
        assert contents == ["from the socket", "from the server"]
        assert (await ours.load()).to_dict() == theirs.state.to_dict()


async def test_a_reader_gets_what_comes_and_a_cancel_stops_it(simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["One, ", gate, "two"])))
    async with running(simulator) as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        turn = await chat.send("Count")
        follower = chat.follow()
        async for event in follower:
            if isinstance(event, Token):
                assert await turn.cancel() == "cancelling"
            if isinstance(event, Done):
                break
        await follower.aclose()
        assert (await turn).stop_reason == StopReason.CANCELLED
        assert await chat.cancel(key=turn.key) == "already_done"
        await simulator.wait(lambda: simulator.aborted_streams == 1)


async def test_regenerate_and_edit_make_the_old_turn_void(simulator: Simulator) -> None:
    async with running(simulator) as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        first = await chat.send("one")
        await first
        second = await turnwire.conversation(ANNA, chat.id).regenerate(first.id)
        await second
        third = await chat.edit(second.id, "two")
        await third
        assert [turn.content for turn in (await chat.load()).turns] == ["two"]
        with pytest.raises(Rejected) as refused:
            await chat.regenerate(first.id)
        assert refused.value.code is Code.UNKNOWN_TURN


async def test_an_approval_is_answered(simulator: Simulator) -> None:
    ran: list[str] = []

    @tool(approval=True)
    async def ring(bell: str) -> str:
        """Ring a bell."""
        ran.append(bell)
        return "rung"

    simulator.program(Answer(ToolUse("ring", {"bell": "front"}, id="toolu_1")), Answer(Text("ok")))
    async with running(simulator, tools=[ring]) as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        turn = await chat.send("Ring")
        async for event in turn:
            if event.type == "tool_approval":
                await chat.decide("toolu_1", allow=True, input={"bell": "back"})
        assert ran == ["back"]
        with pytest.raises(Rejected) as refused:
            await chat.decide("toolu_1", allow=True)
        assert refused.value.code is Code.UNKNOWN_TOOL_CALL


async def test_what_is_no_json_is_refused_and_leaves_no_trace(simulator: Simulator) -> None:
    @tool(approval=True)
    def keep(data: dict[str, Any]) -> str:
        return "kept"

    simulator.program(Answer(ToolUse("keep", {"data": {}})), Answer(Text("Done.")))
    async with running(simulator, tools=[keep]) as turnwire, patience():
        chat = turnwire.conversation(ANNA)
        turn = await chat.send("keep it")
        async for event in turn:
            if not isinstance(event, ToolApproval):
                continue
            for no_json in ({"data": {"a": object()}}, {"data": {"a": "\ud800"}}):
                with pytest.raises(Rejected) as refused:
                    await chat.decide(event.tool_id, allow=True, input=no_json)
                assert refused.value.code is Code.BAD_COMMAND
            await chat.decide(event.tool_id, allow=True)
        assert (await turn).text == "Done."
        schema = {"type": "object", "description": "\ud800"}
        with pytest.raises(Rejected) as refused:
            await chat.send("more", output_format={"type": "json_schema", "schema": schema})
        assert refused.value.code is Code.BAD_COMMAND
        assert len((await chat.load()).turns) == 1


async def test_a_failed_turn_raises_with_what_had_come(simulator: Simulator) -> None:
    simulator.program(Fault(401))
    async with running(simulator) as turnwire, patience():
        turn = await turnwire.conversation(ANNA).send("hi")
        with pytest.raises(TurnFailed) as failed:
            await turn
        assert failed.value.code == Code.AUTH_ERROR
        assert failed.value.reply.text == ""


async def test_conversations_are_listed_renamed_exported_and_deleted(
    simulator: Simulator,
) -> None:
    async with running(simulator) as turnwire, patience():
        for number in range(3):
            await (await turnwire.conversation(ANNA).send(f"question {number}"))
        await (await turnwire.conversation("bert").send("not Anna's"))
        heads = [head async for head in turnwire.conversations(ANNA)]
        assert [head.title for head in heads] == [f"question {n}" for n in (2, 1, 0)]
        chat = turnwire.conversation(ANNA, heads[0].conversation)
        await chat.rename("Bells")
        assert (await chat.export()).startswith("# Bells\n")
        found = [head async for head in turnwire.conversations(ANNA, query="bell")]
        assert [head.conversation for head in found] == [chat.id]
        with pytest.raises(Rejected) as refused:
            await turnwire.conversation("bert", chat.id).load()
        assert refused.value.code is Code.UNKNOWN_CONVERSATION
        await chat.delete()
        assert len([head async for head in turnwire.conversations(ANNA)]) == 2


async def test_a_history_is_imported_shown_to_the_model_and_goes_on(
    simulator: Simulator,
) -> None:
    store = MemoryStore()
    past = [PastTurn("My name is Ann.", answer="Hello Ann!"), PastTurn("And I am 7.")]
    async with running(simulator, store=store) as turnwire, patience():
        chat = await turnwire.import_conversation(ANNA, past, title="From elsewhere")
        assert [head.title async for head in turnwire.conversations(ANNA)] == ["From elsewhere"]
        state = await chat.load()
        assert [(turn.content, turn.text) for turn in state.turns] == [
            ("My name is Ann.", "Hello Ann!"),
            ("And I am 7.", ""),
        ]
        turn = await chat.send("Who am I?")
        # Behind what was imported, which does not go if the message has to be taken back.
        assert turn.seq == state.seq + 1 == turn.begins_after + 1
        await turn
        log = [event async for event in chat.follow(live=False)]
        check_log([event for event in log if not isinstance(event, Reset)])
        with pytest.raises(Rejected):
            await turnwire.import_conversation(ANNA, [])
        assert len([head async for head in turnwire.conversations(ANNA)]) == 1
    assert simulator.rejections == []
    said = [str(message["content"]) for message in simulator.requests[-1]["messages"]]
    assert "My name is Ann." in said[0]
    assert "Hello Ann!" in said[1]


async def test_an_import_that_is_refused_leaves_nothing_behind(simulator: Simulator) -> None:
    async with running(simulator) as turnwire, patience():
        for title in ("", "x" * 201):
            with pytest.raises(Rejected) as refused:
                await turnwire.import_conversation(ANNA, [PastTurn("one")], title=title)
            assert refused.value.code is Code.BAD_COMMAND
        assert [head async for head in turnwire.conversations(ANNA)] == []


@pytest.mark.parametrize(
    "past",
    [PastTurn(" "), PastTurn("two", key=""), PastTurn("two", answer=cast(str, None)), ("two",)],
)
async def test_a_past_is_imported_whole_or_not_at_all(simulator: Simulator, past: Any) -> None:
    async with running(simulator) as turnwire, patience():
        with pytest.raises(Rejected) as refused:
            await turnwire.import_conversation(ANNA, [PastTurn("one", answer="1"), past])
        assert refused.value.code is Code.BAD_COMMAND
        assert "past.1" in refused.value.message
        assert [head async for head in turnwire.conversations(ANNA)] == []


async def test_half_a_surrogate_pair_is_imported_as_a_mark(
    simulator: Simulator, tmp_path: Path
) -> None:
    """Python has such texts, of file names and of JSON; no encoding and no store does."""
    async with running(simulator, db=str(tmp_path / "chat.db")) as turnwire, patience():
        past = [PastTurn("a\ud800", answer="b\ud800")]
        chat = await turnwire.import_conversation(ANNA, past, title="c\ud800")
        (turn,) = (await chat.load()).turns
        assert (turn.content, turn.text) == ("a\ufffd", "b\ufffd")
        assert [head.title async for head in turnwire.conversations(ANNA)] == ["c\ufffd"]


async def test_an_import_counts_as_a_conversation(simulator: Simulator) -> None:
    limits = {"max_conversations_per_principal": 1}
    async with running(simulator, limits=limits) as turnwire, patience():
        await turnwire.import_conversation(ANNA, [PastTurn("one")])
        with pytest.raises(Rejected) as refused:
            await turnwire.import_conversation(ANNA, [PastTurn("two")])
        assert refused.value.code is Code.TOO_MANY


async def test_while_the_service_does_not_run_everything_says_so(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator)
    chat = turnwire.conversation(ANNA, "c_1")
    with pytest.raises(Rejected, match="lifespan"):
        await chat.send("hi")
    await turnwire.start()
    await turnwire.close()
    for wrong in (chat.load(), chat.cancel(turn="t_1"), anext(turnwire.conversations(ANNA))):
        with pytest.raises(Rejected) as refused:
            await wrong
        assert refused.value.code is Code.DRAINING


async def test_another_event_loop_is_told_apart(simulator: Simulator) -> None:
    async with running(simulator) as turnwire, patience():
        send = turnwire.conversation(ANNA).send
        with pytest.raises(RuntimeError, match="another event loop"):
            await asyncio.to_thread(lambda: asyncio.run(send("hi")))


async def test_who_still_reads_when_the_service_ends_is_told(simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", gate, "lo"])))
    async with running(simulator) as turnwire, patience():
        turn = await turnwire.conversation(ANNA).send("hi")
        ending = asyncio.create_task(turnwire.drain(0))
        with pytest.raises(TurnFailed) as failed:
            await turn
        assert failed.value.code == StopReason.INTERRUPTED
        with pytest.raises(Rejected) as refused:
            async for _ in turnwire.conversation(ANNA, turn.conversation).follow():
                pass
        assert refused.value.code is Code.DRAINING
        await ending


async def test_an_answer_with_a_format_is_data(simulator: Simulator) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    simulator.program(Answer(Text('{"n": 3}')))
    async with running(simulator) as turnwire, patience():
        form = {"type": "json_schema", "schema": schema}
        reply = await (await turnwire.conversation(ANNA).send("Count", output_format=form))
    assert reply.output == {"n": 3}


def test_a_reply_is_what_the_client_gives() -> None:
    ours, theirs = ({each.name for each in fields(kind)} for kind in (Reply, ClientReply))
    assert ours == theirs


def test_every_option_of_a_send_is_a_keyword_that_editors_know() -> None:
    assert {*SendOptions.__annotations__, "content", "conversation"} == set(SendBody.model_fields)

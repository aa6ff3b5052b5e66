"""What is kept of conversations: read to the end, listed, named, exported, deleted."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

import pytest

from tests.kit.patience import patience
from tests.kit.scripted_server import CONVERSATION, Frame, ScriptedServer, answer
from tests.kit.service import by_name, serving, turnwire_over
from turnwire import (
    Backoff,
    BadArgument,
    ConversationClosed,
    Done,
    Rejected,
    Reset,
    Token,
    connect,
)
from turnwire_simulator import Answer, Gate, Simulator, Text


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def url(simulator: Simulator) -> AsyncIterator[str]:
    async with serving(turnwire_over(simulator, authenticate=by_name)) as address:
        yield f"http://{address}"


async def test_a_history_is_read_to_its_end_while_a_turn_runs(
    url: str, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text("One.")), Answer(Text(["Two", "."])).at(4, gate))
    async with patience(), connect(url, "anna") as wire:
        chat = wire.conversation()
        await (await chat.send("first"))
        turn = await chat.send("second")
        await gate.reached()
        async with connect(url, "anna") as other:
            there = other.conversation(chat.id)
            assert there.state.seq == 0
            state = await there.load()
            assert [each.content for each in state.turns] == ["first", "second"]
            assert state.turns[0].text == "One."
            assert state.turns[turn.id].state == "running"
            # What has come since is had by asking again.
            gate.open()
            assert (await turn).text == "Two."
            assert (await there.load()).turns[-1].text == "Two."
            events = [event async for event in there.follow(live=False)]
        assert isinstance(events[-1], Done)
        # Where it is followed already it is asked all the same.
        assert (await chat.load()).to_dict() == there.state.to_dict()


async def test_a_history_that_is_followed_ends_where_the_server_says_and_not_before(
    server: ScriptedServer,
) -> None:
    log = answer("a", "b")
    async with patience(), connect(server.url) as wire:
        chat = wire.conversation(CONVERSATION)
        live = chat.follow()
        first = asyncio.ensure_future(anext(live))
        peer = await server.peer()
        command = await peer.receive("subscribe")
        await peer.ack_subscribe(command, head=1)
        await peer.send(log[0])
        await first
        loading = asyncio.ensure_future(chat.load())
        again = await peer.receive("subscribe")
        assert again["after"] == 1
        await peer.ack_subscribe(again, head=len(log))
        await peer.send(*log[1:])
        assert (await loading).turns[0].text == "ab"
        await live.aclose()


async def test_a_history_of_another_log_is_read_from_its_start(server: ScriptedServer) -> None:
    log = answer("new")
    async with patience(), connect(server.url) as wire:
        chat = wire.conversation(CONVERSATION)
        reading = asyncio.ensure_future(_all(chat.follow(4, epoch="e0", live=False)))
        peer = await server.peer()
        command = await peer.receive("subscribe")
        # As the server does: the ack has the log there is, and where its events begin.
        await peer.ack(command, head=len(log), epoch="e1", after=0)
        reset: Frame = {"type": "reset", "conversation": CONVERSATION, "epoch": "e1", "reason": "x"}
        await peer.send(reset, *log)
        events = await reading
        assert isinstance(events[0], Reset)
        assert [event.text for event in events if isinstance(event, Token)] == ["new"]


async def _all(events: AsyncIterator[object]) -> list[object]:
    return [event async for event in events]


async def test_conversations_are_listed_renamed_exported_and_deleted(
    url: str, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pages of two, so that three conversations are two of them.
    monkeypatch.setattr("turnwire.catalogue.PAGE", 2)
    simulator.program(*(Answer(Text("Ok.")) for _ in range(3)))
    async with patience(), connect(url, "anna") as wire:
        chats = [wire.conversation() for _ in range(3)]
        for number, chat in enumerate(chats):
            await (await chat.send(f"chat {number}"))
        heads = [head async for head in wire.conversations()]
        assert [head.conversation for head in heads] == [chat.id for chat in reversed(chats)]
        await chats[0].rename("Größe & Gewicht")
        (found,) = [head async for head in wire.conversations(query="Größe & ")]
        assert (found.conversation, found.title) == (chats[0].id, "Größe & Gewicht")
        assert "Größe & Gewicht" in await chats[0].export()
        exported = json.loads(await chats[0].export("json"))
        assert exported["turns"] == (await chats[0].load()).to_dict()["turns"]

        following = asyncio.ensure_future(_all(chats[0].follow()))
        await chats[0].delete()
        with pytest.raises(ConversationClosed):
            await following
        assert len([head async for head in wire.conversations()]) == 2
        for refused in (chats[0].delete(), chats[0].export(), chats[0].rename("x")):
            with pytest.raises(Rejected) as caught:
                await refused
            assert caught.value.code == "unknown_conversation"
        with pytest.raises(BadArgument):
            await chats[1].rename("")
        with pytest.raises(BadArgument):
            await wire.conversation().delete()
    async with connect(url, "bert") as wire:
        assert [head async for head in wire.conversations()] == []


async def test_what_no_server_could_be_asked_is_told_and_spares_the_wire(
    server: ScriptedServer,
) -> None:
    async with patience(), connect(server.url, backoff=Backoff(0.001, 0.002)) as wire:
        peer = await server.peer()
        chat = wire.conversation(CONVERSATION)
        for bad in (
            wire.conversation("").load(),
            wire.conversation("c_\ud800").load(),
            anext(chat.follow(-1)),
            chat.decide("u1", allow=True, input={"a": object()}),
        ):
            with pytest.raises(BadArgument):
                await bad
        # It is nothing that a later connection would be asked again.
        peer.drop()
        peer = await server.peer()
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        command = await peer.receive()
        assert command["type"] == "send"
        await peer.ack_send(command)
        await peer.send(*answer("Yes."))
        assert (await (await sending)).text == "Yes."


async def test_half_a_surrogate_pair_is_a_question_mark_to_a_service(
    url: str, simulator: Simulator
) -> None:
    async with patience(), connect(url, "anna") as wire:
        chat = wire.conversation()
        await (await chat.send("first"))
        await chat.rename("a\ud800")
        assert [head.title async for head in wire.conversations()] == ["a?"]
        assert [head.title async for head in wire.conversations(query="a\ud800")] == ["a?"]
        with pytest.raises(Rejected):
            await wire.conversation("c_\ud800").export()


async def test_a_program_ends_though_the_service_never_answers() -> None:
    never: set[asyncio.StreamWriter] = set()
    asked = asyncio.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        never.add(writer)
        await reader.readuntil(b"\r\n\r\n")
        asked.set()

    service = await asyncio.start_server(accept, "127.0.0.1", 0)
    host, port = service.sockets[0].getsockname()[:2]
    program = f"""
import asyncio, sys
from urllib.request import Request
from turnwire import http
http.TIMEOUT_SECONDS = None

async def main():
    ask = http.Http("ws://{host}:{port}/v1/ws", None).ask
    asking = asyncio.create_task(ask(Request("http://{host}:{port}/"), max_bytes=1))
    await asyncio.to_thread(sys.stdin.readline)
    asking.cancel()

asyncio.run(main())
"""
    async with patience(), service:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program), stdin=asyncio.subprocess.PIPE
        )
        await asked.wait()
        try:
            await process.communicate(b"\n")
        finally:
            if process.returncode is None:
                process.kill()
        assert process.returncode == 0
        for writer in never:
            writer.close()

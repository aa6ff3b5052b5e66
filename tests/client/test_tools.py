"""Tools of this program, called by the model of a real service over a real network."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.client.relay import Relay
from tests.kit.scripted_server import AT, AT_ONCE, CONVERSATION, Peer, ScriptedServer, answer
from tests.kit.service import serving, turnwire_over
from turnwire import (
    BadArgument,
    ClientTool,
    Rejected,
    ToolApproval,
    ToolContext,
    ToolExecuting,
    ToolProgress,
    Turn,
    connect,
)
from turnwire_server import tool as server_tool
from turnwire_simulator import Answer, Simulator, Text, ToolUse

OK = Answer(Text("Ok."))


def step(name: str, input: dict[str, Any] | None = None, id: str = "toolu_1") -> Answer:
    return Answer(ToolUse(name, input or {}, id=id), stop_reason="tool_use")


def shown(simulator: Simulator) -> tuple[Any, bool]:
    """The result in the last request, as the model was shown it."""
    (block,) = simulator.requests[-1]["messages"][-1]["content"]
    return block["content"], block.get("is_error", False)


@server_tool(approval=True)
def erase(path: str) -> str:
    """Erase a file."""
    return f"erased {path}"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def relay(simulator: Simulator) -> AsyncIterator[Relay]:
    turnwire = turnwire_over(simulator, tools=[erase], detach_grace=30.0)
    async with serving(turnwire) as address, Relay(address) as relay:
        yield relay


async def until(turn: Turn, kind: type[Any]) -> Any:
    """The turn's first event of that type."""
    async for event in turn:
        if isinstance(event, kind):
            return event
    raise AssertionError(f"no {kind.__name__}")


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_function_is_called_and_its_value_is_the_result(
    relay: Relay, simulator: Simulator, is_async: bool
) -> None:
    simulator.program(step("add", {"a": 1, "b": 2}), OK)
    threads: set[str] = set()

    def add(a: int, b: int = 5) -> dict[str, int]:
        """Add two numbers."""
        threads.add(threading.current_thread().name)
        return {"sum": a + b}

    async def add_async(a: int, b: int = 5) -> dict[str, int]:
        """Add two numbers."""
        return add(a, b)

    async with connect(relay.url) as wire:
        assert wire.tool(add) is add if not is_async else wire.tool(name="add")(add_async)
        reply = await (await wire.conversation().send("1 + 2?"))
    assert (reply.text, shown(simulator)) == ("Ok.", ('{"sum":3}', False))
    assert (threading.current_thread().name in threads) is is_async
    offered = next(tool for tool in simulator.requests[0]["tools"] if tool["name"] == "add")
    assert offered["description"] == "Add two numbers."
    properties = offered["input_schema"]["properties"]
    assert {name: field["type"] for name, field in properties.items()} == {
        "a": "integer",
        "b": "integer",
    }
    assert offered["input_schema"]["required"] == ["a"]


async def test_an_exception_is_an_error_for_the_model(relay: Relay, simulator: Simulator) -> None:
    simulator.program(step("fail"), OK)
    async with connect(relay.url) as wire:

        @wire.tool
        def fail() -> str:
            """Fail."""
            raise LookupError("no page is open")

        await (await wire.conversation().send("hi"))
    assert shown(simulator) == ("LookupError: no page is open", True)


async def test_text_that_no_encoding_has_is_sent_all_the_same(
    relay: Relay, simulator: Simulator
) -> None:
    simulator.program(step("name"), OK)
    async with connect(relay.url) as wire:

        @wire.tool
        async def name() -> str:
            """A file's name."""
            return os.fsdecode(b"\xff")

        await (await wire.conversation().send("hi"))
    assert shown(simulator) == ("?", False)


async def test_a_result_that_is_too_large_is_told_to_the_model(
    relay: Relay, simulator: Simulator
) -> None:
    for size in (300_000, 2**21):
        simulator.program(step("large", id=f"toolu_{size}"), OK)
        async with connect(relay.url) as wire:

            @wire.tool
            def large(size: int = size) -> str:
                """A lot."""
                return "x" * size

            await (await wire.conversation().send("hi"))
        content, is_error = shown(simulator)
        assert (is_error, "could not be sent" in content) == (True, True)


async def test_the_context_is_filled_in_and_reports_progress(
    relay: Relay, simulator: Simulator
) -> None:
    simulator.program(step("count", {"to": 3}), OK)
    async with connect(relay.url) as wire:
        chat = wire.conversation()
        seen: list[ToolContext] = []
        reported = asyncio.Event()

        @wire.tool
        async def count(to: int, context: ToolContext) -> str:
            """Count."""
            seen.append(context)
            for number in range(100):
                context.progress(f"{number}", number / to)
            await reported.wait()
            return "counted"

        turn = await chat.send("hi")
        progress = await until(turn, ToolProgress)
        reported.set()
        await turn
        reports = [event async for event in turn if isinstance(event, ToolProgress)]
    (context,) = seen
    assert (context.conversation, context.turn, context.tool_id) == (chat.id, turn.id, "toolu_1")
    assert (progress.message, progress.fraction, len(reports)) == ("0", 0.0, 1)
    offered = next(tool for tool in simulator.requests[0]["tools"] if tool["name"] == "count")
    assert list(offered["input_schema"]["properties"]) == ["to"]


async def test_a_call_runs_once_and_answers_over_a_lost_connection(
    relay: Relay, simulator: Simulator
) -> None:
    simulator.program(step("hold"), OK)
    entered, may_end = asyncio.Event(), asyncio.Event()
    runs = 0
    async with connect(relay.url, backoff=AT_ONCE) as wire:

        @wire.tool
        async def hold() -> str:
            """Hold."""
            nonlocal runs
            runs += 1
            entered.set()
            await may_end.wait()
            return "held"

        turn = await wire.conversation().send("hi")
        await entered.wait()
        relay.cut()
        may_end.set()
        assert (await turn).text == "Ok."
    assert (runs, relay.connections, shown(simulator)) == (1, 2, ("held", False))


@pytest.mark.parametrize("size", range(600, 4200, 300))
async def test_a_connection_that_breaks_anywhere_runs_the_tool_once(
    relay: Relay, simulator: Simulator, size: int
) -> None:
    simulator.program(step("note", {"text": "x" * 500}), OK, step("note"))
    relay.cut_after(size, size // 2 + 400, 900)
    runs: list[str] = []
    async with connect(relay.url, backoff=AT_ONCE) as wire:

        @wire.tool
        def note(text: str) -> str:
            """Note something."""
            runs.append(text)
            return "noted"

        assert (await (await wire.conversation().send("hi"))).text == "Ok."
    assert (runs, shown(simulator)) == (["x" * 500], ("noted", False))


async def test_another_client_that_has_the_same_tool_does_not_run_it(
    relay: Relay, simulator: Simulator
) -> None:
    simulator.program(step("who"), OK)
    async with connect(relay.url) as one, connect(relay.url) as two:
        ran: list[str] = []
        seen = asyncio.Event()
        for name, wire in (("one", one), ("two", two)):

            async def who(name: str = name) -> str:
                """Who?"""
                ran.append(name)
                await seen.wait()
                return name

            wire.tool(who)

        async def follow() -> None:
            async for event in two.conversation(chat.id).follow():
                if isinstance(event, ToolExecuting):
                    seen.set()

        chat = one.conversation()
        turn = await chat.send("hi")
        following = asyncio.create_task(follow())
        await turn
        following.cancel()
    assert ran == ["one"]


async def test_cancelling_the_turn_cancels_the_function(relay: Relay, simulator: Simulator) -> None:
    simulator.program(step("hold"))
    entered, left = asyncio.Event(), asyncio.Event()
    async with connect(relay.url) as wire:

        @wire.tool
        async def hold() -> str:
            """Hold."""
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                left.set()
            return ""

        turn = await wire.conversation().send("hi")
        await entered.wait()
        await turn.cancel()
        await left.wait()
        assert (await turn).stop_reason == "cancelled"


async def test_a_tool_without_a_function_is_answered_by_hand(
    relay: Relay, simulator: Simulator
) -> None:
    simulator.program(step("ask", {"question": "Which?"}), OK)
    schema = {"type": "object", "properties": {"question": {"type": "string"}}}
    ask = ClientTool(name="ask", description="Ask the user.", input_schema=schema)
    async with connect(relay.url) as wire:
        chat = wire.conversation()
        turn = await chat.send("hi", client_tools=[ask])
        call = await until(turn, ToolExecuting)
        assert (call.runner, call.input) == (chat.runner, {"question": "Which?"})
        await chat.tool_output(call.tool_id, "The red one")
        await turn
        with pytest.raises(Rejected):
            await chat.tool_output(call.tool_id, "No, the blue one")
    assert shown(simulator) == ("The red one", False)


async def test_an_approval_is_given_with_another_input(relay: Relay, simulator: Simulator) -> None:
    simulator.program(step("erase", {"path": "a"}), OK)
    async with connect(relay.url) as wire:
        chat = wire.conversation()
        turn = await chat.send("hi")
        approval = await until(turn, ToolApproval)
        with pytest.raises(Rejected) as rejected:
            await chat.decide(approval.tool_id, allow=True, input={"path": 7})
        assert rejected.value.code == "bad_command"
        await chat.decide(approval.tool_id, allow=True, input={"path": "b"})
        await turn
    content, is_error = shown(simulator)
    assert (content.endswith("erased b"), is_error) == (True, False)


async def test_an_approval_is_denied_with_a_reason(relay: Relay, simulator: Simulator) -> None:
    simulator.program(step("erase", {"path": "a"}), OK)
    async with connect(relay.url) as wire, connect(relay.url) as other:
        chat = wire.conversation()
        turn = await chat.send("hi")
        approval = await until(turn, ToolApproval)
        await other.conversation(chat.id).decide(
            approval.tool_id, allow=False, reason="not mine to allow"
        )
        await turn
    content, is_error = shown(simulator)
    assert ("not mine to allow" in content, is_error) == (True, True)


async def test_where_there_is_no_conversation_there_is_nothing_to_decide(relay: Relay) -> None:
    async with connect(relay.url) as wire:
        with pytest.raises(BadArgument):
            await wire.conversation().decide("toolu_1", allow=True)


def takes_anything(*things: int) -> str:
    """Whatever."""
    return ""


def takes_a_thread(thread: threading.Thread) -> str:
    """Whatever."""
    return ""


@pytest.mark.parametrize("function", [takes_anything, takes_a_thread, lambda: ""])
async def test_a_function_that_cannot_be_a_tool_is_refused_at_once(function: Any) -> None:
    with pytest.raises(BadArgument):
        connect("http://127.0.0.1:9").tool(function)


async def test_two_tools_of_one_name_are_refused() -> None:
    wire = connect("http://127.0.0.1:9")

    def twice() -> str:
        """Twice."""
        return ""

    wire.tool(twice)
    with pytest.raises(BadArgument):
        wire.tool(twice)


# What a server may send


def executing(command: dict[str, Any], *, seq: int, tool_id: str = "u1") -> dict[str, Any]:
    return {
        "type": "tool_executing",
        "conversation": CONVERSATION,
        "turn": "t_1",
        "seq": seq,
        "at": AT,
        "tool_id": tool_id,
        "tool_name": "note",
        "input": {},
        "runs_on": "client",
        "runner": command["runner"],
    }


def result(*, seq: int, tool_id: str = "u1") -> dict[str, Any]:
    return {
        "type": "tool_result",
        "conversation": CONVERSATION,
        "turn": "t_1",
        "seq": seq,
        "at": AT,
        "tool_id": tool_id,
        "content": "",
        "is_error": True,
        "duration_ms": 1,
    }


async def begun(server: ScriptedServer) -> tuple[Peer, dict[str, Any]]:
    """The connection on which a message was taken, and the message."""
    peer = await server.peer()
    command = await peer.receive("send")
    await peer.ack_send(command)
    await peer.send(*answer()[:3])
    return peer, command


async def test_a_call_that_is_over_when_it_is_read_does_not_run(server: ScriptedServer) -> None:
    ran: list[str] = []
    async with connect(server.url, backoff=AT_ONCE) as wire:
        wire.tool(name="note")(lambda: ran.append("note"))
        sending = asyncio.create_task(wire.conversation().send("hi"))
        peer, command = await begun(server)
        turn = await sending
        peer.drop()
        peer = await server.peer()
        subscribe = await peer.receive("subscribe")
        await peer.ack_subscribe(subscribe, head=6)
        after = subscribe.get("after", 0)
        await peer.send(*[frame for frame in answer()[:3] if frame["seq"] > after])
        await peer.send(executing(command, seq=4))
        await until(turn, ToolExecuting)
        # Were it begun now, it would be running by the time a thread has been there and back.
        await asyncio.to_thread(ran.copy)
        await peer.send(result(seq=5), executing(command, seq=6, tool_id="u2"))
        output = await peer.receive("tool_output")
        await peer.ack(output)
    assert (output["tool_id"], ran) == ("u2", ["note"])


async def test_a_call_that_a_reset_shows_again_does_not_run_again(server: ScriptedServer) -> None:
    ran: list[str] = []
    async with connect(server.url, backoff=AT_ONCE) as wire:
        wire.tool(name="note")(lambda: ran.append("note"))
        sending = asyncio.create_task(wire.conversation().send("hi"))
        peer, command = await begun(server)
        turn = await sending
        await peer.send(executing(command, seq=4))
        first = await peer.receive("tool_output")
        peer.drop()
        # Unacknowledged, the output is said again; the log is another one, with the same call.
        peer = await server.peer()
        await peer.ack(await peer.receive("subscribe"), head=5, epoch="e2", after=0)
        again = await peer.receive("tool_output")
        await peer.send(*answer()[:3], executing(command, seq=4))
        await peer.send(executing(command, seq=5, tool_id="u2"))
        other = await peer.receive("tool_output")
        for output in (again, other):
            await peer.ack(output)
        assert turn.id == "t_1"
    assert (first["tool_id"], again, other["tool_id"]) == ("u1", first, "u2")
    assert ran == ["note", "note"]

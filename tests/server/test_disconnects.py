"""Connections lost while a tool waits or runs: at most once, and whoever comes back finds it."""

import asyncio
from typing import Any

import pytest

from tests.kit.chat import MODEL, of_type
from tests.kit.oracle import check_log
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import Wire, wired
from turnwire_protocol import Done, ToolExecuting, ToolResult
from turnwire_server import tool
from turnwire_simulator import Answer, Simulator, Text, ToolUse

RAN: list[str] = []
OK = Answer(Text("Ok."))
TITLE = {"name": "page_title", "description": "", "input_schema": {"type": "object"}}
OFFER: dict[str, Any] = {"client_tools": [TITLE], "runner": "r_1"}


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    RAN.clear()


@tool(approval=True)
def erase(path: str) -> str:
    """Erase a file."""
    RAN.append(path)
    return f"erased {path}"


def calling(name: str, **input: Any) -> Answer:
    return Answer(ToolUse(name, input, id="toolu_1"), stop_reason="tool_use")


async def resumed(wire: Wire, before: Wire) -> str:
    """Goes on where `before` stood; returns the conversation."""
    last = before.events[-1]
    await wire.ask("subscribe", conversation=last.conversation, after=last.seq, runner="r_1")
    return last.conversation


async def over(wire: Wire) -> None:
    """The turn has ended; its end may have come before some reply."""
    if not of_type(wire, Done):
        await wire.until("done")


async def test_a_servers_tool_runs_on_once_while_nobody_is_there(simulator: Simulator) -> None:
    entered, may_end = asyncio.Event(), asyncio.Event()

    @tool
    async def hold() -> str:
        """Hold."""
        RAN.append("hold")
        entered.set()
        await may_end.wait()
        return "held"

    simulator.program(calling("hold"), OK)
    async with serving(turnwire_over(simulator, model=MODEL, tools=[hold])) as address:
        async with wired(address) as before:
            await before.send("send", content="hold")
            await before.until("tool_executing")
            await entered.wait()
        async with wired(address) as after:
            await resumed(after, before)
            may_end.set()
            assert (await after.until("done"))["stop_reason"] == "end_turn"
    (result,) = of_type(after, ToolResult)
    assert (result.content, RAN) == ("held", ["hold"])
    check_log([*before.events, *after.events])


async def test_an_approval_outlives_every_connection_and_its_call_runs_once(
    simulator: Simulator,
) -> None:
    simulator.program(calling("erase", path="a"), OK)
    async with serving(turnwire_over(simulator, model=MODEL, tools=[erase])) as address:
        async with wired(address) as before:
            await before.send("send", content="erase a")
            approval = await before.until("tool_approval")
            # The decision is said and its connection lost at once: whether it was heard is unknown.
            call = {name: approval[name] for name in ("conversation", "tool_id")}
            await before.send("decide", **call, decision="allow")
        async with wired(address) as after:
            await after.ask("subscribe", conversation=call["conversation"])
            assert await after.until("tool_approval") == approval
            again = await after.ask("decide", **call, decision="allow")
            await over(after)
    assert again["type"] == "ack" or again["code"] in ("already_decided", "unknown_tool_call")
    assert RAN == ["a"]
    assert len(of_type(after, ToolExecuting)) == 1
    check_log(after.events)


async def test_an_output_said_again_on_a_new_connection_counts_once(simulator: Simulator) -> None:
    simulator.program(calling("page_title"), OK)
    turnwire = turnwire_over(simulator, model=MODEL, detach_grace=30.0)
    async with serving(turnwire) as address:
        async with wired(address) as before:
            await before.send("send", content="hi", **OFFER)
            executing = await before.until("tool_executing")
            call = {name: executing[name] for name in ("conversation", "tool_id", "runner")}
            await before.send("tool_output", **call, content="Turnwire")
        async with wired(address) as after:
            await resumed(after, before)
            again = await after.ask("tool_output", **call, content="Turnwire")
            await over(after)
    assert again["type"] == "ack" or again["code"] in ("already_decided", "unknown_tool_call")
    (result,) = of_type(after, ToolResult)
    assert (result.content, result.is_error) == ("Turnwire", False)
    check_log([*before.events, *after.events])

"""Turns whose tools do what tools should not: they go on, and so does the next one."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kit.chat import ended, of_type, talking
from turnwire_protocol import ToolApproval, ToolResult
from turnwire_server import tool
from turnwire_simulator import Answer, Simulator, Text, ToolUse

CALL = Answer(ToolUse("it", {}), stop_reason="tool_use")
OK = Answer(Text("Ok."))


class Panic(BaseException):
    """As pyo3 raises when Rust code panics: no `Exception`."""

    def __str__(self) -> str:
        raise self


def panics() -> str:
    """Panics."""
    raise Panic


async def panics_later() -> str:
    """Panics."""
    raise Panic


async def exits() -> str:
    """Ends the process, it thinks."""
    raise SystemExit(3)


@pytest.mark.parametrize("function", [panics, panics_later, exits])
async def test_a_tool_that_raises_what_is_no_exception_fails_and_the_turn_goes_on(
    simulator: Simulator, function: Callable[[], Any]
) -> None:
    it = tool(name="it")(function)
    async with talking(simulator, CALL, OK, OK, tools=[it]) as wire:
        assert (await ended(wire))["stop_reason"] == "end_turn"
        (result,) = of_type(wire, ToolResult)
        assert result.is_error
        assert (await ended(wire))["stop_reason"] == "end_turn"


@pytest.fixture
def release() -> Iterator[threading.Event]:
    """What lets a function go on that blocks; at the end it is set."""
    release = threading.Event()
    yield release
    release.set()


async def test_a_tool_that_never_returns_fails_in_time_and_the_turn_goes_on(
    simulator: Simulator, release: threading.Event
) -> None:
    @tool
    def it() -> bool:
        """Never returns."""
        return release.wait()

    async with talking(simulator, CALL, OK, OK, tools=[it], tool_timeout=0.01) as wire:
        assert (await ended(wire))["stop_reason"] == "end_turn"
        (result,) = of_type(wire, ToolResult)
        assert (result.is_error, "within 0.01" in str(result.content)) == (True, True)
        assert (await ended(wire))["stop_reason"] == "end_turn"


async def test_a_policy_that_panics_asks_and_holds_nobody_up(simulator: Simulator) -> None:
    def policy(input: dict[str, Any]) -> bool:
        raise Panic

    @tool(approval=policy)
    def it() -> str:
        """Is allowed."""
        return "done"

    async with talking(simulator, CALL, OK, tools=[it]) as wire:
        ack = await wire.ask("send", content="hi")
        approval = await wire.until("tool_approval")
        where = {"conversation": ack["conversation"], "tool_id": approval["tool_id"]}
        await wire.ask("decide", **where, decision="allow")
        assert (await wire.until("done"))["stop_reason"] == "end_turn"
    assert len(of_type(wire, ToolApproval)) == 1
    assert [result.content for result in of_type(wire, ToolResult)] == ["done"]

"""The agent loop, seen from a WebSocket: order of events, tools, options, usage."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from anthropic import beta_async_tool, beta_tool

from tests.kit.chat import ended, of_type, talking
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.wire import Wire
from turnwire_protocol import (
    Event,
    Thinking,
    Token,
    ToolInput,
    ToolProgress,
    ToolResult,
    ToolStart,
    merge,
)
from turnwire_server.tools.define import tool
from turnwire_server.tools.port import ToolContext
from turnwire_simulator import (
    Answer,
    ProviderTool,
    RedactedThinking,
    Simulator,
    Text,
    ToolUse,
    Unknown,
)
from turnwire_simulator import Thinking as Thought


def told(events: list[Event]) -> list[str]:
    """Every event in a few words, deltas merged: the order of a turn at a glance."""
    return [_told(event) for event in merge(events)]


def _told(event: Event) -> str:
    match event:
        case Token() | Thinking():
            return f"{event.type} {event.block} {event.text}"
        case ToolInput():
            return f"{event.type} {event.block} {event.partial_json}"
        case ToolStart():
            return f"{event.type} {event.block} {event.tool_name} {event.runs_on}"
    words = (event.type, getattr(event, "block", None), getattr(event, "tool_id", None))
    return " ".join(str(word) for word in words if word is not None)


def results(wire: Wire) -> list[tuple[str, Any, bool]]:
    """(tool_id, content, is_error) of the tool results, as readers saw them."""
    return [(event.tool_id, event.content, event.is_error) for event in of_type(wire, ToolResult)]


def shown_results(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The tool results in the last message of a request, as the model was shown them."""
    return [
        {name: value for name, value in block.items() if name != "cache_control"}
        for block in body["messages"][-1]["content"]
        if block["type"] == "tool_result"
    ]


def calling(*calls: ToolUse) -> Answer:
    return Answer(*calls, stop_reason="tool_use")


OPENING = ["message", "start", "step", "usage"]
CLOSING = ["usage", "done"]


async def test_thinking_and_text_stream_in_blocks(simulator: Simulator) -> None:
    answer = Answer(Thought(["Hm", "."]), RedactedThinking(), Text(["Hel", "lo"]), Unknown())
    async with talking(simulator, answer) as wire:
        assert (await ended(wire))["stop_reason"] == "end_turn"
    assert told(wire.events) == [
        *OPENING,
        "thinking 0 Hm.",
        "block_stop 0",
        "block_stop 1",
        "token 2 Hello",
        "block_stop 2",
        "block_stop 3",
        *CLOSING,
    ]


async def test_a_tool_runs_after_its_step_and_the_next_step_sees_its_result(
    simulator: Simulator,
) -> None:
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    call = ToolUse("add", {"a": 1, "b": 2}, id="toolu_1")
    answers = (Answer(Text("Let me."), call, stop_reason="tool_use"), Answer(Text("It is 3.")))
    async with talking(simulator, *answers, tools=[add]) as wire:
        done = await ended(wire)
    assert told(wire.events) == [
        *OPENING,
        "token 0 Let me.",
        "block_stop 0",
        "tool_start 1 add server",
        'tool_input 1 {"a": 1, "b": 2}',
        "block_stop 1",
        "usage",
        "tool_executing toolu_1",
        "tool_result toolu_1",
        "step",
        "usage",
        "token 2 It is 3.",
        "block_stop 2",
        *CLOSING,
    ]
    assert (done["stop_reason"], done["steps"]) == ("end_turn", 2)
    assert shown_results(simulator.requests[1]) == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "3"}
    ]


@pytest.mark.parametrize("is_async", [True, False])
async def test_two_tools_of_a_step_run_at_the_same_time(
    simulator: Simulator, is_async: bool
) -> None:
    here, there = asyncio.Barrier(2), threading.Barrier(2)

    async def meet() -> str:
        """Meet."""
        async with patience():
            await here.wait()
        return "met"

    def meet_in_threads() -> str:
        """Meet."""
        there.wait(PATIENCE_SECONDS)
        return "met"

    made = tool(name="meet")(meet if is_async else meet_in_threads)
    calls = [ToolUse("meet", {}, id=f"toolu_{n}") for n in (1, 2)]
    async with talking(simulator, calling(*calls), Answer(Text("Ok.")), tools=[made]) as wire:
        await ended(wire)
    assert sorted(results(wire)) == [("toolu_1", "met", False), ("toolu_2", "met", False)]
    kinds = [event.type for event in wire.events if event.type.startswith("tool_")]
    assert kinds[-4:] == ["tool_executing", "tool_executing", "tool_result", "tool_result"]


def plain(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


async def plain_async(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


WAYS: dict[str, Callable[[], object]] = {
    "function": lambda: plain,
    "async function": lambda: plain_async,
    "@tool": lambda: tool(plain),
    "@tool async": lambda: tool(plain_async),
    "beta_tool": lambda: beta_tool(plain),
    "beta_async_tool": lambda: beta_async_tool(plain_async),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_tools_can_be_written_in_every_way(
    simulator: Simulator, way: Callable[[], Any]
) -> None:
    made = way()
    name = getattr(made, "name", None) or made.__name__
    call = ToolUse(name, {"city": "Rome"}, id="toolu_1")
    async with talking(simulator, calling(call), Answer(Text("Ok.")), tools=[made]) as wire:
        await ended(wire)
    assert results(wire) == [("toolu_1", "sunny in Rome", False)]


async def test_the_context_is_filled_in_and_progress_is_shown(simulator: Simulator) -> None:
    contexts: list[ToolContext] = []

    def work(context: ToolContext, n: int) -> str:
        """Work."""
        contexts.append(context)
        context.progress("begun", 5.0)
        return "x" * n

    call = ToolUse("work", {"n": 2}, id="toolu_1")
    async with talking(simulator, calling(call), Answer(Text("Ok.")), tools=[work]) as wire:
        done = await ended(wire)
    [context] = contexts
    assert (context.principal, context.conversation, context.turn, context.tool_id) == (
        "local",
        done["conversation"],
        done["turn"],
        "toolu_1",
    )
    assert list(simulator.requests[0]["tools"][0]["input_schema"]["properties"]) == ["n"]
    [progress] = of_type(wire, ToolProgress)
    assert (progress.message, progress.fraction) == ("begun", 1.0)
    assert results(wire) == [("toolu_1", "xx", False)]


async def test_progress_that_is_no_text_or_no_number_does_not_disturb_the_turn(
    simulator: Simulator,
) -> None:
    async def work(context: ToolContext) -> str:
        """Work."""
        context.progress({"half": "\ud83d"}, float("nan"))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        return "ok"

    call = ToolUse("work", {}, id="toolu_1")
    async with talking(simulator, calling(call), Answer(Text("Ok.")), tools=[work]) as wire:
        done = await ended(wire)
    [progress] = of_type(wire, ToolProgress)
    assert (progress.message, progress.fraction) == ("{'half': '\\ud83d'}", None)
    assert done["stop_reason"] == "end_turn"


def strict(n: int) -> str:
    """Count.

    Args:
        n: How many.
    """
    if n < 0:
        raise ValueError("n is negative")
    return "x" * n


@tool(timeout_seconds=0.01)
async def slow() -> str:
    """Never ends."""
    await asyncio.Event().wait()
    return ""


BAD_CALLS: dict[str, tuple[ToolUse, str]] = {
    "an exception": (ToolUse("strict", {"n": -1}, id="toolu_1"), "ValueError: n is negative"),
    "an unknown tool": (ToolUse("nothing", {}, id="toolu_1"), "There is no tool 'nothing'."),
    "a wrong type": (
        ToolUse("strict", {"n": "x"}, id="toolu_1"),
        "Invalid input at $.n: 'x' is not of type 'integer'",
    ),
    "no object": (
        ToolUse("strict", {}, id="toolu_1", deltas=["[1]"]),
        "The input was not a JSON object.",
    ),
    "broken JSON": (
        ToolUse("strict", {}, id="toolu_1", deltas=['{"n": ']),
        "The input was not a JSON object.",
    ),
    "a number out of range": (
        ToolUse("strict", {}, id="toolu_1", deltas=['{"n": 1e999}']),
        "The input was not a JSON object.",
    ),
    "out of time": (
        ToolUse("slow", {}, id="toolu_1"),
        "The tool did not finish within 0.01 seconds.",
    ),
}


@pytest.mark.parametrize(("call", "text"), BAD_CALLS.values(), ids=BAD_CALLS)
async def test_a_call_that_fails_is_told_to_the_model_which_goes_on(
    simulator: Simulator, call: ToolUse, text: str
) -> None:
    answers = (calling(call), Answer(Text("Sorry.")))
    async with talking(simulator, *answers, tools=[strict, slow]) as wire:
        done = await ended(wire)
    assert done["stop_reason"] == "end_turn"
    assert results(wire) == [("toolu_1", text, True)]
    shown = {"type": "tool_result", "tool_use_id": "toolu_1", "content": text, "is_error": True}
    assert shown_results(simulator.requests[1]) == [shown]


async def test_a_providers_tool_is_shown_and_goes_back_with_the_next_message(
    simulator: Simulator,
) -> None:
    found = [
        {
            "type": "web_search_result",
            "title": "Rome",
            "url": "https://rome.example",
            "encrypted_content": "e",
        }
    ]
    answer = Answer(ProviderTool("web_search", {"q": "x"}, found), Text("Rome."))
    async with talking(simulator, answer, Answer(Text("Bye."))) as wire:
        done = await ended(wire)
        await ended(wire, conversation=done["conversation"])
    [(_, content, is_error)] = results(wire)
    assert (content, is_error) == ("Rome https://rome.example", False)
    kinds = [block["type"] for block in simulator.requests[1]["messages"][1]["content"]]
    assert kinds == ["server_tool_use", "web_search_tool_result", "text"]


async def test_a_paused_answer_goes_on_in_the_next_step(simulator: Simulator) -> None:
    paused = Answer(Text("Wait."), ProviderTool("web_search", {}, None), stop_reason="pause_turn")
    async with talking(simulator, paused, Answer(Text("Done."))) as wire:
        done = await ended(wire)
    assert (done["stop_reason"], done["steps"]) == ("end_turn", 2)
    assert simulator.requests[1]["messages"][-1]["role"] == "assistant"


@pytest.mark.parametrize("stop_reason", ["max_tokens", "refusal", "model_context_window_exceeded"])
async def test_the_models_stop_reason_is_the_turns_and_a_call_cut_off_does_not_run(
    simulator: Simulator, stop_reason: str
) -> None:
    calls: list[int] = []

    def run() -> None:
        """Run."""
        calls.append(1)

    cut = Answer(Text("I"), ToolUse("run", {}, id="toolu_1"), stop_reason=stop_reason)
    async with talking(simulator, cut, Answer(Text("Ok.")), tools=[run]) as wire:
        done = await ended(wire)
        following = await ended(wire, "Next", conversation=done["conversation"])
    assert (done["stop_reason"], following["stop_reason"]) == (stop_reason, "end_turn")
    assert results(wire) == [("toolu_1", "Not run: the answer was cut off.", True)]
    assert calls == []
    if stop_reason == "refusal":
        assert len(simulator.requests[1]["messages"]) == 1


async def test_a_turn_ends_at_its_limit_of_steps_and_the_next_one_works(
    simulator: Simulator,
) -> None:
    answers = [calling(ToolUse("plain", {"city": "Rome"}, id=f"toolu_{n}")) for n in (1, 2)]
    async with talking(
        simulator, *answers, Answer(Text("Ok.")), tools=[plain], max_steps=2
    ) as wire:
        done = await ended(wire)
        following = await ended(wire, conversation=done["conversation"])
    assert (done["stop_reason"], done["steps"]) == ("max_steps", 2)
    assert results(wire) == [
        ("toolu_1", "sunny in Rome", False),
        ("toolu_2", "Not run: the turn had reached its limit of steps.", True),
    ]
    assert following["stop_reason"] == "end_turn"

"""Another system prompt, other tools, another client: the conversation goes on, at one request."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.kit.chat import MODEL, ended, of_type
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import Wire, wired
from turnwire_protocol import Retry, ToolResult, ToolStart
from turnwire_simulator import Answer, Fault, Simulator, Text, Thinking, ToolUse

BOUND = (
    "messages.1.content.0: this `thinking` block cannot be used here. The block is bound to a "
    "different conversation: system, tools and all earlier messages must be unchanged."
)


async def note(n: int) -> str:
    """Note a number."""
    return f"noted {n}"


async def count() -> str:
    """Count."""
    return "1"


def calling(tool_id: str = "toolu_1", name: str = "note") -> Answer:
    call = ToolUse(name, {"n": 1}, id=tool_id)
    return Answer(Thinking(["Hm", "."]), call, stop_reason="tool_use")


def thoughtful() -> Answer:
    return Answer(Thinking("I see."), Text("Yes."))


@asynccontextmanager
async def service(simulator: Simulator, db: str, **settings: Any) -> AsyncIterator[Wire]:
    """A process of its own, as far as the conversation can tell."""
    turnwire = turnwire_over(simulator, db=db, **{"model": MODEL, **settings})
    async with serving(turnwire) as address, wired(address) as wire:
        yield wire


async def ask(wire: Wire, simulator: Simulator, *answers: Answer | Fault, **fields: Any) -> str:
    """Ask once more; gives the conversation. Every request must have been taken."""
    simulator.program(*answers)
    asked = len(simulator.requests)
    done = await ended(wire, "Go on", **fields)
    assert (done["stop_reason"], len(simulator.requests) - asked) == ("end_turn", len(answers))
    conversation: str = done["conversation"]
    return conversation


def thoughts(simulator: Simulator) -> int:
    """How many thinking blocks the last request showed."""
    messages = simulator.requests[-1]["messages"]
    blocks = [block for message in messages for block in message["content"]]
    return sum(isinstance(block, dict) and block["type"] == "thinking" for block in blocks)


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "another system prompt": (
        {"system": "One.", "tools": [note]},
        {"system": "Two.", "tools": [note]},
    ),
    "one more tool": ({"tools": [note]}, {"tools": [note, count]}),
    "one tool less": ({"tools": [note, count]}, {"tools": [note]}),
    "no tools any more": ({"tools": [note]}, {"tools": []}),
    "all of it": ({"system": "One.", "tools": [note]}, {"system": "Two.", "tools": [count]}),
}


@pytest.mark.parametrize(("before", "after"), CHANGES.values(), ids=CHANGES)
async def test_a_thinking_conversation_goes_on_after_a_restart_with_other_settings(
    simulator: Simulator, db: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    async with service(simulator, db, **before) as wire:
        conversation = await ask(wire, simulator, calling(), thoughtful())
        await ask(wire, simulator, thoughtful(), conversation=conversation)
        assert thoughts(simulator) == 2, "kept while nothing changes"
    async with service(simulator, db, **after) as wire:
        await ask(wire, simulator, thoughtful(), conversation=conversation)
        assert thoughts(simulator) == 0
        await ask(wire, simulator, thoughtful(), conversation=conversation)
        assert thoughts(simulator) == 1, "the new thinking belongs to the new settings"
    async with service(simulator, db, **before) as wire:
        await ask(wire, simulator, thoughtful(), conversation=conversation)


async def test_a_second_client_with_its_own_tools_and_options_ends_no_conversation(
    simulator: Simulator, db: str
) -> None:
    options = {"client_options": ["model", "system", "tools"], "tools": [note, count]}
    async with service(simulator, db, **options) as wire:
        conversation = await ask(wire, simulator, calling(), thoughtful())
        mine = {
            "client_tools": [
                {"name": "look", "description": "Look.", "input_schema": {"type": "object"}}
            ],
            "runner": "r",
        }
        changes: list[dict[str, Any]] = [
            mine,
            {"tools": []},
            {"tools": ["count"]},
            {"system": "Other."},
            {},
        ]
        for fields in changes:
            await ask(wire, simulator, thoughtful(), conversation=conversation, **fields)


async def test_with_no_tools_those_of_the_history_are_named_and_may_not_be_called(
    simulator: Simulator, db: str
) -> None:
    async with service(simulator, db, tools=[note]) as wire:
        conversation = await ask(wire, simulator, calling(), thoughtful())
        await ask(wire, simulator, thoughtful(), conversation=conversation, tools=[])
    body = simulator.requests[-1]
    assert [tool["name"] for tool in body["tools"]] == ["note"]
    assert body["tool_choice"] == {"type": "none"}


async def test_thinking_that_the_provider_refuses_is_dropped_and_asked_without_once(
    simulator: Simulator, db: str
) -> None:
    async with service(simulator, db, retries=0) as wire:
        conversation = await ask(wire, simulator, thoughtful())
        refusal = Fault(400, "invalid_request_error", BOUND)
        await ask(wire, simulator, refusal, thoughtful(), conversation=conversation)
        assert thoughts(simulator) == 0
        [retry] = of_type(wire, Retry)
        assert (retry.code, retry.delay_seconds) == ("invalid_request", 0)
    async with service(simulator, db) as wire:
        await ask(wire, simulator, thoughtful(), conversation=conversation)
        assert thoughts(simulator) == 1, "what was refused stays out after a restart, too"


async def test_thinking_that_is_refused_even_without_any_fails_the_turn(
    simulator: Simulator, db: str
) -> None:
    async with service(simulator, db) as wire:
        conversation = await ask(wire, simulator, thoughtful())
        refusal = Fault(400, "invalid_request_error", BOUND)
        simulator.program(refusal, refusal)
        done = await ended(wire, "Go on", conversation=conversation)
        assert done["stop_reason"] == "failed"
        await ask(wire, simulator, thoughtful(), conversation=conversation)


async def test_an_id_that_comes_again_is_another_call_with_its_own_result(
    simulator: Simulator, db: str
) -> None:
    twice = Answer(
        ToolUse("note", {"n": 1}, id="call_0"),
        ToolUse("note", {"n": 2}, id="call_0"),
        stop_reason="tool_use",
    )
    again = Answer(ToolUse("note", {"n": 3}, id="call_0"), stop_reason="tool_use")
    empty = Answer(ToolUse("note", {"n": 4}, id="no id!"), stop_reason="tool_use")
    async with service(simulator, db, tools=[note]) as wire:
        conversation = await ask(wire, simulator, twice, again, empty, thoughtful())
        await ask(wire, simulator, again, thoughtful(), conversation=conversation)
        results = {event.tool_id: event.content for event in of_type(wire, ToolResult)}
        assert list(results.values()) == ["noted 1", "noted 2", "noted 3", "noted 4", "noted 3"]
        assert [event.tool_id for event in of_type(wire, ToolStart)] == list(results)
    async with service(simulator, db, tools=[note]) as wire:
        await ask(wire, simulator, again, thoughtful(), conversation=conversation)
        [start] = of_type(wire, ToolStart)
        assert start.tool_id not in results, "after a restart, too"


async def test_a_name_that_is_none_is_shown_as_it_is_and_does_no_harm(
    simulator: Simulator, db: str
) -> None:
    invented = Answer(ToolUse('echo" />', {}, id="toolu_1"), stop_reason="tool_use")
    async with service(simulator, db, tools=[note]) as wire:
        conversation = await ask(wire, simulator, invented, thoughtful())
        [start], [result] = of_type(wire, ToolStart), of_type(wire, ToolResult)
        assert (start.tool_name, result.is_error) == ('echo" />', True)
        await ask(wire, simulator, thoughtful(), conversation=conversation)

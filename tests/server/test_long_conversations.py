"""A conversation goes on for ever: before the window is full, what is older is summarised."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.kit.chat import MODEL, ended, of_type
from tests.kit.oracle import check_log
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import Wire, wired
from turnwire_protocol import Compaction, Retry, Step, Usage
from turnwire_simulator import Answer, Simulator, Text, Thinking, ToolUse
from turnwire_simulator.prompt_cache import tokens_of

WINDOW = 4000
ON_DEMAND = {MODEL: {"window": WINDOW, "compaction": "on_demand"}}
SYSTEM = "You are asked for numbers. " * 20
LIMITS = {"max_commands_per_second": 10_000}
WORDS = "ten words that are said again and again and again "


async def note(n: int) -> str:
    """Note a number."""
    return f"noted {n}. {WORDS * 3}"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(windows={MODEL: WINDOW}) as simulator:
        yield simulator
        assert not simulator.rejections


@asynccontextmanager
async def service(simulator: Simulator, **settings: Any) -> AsyncIterator[Wire]:
    usual = {
        "model": MODEL,
        "model_options": ON_DEMAND,
        "system": SYSTEM,
        "base_delay": 0.001,
        "limits": LIMITS,
    }
    turnwire = turnwire_over(simulator, **{**usual, **settings})
    async with serving(turnwire) as address, wired(address) as wire:
        yield wire


def plain(body: dict[str, Any]) -> Answer:
    return Answer(Text(f"{len(body['messages'])} messages. {WORDS}"))


def thinking(body: dict[str, Any]) -> Answer:
    words = f"I count {len(body['messages'])} messages."
    return Answer(Thinking(f"{words} {WORDS}"), Text(words))


def agent(body: dict[str, Any]) -> Answer:
    """Thinks, calls a tool three times, and answers."""
    content = body["messages"][-1]["content"]
    results = [block for block in content if block["type"] == "tool_result"]
    thought, said = Thinking(f"Step of {len(body['messages'])}."), Text("Let me see.")
    noted = len(body["messages"]) if results else 0
    if results and noted % 3 == 0:
        return Answer(thought, said)
    return Answer(thought, said, ToolUse("note", {"n": noted}), stop_reason="tool_use")


KINDS: dict[str, tuple[Callable[[dict[str, Any]], Answer], int, dict[str, Any]]] = {
    "text": (plain, 300, {}),
    "thinking": (thinking, 150, {"thinking": {"type": "adaptive"}}),
    "tools and thinking": (agent, 60, {"thinking": {"type": "adaptive"}, "tools": [note]}),
}


def summaries(wire: Wire) -> list[tuple[Step, Usage]]:
    """The calls that only summarised, with their last counts."""
    counts = {(usage.turn, usage.step): usage for usage in of_type(wire, Usage)}
    steps = (step for step in of_type(wire, Step) if step.compacts)
    return [(step, counts[step.turn, step.step]) for step in steps]


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "turns", "settings"), KINDS.values(), ids=KINDS)
async def test_no_send_fails_however_long_it_goes_on(
    simulator: Simulator,
    answer: Callable[[dict[str, Any]], Answer],
    turns: int,
    settings: dict[str, Any],
) -> None:
    simulator.answer_with(answer)
    async with service(simulator, **settings) as wire:
        fields: dict[str, str] = {}
        for number in range(turns):
            done = await ended(wire, f"Number {number}. {WORDS}", **fields)
            assert done["stop_reason"] == "end_turn"
            fields = {"conversation": done["conversation"]}
        check_log(wire.events)
        assert not of_type(wire, Retry)
        made = of_type(wire, Compaction)
        assert len(made) >= 3
        for step, usage in summaries(wire):
            # It is made of what the request before has shown, but for the end, which changes.
            assert usage.cache_read_input_tokens > 9 * usage.input_tokens, step
            assert usage.context_tokens is None
        shown = [usage.context_tokens or 0 for usage in of_type(wire, Usage)]
        assert max(shown) <= WINDOW
    thoughts = answer is not plain
    for body in simulator.requests:
        assert tokens_of(body) <= WINDOW
        blocks = [b for m in body["messages"] for b in m["content"] if isinstance(b, dict)]
        if blocks[0]["type"] == "compaction" and "compaction" not in body:
            # What was thought last is valid behind the summary, and goes on.
            assert any(block["type"] == "thinking" for block in blocks) == thoughts

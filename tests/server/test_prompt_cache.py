"""What the provider's cache reads and writes, turn by turn, counted by the API's own rules."""

import pytest

from tests.kit.chat import ended, of_type, talking
from tests.kit.wire import Wire
from tests.server.test_reasons import OK, note
from turnwire_protocol import Usage
from turnwire_simulator import Answer, Simulator, Text, ToolUse

CALLS = 12


def calling(step: int) -> Answer:
    """A step with more blocks than the cache looks back: each call and each result is one."""
    calls = [ToolUse("note", {"n": n}, id=f"toolu_{step}_{n}") for n in range(CALLS)]
    return Answer(Text("Let me."), *calls, stop_reason="tool_use")


def counts(wire: Wire) -> list[tuple[int, int, int]]:
    """Of each request: tokens read from the cache, written to it, and beside it."""
    first = {(usage.turn, usage.step): usage for usage in reversed(of_type(wire, Usage))}
    return [
        (usage.cache_read_input_tokens, usage.cache_creation_input_tokens, usage.input_tokens)
        for usage in reversed(first.values())
    ]


async def test_steps_with_many_parallel_calls_read_all_that_was_written_before(
    simulator: Simulator,
) -> None:
    steps = [calling(step) for step in range(3)]
    async with talking(simulator, *steps, OK, OK, tools=[note], system="Be kind. " * 50) as wire:
        first = await ended(wire)
        await ended(wire, "And?", conversation=first["conversation"])
        seen = counts(wire)
    assert len(seen) == 5
    assert seen[0][0] == 0
    known = 0
    for read, written, beside in seen:
        # All of what was written is read, and only what is new is written.
        assert abs(read - known) <= 1
        assert beside == 1
        known = read + written
    # What is new in a step are its calls and their results, whatever was before.
    assert seen[3][1] < 1.2 * seen[1][1]


@pytest.mark.parametrize("ttl", ["5m", "1h"])
async def test_the_cache_is_kept_as_long_as_the_operator_says(
    simulator: Simulator, ttl: str
) -> None:
    async with talking(simulator, OK, system="Be kind.", tools=[note], cache_ttl=ttl) as wire:
        await ended(wire)
    [body] = simulator.requests
    marks = [body["system"][0], body["tools"][-1], body["messages"][-1]["content"][-1]]
    mark = {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": "1h"}
    assert [block["cache_control"] for block in marks] == [mark] * 3

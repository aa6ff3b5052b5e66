"""What a turn runs with and what it costs: options of the client, bounds of the server, usage."""

from typing import Any

import pytest

from tests.kit.chat import MODEL, ended, of_type, talking
from turnwire_protocol import ToolResult, Usage
from turnwire_simulator import Answer, Simulator, Text, ToolUse


def plain(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


def other(city: str) -> str:
    """The time."""
    return f"noon in {city}"


async def test_only_the_tools_asked_for_are_offered(simulator: Simulator) -> None:
    answers = [Answer(Text("Ok.")) for _ in range(4)]
    async with talking(simulator, *answers, tools=[plain, other]) as wire:
        await ended(wire)
        await ended(wire, tools=["other"])
        await ended(wire, tools=[])
        await ended(wire, tools=["other", "other"])
    offered = [[tool["name"] for tool in body.get("tools", ())] for body in simulator.requests]
    assert offered == [["plain", "other"], ["other"], [], ["other"]]


async def test_what_the_client_chooses_reaches_the_model_within_the_servers_bounds(
    simulator: Simulator,
) -> None:
    answers = [Answer(Text("Ok.")) for _ in range(3)]
    haiku = "claude-simulated-haiku"
    async with talking(
        simulator, *answers, models=[haiku], max_tokens=3000, system="Be kind."
    ) as wire:
        await ended(wire)
        thinking = {"type": "enabled", "budget_tokens": 1024}
        await ended(wire, model=haiku, max_tokens=2000, thinking=thinking)
        await ended(wire, max_tokens=9000)
    chosen = [(body["model"], body["max_tokens"], body["thinking"]) for body in simulator.requests]
    adaptive = {"type": "adaptive", "display": "summarized"}
    assert chosen == [
        (MODEL, 3000, adaptive),
        (haiku, 2000, {"type": "enabled", "budget_tokens": 1024}),
        (MODEL, 3000, adaptive),
    ]
    assert [block["text"] for block in simulator.requests[0]["system"]] == ["Be kind."]


NOT_ALLOWED: dict[str, dict[str, Any]] = {
    "model": {"model": "claude-simulated-haiku"},
    "system": {"system": "Be rude."},
    "tools": {"tools": ["nothing"]},
    "thinking": {"thinking": {"type": "enabled", "budget_tokens": 5000}, "max_tokens": 5000},
}


@pytest.mark.parametrize("fields", NOT_ALLOWED.values(), ids=NOT_ALLOWED)
async def test_what_the_client_may_not_choose_is_rejected_by_name(
    simulator: Simulator, fields: dict[str, Any]
) -> None:
    async with talking(simulator) as wire:
        reject = await wire.ask("send", content="Hello", **fields)
    assert (reject["type"], reject["code"]) == ("reject", "bad_command")
    assert reject["message"].startswith(next(iter(fields)))
    assert simulator.requests == []


async def test_the_server_can_keep_every_choice_to_itself(simulator: Simulator) -> None:
    async with talking(simulator, Answer(Text("Ok.")), client_options=["system"]) as wire:
        reject = await wire.ask("send", content="Hello", max_tokens=5)
        await ended(wire, system="Be brief.")
    assert (reject["type"], reject["code"]) == ("reject", "bad_command")
    assert simulator.requests[0]["system"][0]["text"] == "Be brief."


# Usage

PRICES = {MODEL: {"input": 1.0, "output": 10.0, "cache_read": 0.1, "cache_creation": 2.0}}


async def test_usage_and_cost_are_summed_over_the_steps(simulator: Simulator) -> None:
    counts = {"input_tokens": 100, "cache_read_input_tokens": 10, "cache_creation_input_tokens": 5}
    call = ToolUse("plain", {"city": "Rome"})
    first = Answer(call, stop_reason="tool_use", output_tokens=20, **counts)  # type: ignore[arg-type]
    second = Answer(Text("Ok."), output_tokens=30, **counts)  # type: ignore[arg-type]
    async with talking(simulator, first, second, tools=[plain], prices=PRICES) as wire:
        done = await ended(wire)
    assert done["usage"] == {
        "input_tokens": 200,
        "output_tokens": 50,
        "cache_read_input_tokens": 20,
        "cache_creation_input_tokens": 10,
    }
    assert done["cost_usd"] == pytest.approx((200 + 50 * 10 + 20 * 0.1 + 10 * 2) / 1e6)
    counted = of_type(wire, Usage)
    assert [(event.step, event.output_tokens) for event in counted] == [
        (1, 1),
        (1, 20),
        (2, 1),
        (2, 30),
    ]


async def test_without_a_price_no_cost_is_shown(simulator: Simulator) -> None:
    async with talking(simulator, Answer(Text("Ok."))) as wire:
        assert "cost_usd" not in await ended(wire)


async def test_the_next_message_of_a_conversation_reads_the_cache(simulator: Simulator) -> None:
    answers = (Answer(Text("One.")), Answer(Text("Two.")))
    async with talking(simulator, *answers, system="Be kind. " * 600) as wire:
        done = await ended(wire)
        following = await ended(wire, conversation=done["conversation"])
    assert done["usage"]["cache_creation_input_tokens"] > 1000
    read = following["usage"]["cache_read_input_tokens"]
    assert read == done["usage"]["cache_creation_input_tokens"]


async def test_a_tool_that_was_not_offered_does_not_run(simulator: Simulator) -> None:
    call = Answer(ToolUse("plain", {"city": "Rome"}), stop_reason="tool_use")
    async with talking(simulator, call, Answer(Text("Ok.")), tools=[plain, other]) as wire:
        await ended(wire, tools=["other"])
        (result,) = of_type(wire, ToolResult)
    assert (result.is_error, result.content) == (True, "There is no tool 'plain'.")

"""Refusals, models that answer in another's place, and what all of it used and costs."""

from typing import Any

import pytest

from tests.kit.chat import MODEL, ended, of_type, talking
from tests.kit.oracle import check_log
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from turnwire import connect as wire_to
from turnwire_protocol import Iteration, Refusal, ToolResult, Usage
from turnwire_server import SettingsError
from turnwire_server.core.turn.prices import list_price
from turnwire_server.core.turn.usage import Price
from turnwire_server.settings import load_settings
from turnwire_simulator import Answer, Fallback, Simulator, Text, Thinking, ToolUse

WHY = {"category": "cyber", "explanation": "It could enable harm."}
REFUSED = Answer(Text("I"), stop_reason="refusal", stop_details={"type": "refusal", **WHY})
OTHER = "claude-opus-5"
COUNTS = {"cache_read_input_tokens": 0, "cache_creation_input_tokens": 0}
DECLINED: dict[str, Any] = {
    "type": "message",
    "model": MODEL,
    "input_tokens": 10,
    "output_tokens": 4,
    **COUNTS,
}
SERVED = {"type": "fallback_message", "model": OTHER, "input_tokens": 20, "output_tokens": 6}


def weather(city: str) -> str:
    """The weather of a city."""
    raise AssertionError(f"it must not run, for {city}")


def clock() -> str:
    """The time."""
    return "noon"


async def test_a_refusal_says_why_to_every_kind_of_reader(simulator: Simulator) -> None:
    simulator.program(REFUSED, REFUSED, Answer(Text("Fine")))
    async with (
        serving(turnwire_over(simulator, model=MODEL)) as address,
        asking(address) as http,
        wire_to(f"ws://{address}/v1/ws") as wire,
    ):
        chat = wire.conversation()
        reply = await (await chat.send("Break in"))
        assert (reply.stop_reason, reply.refusal) == ("refusal", Refusal(**WHY))
        answered = (await http.get(f"/v1/conversations/{chat.id}")).json()
        assert answered["turns"][0]["done"]["refusal"] == WHY
        again = await (await chat.send("And so?"))
        assert again.refusal == Refusal(**WHY)
        # What was refused is not shown again.
        assert (await (await chat.send("Hi"))).text == "Fine"
    assert simulator.requests[-1]["messages"][0]["content"][0]["text"] == "Hi"
    assert simulator.rejections == []


@pytest.mark.parametrize("details", [None, {}, {"type": "refusal", "category": None}, "why", {
    "type": "later", "category": "cyber"}])  # fmt: skip
async def test_a_refusal_without_a_reason_has_none(simulator: Simulator, details: Any) -> None:
    answer = Answer(Text("I"), stop_reason="refusal", stop_details=details)
    async with talking(simulator, answer) as wire:
        done = await ended(wire)
    assert done["stop_reason"] == "refusal"
    assert "refusal" not in done


async def test_another_model_goes_on_within_an_answer_and_what_was_said_stays(
    simulator: Simulator,
) -> None:
    simulator.program(
        Answer(
            Thinking("Hm."),
            Text("Hel"),
            ToolUse("weather", {"city": "Köln"}),
            Fallback(MODEL, OTHER, "cyber"),
            Text("lo"),
            input_tokens=10,
            end_usage={"input_tokens": 20, "output_tokens": 6, "iterations": [DECLINED, SERVED]},
        ),
        Answer(Text("Again")),
    )
    prices = {MODEL: Price(input=1000, output=0), OTHER: Price(input=1, output=100)}
    settings = {"fallbacks": [MODEL, OTHER], "tools": [weather], "prices": prices}
    async with talking(simulator, **settings) as wire:
        done = await ended(wire)
        turn = wire.fold(done["conversation"]).turns[done["turn"]]
        assert (turn.text, turn.model, done["stop_reason"]) == ("Hello", OTHER, "end_turn")
        assert [result.is_error for result in of_type(wire, ToolResult)] == [True]
        assert [usage.model for usage in of_type(wire, Usage)] == [None, OTHER, OTHER]
        [declined] = of_type(wire, Usage)[-1].iterations or []
        assert declined == Iteration(**DECLINED)
        assert (done["usage"]["input_tokens"], done["usage"]["output_tokens"]) == (30, 10)
        assert done["cost_usd"] == pytest.approx((10 * 1000 + 20 * 1 + 6 * 100) / 1e6)
        await ended(wire, conversation=done["conversation"])
        check_log(wire.events)
    assert simulator.rejections == []
    assert simulator.requests[0]["fallbacks"] == [{"model": OTHER}]
    said = [block["type"] for block in simulator.requests[-1]["messages"][1]["content"]]
    assert said == ["text", "fallback", "text"]


async def test_the_model_that_answers_from_the_start_is_named(simulator: Simulator) -> None:
    simulator.program(Answer(Fallback(MODEL, OTHER), Text("Hi"), model=OTHER))
    async with talking(simulator, fallbacks=["default"]) as wire:
        done = await ended(wire)
        assert [usage.model for usage in of_type(wire, Usage)] == [OTHER, OTHER]
        assert wire.fold(done["conversation"]).turns[done["turn"]].model == OTHER
    assert simulator.requests[0]["fallbacks"] == "default"


async def test_a_model_that_has_none_is_not_asked_with_fallbacks(simulator: Simulator) -> None:
    simulator.program(Answer(Text("Hi")))
    settings = {"model": "claude-opus-4-8", "fallbacks": ["default"]}
    async with talking(simulator, **settings) as wire:
        assert (await ended(wire))["stop_reason"] == "end_turn"
    assert "fallbacks" not in simulator.requests[0]


async def test_what_is_counted_finer_is_told_and_summed(simulator: Simulator) -> None:
    finer = {
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        "output_tokens_details": {"thinking_tokens": 3},
        "output_tokens": 9,
    }
    start = {
        "cache_creation_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 5},
        "service_tier": "priority",
    }
    call = ToolUse("clock", {})
    simulator.program(
        Answer(call, stop_reason="tool_use", usage=start, end_usage=finer, input_tokens=1),
        Answer(Text("Hi"), usage=start, end_usage=finer, input_tokens=1),
    )
    price = Price(input=0, output=0, cache_creation=1, cache_creation_1h=2, web_search=10)
    async with talking(simulator, prices={MODEL: price}, tools=[clock]) as wire:
        done = await ended(wire)
    first, last, *_ = of_type(wire, Usage)
    assert (first.thinking_tokens, first.service_tier) == (None, "priority")
    assert (last.thinking_tokens, last.web_search_requests, last.web_fetch_requests) == (3, 2, 1)
    summed = {"thinking_tokens": 6, "web_search_requests": 4, "web_fetch_requests": 2,
              "cache_creation_input_tokens": 14, "cache_creation_1h_input_tokens": 10}  # fmt: skip
    assert summed.items() <= done["usage"].items()
    assert done["cost_usd"] == pytest.approx(2 * (2 * 1 + 5 * 2) / 1e6 + 4 * 10 / 1000)


async def test_a_model_that_refuses_at_once_costs_nothing(simulator: Simulator) -> None:
    refused = Answer(stop_reason="refusal", output_tokens=0, input_tokens=50)
    async with talking(simulator, refused, prices={MODEL: Price(input=1, output=1)}) as wire:
        assert (await ended(wire))["cost_usd"] == 0


def test_fallbacks_are_refused_where_the_provider_has_none() -> None:
    with pytest.raises(SettingsError, match="bedrock has none"):
        load_settings(provider="bedrock", fallbacks=["default"])
    with pytest.raises(SettingsError, match="stands alone"):
        load_settings(fallbacks=["default", "claude-opus-5"])
    assert load_settings(provider="aws", fallbacks=["default"]).fallbacks == ["default"]


@pytest.mark.parametrize(
    ("model", "output"),
    [
        ("claude-opus-4-8", 25),
        ("claude-opus-4-5-20251101", 25),
        ("claude-opus-4-20250514", 75),
        ("claude-sonnet-4-5-latest", 15),
        ("claude-haiku-5-5", None),
        ("claude-simulated-opus", None),
        ("us.anthropic.claude-opus-4-8", None),
        ("claude-opus-4-9", None),
    ],
)
def test_the_list_knows_a_price_or_none(model: str, output: float | None) -> None:
    price = list_price(model)
    assert (price.output if price else None) == output


async def test_no_cost_is_shown_where_somebody_else_than_the_api_answers(
    simulator: Simulator,
) -> None:
    async with talking(simulator, Answer(Text("Hi")), model="claude-opus-5") as wire:
        assert "cost_usd" not in await ended(wire)

"""Models of several families in one service: each is asked for what it knows, and no other."""

from typing import Any

import pytest

from tests.kit.chat import ended, of_type, talking
from tests.server.test_reasons import CALLING, OK, attempts, goes_on, note
from turnwire_protocol import Error
from turnwire_simulator import Answer, Fault, Simulator, Text, Thinking

ADAPTIVE = "claude-sonnet-5-5"
BUDGET = "claude-haiku-4-5"
SAID = Answer(Thinking("Hm."), Text("Yes."))


def thinking_of(simulator: Simulator) -> list[tuple[str, str | None]]:
    """Of each request: its model, and the type of thinking it asks for."""
    return [
        (body["model"], (body.get("thinking") or {}).get("type")) for body in simulator.requests
    ]


@pytest.mark.parametrize(
    ("model", "fallback", "kinds"),
    [
        (ADAPTIVE, BUDGET, ("adaptive", "enabled")),
        (BUDGET, ADAPTIVE, ("enabled", "adaptive")),
        (ADAPTIVE, "claude-3-5-haiku", ("adaptive", None)),
    ],
)
async def test_a_fallback_of_another_family_answers_after_an_overload(
    simulator: Simulator, model: str, fallback: str, kinds: tuple[str, str | None]
) -> None:
    program = (Fault(529), CALLING, OK)
    async with talking(
        simulator, *program, model=model, fallback_model=fallback, tools=[note]
    ) as wire:
        done = await ended(wire)
        assert done["stop_reason"] == "end_turn"
        assert attempts(wire) == [(1, 1, model), (1, 2, fallback), (2, 1, fallback)]
        assert of_type(wire, Error) == []
        await goes_on(wire, simulator, done)
    first, other = kinds
    assert thinking_of(simulator) == [
        (model, first),
        (fallback, other),
        (fallback, other),
        (model, first),
    ]


@pytest.mark.parametrize("wish", [{"type": "adaptive"}, {"type": "disabled"}, None])
async def test_a_client_may_choose_any_model_with_any_wish(
    simulator: Simulator, wish: dict[str, Any] | None
) -> None:
    models = [ADAPTIVE, BUDGET, "claude-opus-5-5", "claude-opus-4-6"]
    async with talking(simulator, model=models[0], models=models) as wire:
        fields: dict[str, Any] = {} if wish is None else {"thinking": wish}
        conversation: str | None = None
        for model in models:
            simulator.program(SAID)
            if conversation is not None:
                fields["conversation"] = conversation
            done = await ended(wire, model=model, **fields)
            assert done["stop_reason"] == "end_turn", of_type(wire, Error)
            conversation = done["conversation"]


async def test_the_operator_says_what_a_model_knows(simulator: Simulator) -> None:
    options = {"claude-simulated": {"thinking": {"type": "enabled", "budget_tokens": 2000}}}
    async with talking(simulator, SAID, model_options=options, max_tokens=4000) as wire:
        await ended(wire)
    [body] = simulator.requests
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2000}

"""With content in the spans: a turn that is not sampled costs nothing of it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from turnwire_server.core.telemetry import TurnNames
from turnwire_server.model.port import ApiMessage, ModelRequest
from turnwire_server.telemetry.observer import Attempt, ToolRun, TurnObserver
from turnwire_server.telemetry.spans import Spans
from turnwire_server.telemetry.upstream import Upstream

NAMES = TurnNames(conversation="c_1", turn="t_1", principal="anna", model="m")
UPSTREAM = Upstream(provider="anthropic", host="localhost", port=443)
UNREADABLE: Any = [object()]
"""Whoever writes it into an attribute fails."""


def _said() -> list[ApiMessage]:
    return [{"role": "assistant", "content": UNREADABLE}]


def _end_asked(turn: TurnObserver) -> None:
    messages: list[ApiMessage] = [{"role": "user", "content": UNREADABLE}]
    request = ModelRequest(model="m", messages=messages, max_tokens=9)
    attempt = Attempt(step=1, attempt=1, model="m", began=0.0, request=request)
    turn.begin_attempt(attempt)
    turn.end_attempt(attempt)


def _end_answered(turn: TurnObserver) -> None:
    attempt = Attempt(step=1, attempt=1, model="m", began=0.0, stop_reason="end_turn", said=_said)
    turn.begin_attempt(attempt)
    turn.end_attempt(attempt)


def _begin_tool(turn: TurnObserver) -> None:
    given = {"a": UNREADABLE}
    turn.begin_tool(ToolRun(tool_id="toolu_1", name="add", runs_on="server", input=given))


def _end_tool(turn: TurnObserver) -> None:
    tool = ToolRun(tool_id="toolu_1", name="add", runs_on="server", content=UNREADABLE)
    turn.begin_tool(tool)
    turn.end_tool(tool)


@pytest.mark.parametrize("happen", [_end_asked, _end_answered, _begin_tool, _end_tool])
@pytest.mark.parametrize(
    ("sampler", "outcome"),
    [(ALWAYS_OFF, nullcontext()), (ALWAYS_ON, pytest.raises((AttributeError, ValueError)))],
    ids=["off", "on"],
)
def test_what_was_said_is_read_only_for_turns_that_are_sampled(
    monkeypatch: pytest.MonkeyPatch,
    sampler: Sampler,
    outcome: AbstractContextManager[object],
    happen: Callable[[TurnObserver], None],
) -> None:
    provider = TracerProvider(sampler)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    turn = Spans(UPSTREAM, has_content=True).turn(NAMES)
    assert turn is not None
    with outcome:
        happen(turn)

"""Why a turn ends, and what the settings of retries do: stop reasons, codes, attempts, models."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from tests.kit.chat import MODEL, ended, of_type, talking
from tests.kit.oracle import check_log
from tests.kit.patience import SILENCE_SECONDS, patience
from tests.kit.service import upstream_left
from tests.kit.wire import Wire
from tests.server.core.test_history import found, searching
from turnwire_protocol import Error, Retry, Rewind, Start, Step, ToolResult
from turnwire_server.core.turn.backoff import delay_seconds
from turnwire_simulator import (
    Answer,
    Cut,
    ErrorEvent,
    Fault,
    Gate,
    Raw,
    Simulator,
    Stall,
    Text,
    Thinking,
    ToolUse,
)
from turnwire_simulator.controls import Control

FALLBACK = "claude-simulated-haiku"
HELLO = Answer(Text(["Hel", "lo"]))
OK = Answer(Text("Ok."))


async def note(n: int) -> str:
    """Note a number."""
    return f"noted {n}"


CALLING = Answer(
    Thinking(["Hm", "."]),
    Text(["Let", " me."]),
    ToolUse("note", {"n": 1}, id="toolu_1"),
    ToolUse("note", {"n": 2}, id="toolu_2"),
    stop_reason="tool_use",
)


async def goes_on(wire: Wire, simulator: Simulator, done: dict[str, Any]) -> None:
    """The conversation takes the next message, and its log keeps the invariants."""
    simulator.program(OK)
    following = await ended(wire, "next", conversation=done["conversation"])
    assert following["stop_reason"] == "end_turn"
    check_log(wire.events)


def text_of(wire: Wire, done: dict[str, Any]) -> str:
    return wire.fold(done["conversation"]).turns[str(done["turn"])].text


def attempts(wire: Wire) -> list[tuple[int, int, str]]:
    """(step, attempt, model) of each call of the model."""
    return [(event.step, event.attempt, event.model) for event in of_type(wire, Step)]


# Stop reasons


@pytest.mark.parametrize(
    "reason", ["max_tokens", "model_context_window_exceeded", "stop_sequence", "novel_reason"]
)
async def test_the_models_stop_reason_is_passed_on_and_its_text_stays(
    simulator: Simulator, reason: str
) -> None:
    answer = Answer(Thinking("Hm."), Text(["Hel", "lo"]), stop_reason=reason)
    async with talking(simulator, answer) as wire:
        done = await ended(wire)
        assert (done["stop_reason"], text_of(wire, done)) == (reason, "Hello")
        assert "estimated" not in done["usage"]
        assert of_type(wire, Error) == []
        await goes_on(wire, simulator, done)
    assert "Hello" in str(simulator.requests[-1]["messages"][1])


@pytest.mark.parametrize("reason", ["max_tokens", "refusal", "model_context_window_exceeded"])
async def test_a_call_does_not_run_if_the_answer_was_cut_off(
    simulator: Simulator, reason: str
) -> None:
    answer = Answer(ToolUse("note", {"n": 1}, id="toolu_1"), stop_reason=reason)
    async with talking(simulator, answer, tools=[note]) as wire:
        done = await ended(wire)
        assert done["stop_reason"] == reason
        [result] = of_type(wire, ToolResult)
        assert (result.content, result.is_error) == ("Not run: the answer was cut off.", True)
        await goes_on(wire, simulator, done)


@pytest.mark.parametrize("reason", ["end_turn", "stop_sequence", "novel_reason", "pause_turn"])
async def test_a_complete_call_runs_whatever_else_the_reason_says(
    simulator: Simulator, reason: str
) -> None:
    answer = Answer(ToolUse("note", {"n": 1}, id="toolu_1"), stop_reason=reason)
    async with talking(simulator, answer, Answer(Text("Done.")), tools=[note]) as wire:
        done = await ended(wire)
        assert (done["stop_reason"], done["steps"]) == ("end_turn", 2)
        [result] = of_type(wire, ToolResult)
        assert not result.is_error
        await goes_on(wire, simulator, done)


@pytest.mark.parametrize("reason", ["tool_use", "pause_turn"])
async def test_an_answer_that_brings_nothing_to_go_on_with_is_the_last_one(
    simulator: Simulator, reason: str
) -> None:
    asked = len(simulator.requests)
    async with talking(simulator, Answer(Text(" \n"), stop_reason=reason)) as wire:
        done = await ended(wire)
        assert (done["stop_reason"], len(simulator.requests) - asked) == ("end_turn", 1)
        await goes_on(wire, simulator, done)


@pytest.mark.parametrize("reason", ["tool_use", "pause_turn"])
async def test_an_answer_without_any_block_fails_and_says_so(
    simulator: Simulator, reason: str
) -> None:
    asked = len(simulator.requests)
    async with talking(simulator, Answer(stop_reason=reason)) as wire:
        done = await ended(wire)
        assert (done["stop_reason"], len(simulator.requests) - asked) == ("failed", 1)
        [error] = of_type(wire, Error)
        assert error.code == "internal"
        await goes_on(wire, simulator, done)


async def test_a_turn_refused_in_its_second_step_leaves_the_context_with_all_its_steps(
    simulator: Simulator,
) -> None:
    refused = Answer(Text("I can"), stop_reason="refusal")
    async with talking(simulator, OK, CALLING, refused, tools=[note]) as wire:
        first = await ended(wire, "first")
        done = await ended(wire, "second", conversation=first["conversation"])
        assert (done["stop_reason"], text_of(wire, done)) == ("refusal", "Let me.I can")
        await goes_on(wire, simulator, done)
    shown = simulator.requests[-1]["messages"]
    assert [message["role"] for message in shown] == ["user", "assistant", "user"]
    assert "second" not in str(shown)


async def test_a_paused_answer_goes_on_by_itself_until_its_limit_of_steps(
    simulator: Simulator,
) -> None:
    # Each step gives the result of the search that the one before was paused in.
    paused = [
        Answer(
            *([found(f"srvtoolu_{n - 1}")] if n else []),
            Text(f"Wait {n}."),
            searching(f"srvtoolu_{n}"),
            stop_reason="pause_turn",
        )
        for n in range(3)
    ]
    async with talking(simulator, *paused, max_steps=3) as wire:
        done = await ended(wire)
        assert (done["stop_reason"], done["steps"]) == ("max_steps", 3)
        assert text_of(wire, done) == "Wait 0.Wait 1.Wait 2."
        await goes_on(wire, simulator, done)


PAUSED = Answer(Text("Wait."), searching("srvtoolu_1"), stop_reason="pause_turn")
AFTER_PAUSE = Answer(found("srvtoolu_1"), Thinking("Hm."), Text(["Al", "l"]))


@pytest.mark.parametrize("index", range(len(AFTER_PAUSE.events())))
async def test_a_paused_answer_can_be_cancelled_anywhere_in_its_second_step(
    simulator: Simulator, index: int
) -> None:
    gate = Gate()
    async with talking(simulator, PAUSED, AFTER_PAUSE.at(index, gate)) as wire:
        ack = await wire.ask("send", content="Hello")
        async with patience():
            await gate.reached()
        await wire.ask("cancel", conversation=ack["conversation"], turn=ack["turn"])
        done = await wire.until("done")
        assert (done["stop_reason"], done["steps"]) == ("cancelled", 2)
        await upstream_left(simulator)
        await goes_on(wire, simulator, done)


# Faults of the model at every event


def delta(data: bytes) -> Raw:
    return Raw(b"event: content_block_delta\ndata: " + data + b"\n\n")


GARBAGE: dict[str, Control] = {
    "bytes that are no text": Raw(b"\xff\xfe\x00\n\n"),
    "broken JSON": delta(b'{"type'),
    "an event that is a list": delta(b"[1]"),
}
DISTURBANCES: dict[str, tuple[Control, str]] = {
    "stall": (Stall(), "timeout"),
    "api error": (ErrorEvent("api_error", "oops"), "internal"),
    "rate limit": (ErrorEvent("rate_limit_error", "slow down"), "rate_limit"),
}
UNSAID, UNFINISHED, EVENTS = 4, 7, len(HELLO.events())
"""Before these events of HELLO nothing was said yet; it has not said yet why it stops."""


@pytest.mark.parametrize("index", range(UNFINISHED))
@pytest.mark.parametrize(("control", "code"), DISTURBANCES.values(), ids=DISTURBANCES)
async def test_a_disturbance_at_any_event_costs_one_attempt_and_repeats_nothing(
    simulator: Simulator, index: int, control: Control, code: str
) -> None:
    # Where nothing is to be taken for a stall, nothing can be.
    settings = {"stall_timeout": SILENCE_SECONDS} if code == "timeout" else {}
    async with talking(simulator, HELLO.at(index, control), HELLO, **settings) as wire:
        done = await ended(wire)
        assert (done["stop_reason"], text_of(wire, done)) == ("end_turn", "Hello")
        assert [(retry.attempt, retry.code) for retry in of_type(wire, Retry)] == [(1, code)]
        assert attempts(wire) == [(1, 1, MODEL), (1, 2, MODEL)]
        await goes_on(wire, simulator, done)


@pytest.mark.parametrize("index", range(UNSAID))
@pytest.mark.parametrize("control", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_before_anything_was_said_costs_one_attempt(
    simulator: Simulator, index: int, control: Control
) -> None:
    async with talking(simulator, HELLO.at(index, control), HELLO) as wire:
        done = await ended(wire)
        assert (done["stop_reason"], text_of(wire, done)) == ("end_turn", "Hello")
        assert [(retry.attempt, retry.code) for retry in of_type(wire, Retry)] == [
            (1, "network_error")
        ]


@pytest.mark.parametrize("index", range(UNSAID, UNFINISHED))
@pytest.mark.parametrize("control", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_after_some_text_is_not_worth_another_paid_attempt(
    simulator: Simulator, index: int, control: Control
) -> None:
    async with talking(simulator, HELLO.at(index, control)) as wire:
        done = await ended(wire)
        said = "Hel" if index == UNSAID else "Hello"
        assert (done["stop_reason"], text_of(wire, done)) == ("failed", said)
        [error] = of_type(wire, Error)
        assert (error.code, error.retryable) == ("network_error", False)
        assert (of_type(wire, Retry), len(simulator.requests)) == ([], 1)
        await goes_on(wire, simulator, done)


FAULTS: dict[str, tuple[Fault | Control, str]] = {
    "429": (Fault(429, retry_after=0.001), "rate_limit"),
    "500": (Fault(500), "internal"),
    "504": (Fault(504), "timeout"),
    "529": (Fault(529), "overloaded"),
    "cut": (Cut(), "network_error"),
    "stall": (Stall(), "timeout"),
    "error event": (ErrorEvent(), "overloaded"),
}


@pytest.mark.parametrize(("fault", "code"), FAULTS.values(), ids=FAULTS)
async def test_a_second_step_that_always_fails_is_given_up_and_the_first_step_stays(
    simulator: Simulator, fault: Fault | Control, code: str
) -> None:
    failing = fault if isinstance(fault, Fault) else HELLO.at(4, fault)
    settings = {"stall_timeout": SILENCE_SECONDS} if isinstance(fault, Stall) else {}
    async with talking(
        simulator, CALLING, *[failing] * 3, tools=[note], retries=2, **settings
    ) as wire:
        done = await ended(wire)
        said = "Let me." if isinstance(fault, Fault) else "Let me.Hel"
        assert (done["stop_reason"], text_of(wire, done)) == ("failed", said)
        assert [(retry.step, retry.code) for retry in of_type(wire, Retry)] == [(2, code)] * 2
        assert attempts(wire)[1:] == [(2, attempt, MODEL) for attempt in (1, 2, 3)]
        [error] = of_type(wire, Error)
        assert (error.code, error.retryable) == (code, True)
        assert [result.content for result in of_type(wire, ToolResult)] == ["noted 1", "noted 2"]
        await goes_on(wire, simulator, done)


@pytest.mark.parametrize("index", range(len(CALLING.events()) - 1))
async def test_a_first_attempt_with_thinking_and_tools_that_breaks_anywhere_leaves_no_trace(
    simulator: Simulator, index: int
) -> None:
    again = Answer(
        Thinking(["Hm", "."]), ToolUse("note", {"n": 3}, id="toolu_3"), stop_reason="tool_use"
    )
    async with talking(simulator, CALLING.at(index, Cut()), again, OK, tools=[note]) as wire:
        done = await ended(wire)
        blocks = wire.fold(done["conversation"]).turns[done["turn"]].blocks
        assert [(block.block, block.type, block.text) for block in blocks] == [
            (0, "thinking", "Hm."),
            (1, "tool", '{"n": 3}'),
            (2, "text", "Ok."),
        ]
        assert [result.content for result in of_type(wire, ToolResult)] == ["noted 3"]
        await goes_on(wire, simulator, done)


@pytest.mark.parametrize("index", [UNFINISHED, EVENTS])
@pytest.mark.parametrize(
    "control",
    [Cut(), ErrorEvent(), Raw(b"\xff\xfe\n\n"), delta(b'{"type'), Stall()],
    ids=["cut", "error event", "no text", "broken JSON", "stall"],
)
async def test_what_happens_once_an_answer_has_said_why_it_stops_does_not_matter(
    simulator: Simulator, index: int, control: Control
) -> None:
    whole = HELLO.at(index, control)
    async with talking(simulator, whole) as wire:
        done = await ended(wire)
        assert (done["stop_reason"], text_of(wire, done)) == ("end_turn", "Hello")
        assert of_type(wire, Retry) == []
        await goes_on(wire, simulator, done)


# Settings of retries


async def test_without_retries_the_first_failure_is_the_last(simulator: Simulator) -> None:
    async with talking(simulator, Fault(529, retry_after=7), retries=0) as wire:
        done = await ended(wire)
        [error] = of_type(wire, Error)
        assert (done["stop_reason"], error.code) == ("failed", "overloaded")
        assert error.retry_after_seconds == 7
        assert (of_type(wire, Retry), len(simulator.requests)) == ([], 1)
        await goes_on(wire, simulator, done)


async def test_the_delays_double_up_to_their_cap(simulator: Simulator) -> None:
    settings = {"retries": 4, "base_delay": 0.004, "max_delay": 0.01}
    async with talking(simulator, *[Fault(500)] * 5, **settings) as wire:
        await ended(wire)
    delays = [retry.delay_seconds for retry in of_type(wire, Retry)]
    for delay, whole in zip(delays, (0.004, 0.008, 0.01, 0.01), strict=True):
        assert whole / 2 <= delay <= whole


def test_a_delay_is_from_a_half_to_the_whole_of_a_step_of_powers_of_two() -> None:
    def delays(chance: float) -> list[float]:
        return [
            delay_seconds(attempt, base_seconds=1.0, cap_seconds=30.0, chance=chance)
            for attempt in range(1, 8)
        ]

    assert delays(0.0) == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    assert all(low <= high for low, high in pairwise(delays(0.999)))
    assert delays(0.999)[-1] <= 30.0


async def test_each_step_has_all_its_attempts(simulator: Simulator) -> None:
    program = (Fault(500), CALLING, Fault(500), OK)
    async with talking(simulator, *program, tools=[note], retries=1) as wire:
        done = await ended(wire)
        assert done["stop_reason"] == "end_turn"
        assert attempts(wire) == [(step, n, MODEL) for step in (1, 2) for n in (1, 2)]
        await goes_on(wire, simulator, done)


async def test_in_the_delay_after_a_refused_attempt_there_is_nothing_to_estimate(
    simulator: Simulator,
) -> None:
    async with talking(simulator, Fault(429, retry_after=30)) as wire:
        ack = await wire.ask("send", content="Hello")
        assert (await wire.until("retry"))["delay_seconds"] == 30
        await wire.ask("cancel", conversation=ack["conversation"], turn=ack["turn"])
        done = await wire.until("done")
        assert done["usage"] == {"input_tokens": 0, "output_tokens": 0} | dict.fromkeys(
            ("cache_read_input_tokens", "cache_creation_input_tokens"), 0
        )
        await goes_on(wire, simulator, done)


async def test_the_time_of_a_turn_ends_a_retry_delay(simulator: Simulator) -> None:
    settings = {"base_delay": 600, "max_delay": 600, "turn_timeout": SILENCE_SECONDS}
    async with talking(simulator, HELLO.at(4, Cut()), **settings) as wire:
        done = await ended(wire)
        [error] = of_type(wire, Error)
        assert (done["stop_reason"], error.code) == ("failed", "timeout")
        assert text_of(wire, done) == "Hel"
        await goes_on(wire, simulator, done)


async def test_the_time_of_a_turn_ends_its_tools(simulator: Simulator) -> None:
    async def hang() -> None:
        """Hang."""
        await asyncio.Event().wait()

    call = Answer(ToolUse("hang", {}, id="toolu_1"), stop_reason="tool_use")
    async with talking(simulator, call, tools=[hang], turn_timeout=SILENCE_SECONDS) as wire:
        done = await ended(wire)
        [result] = of_type(wire, ToolResult)
        assert (done["stop_reason"], result.content) == ("failed", "Not finished: the turn failed.")
        await goes_on(wire, simulator, done)


# The fallback model


@pytest.mark.parametrize(
    "overload", [Fault(529), HELLO.at(4, ErrorEvent())], ids=["status", "error event"]
)
async def test_after_an_overload_the_fallback_model_answers_the_rest_of_the_turn(
    simulator: Simulator, overload: Fault | Answer
) -> None:
    answers = (overload, CALLING, OK)
    async with talking(simulator, *answers, tools=[note], fallback_model=FALLBACK) as wire:
        done = await ended(wire)
        assert done["stop_reason"] == "end_turn"
        assert attempts(wire) == [(1, 1, MODEL), (1, 2, FALLBACK), (2, 1, FALLBACK)]
        assert [start.model for start in of_type(wire, Start)] == [MODEL]
        assert len(of_type(wire, Rewind)) == isinstance(overload, Answer)
        await goes_on(wire, simulator, done)
        # The next turn begins with the model it was asked for.
        assert attempts(wire)[-1] == (1, 1, MODEL)
    asked = [body["model"] for body in simulator.requests]
    assert asked == [MODEL, FALLBACK, FALLBACK, MODEL]


async def test_other_failures_keep_the_model(simulator: Simulator) -> None:
    async with talking(simulator, Fault(429), OK, fallback_model=FALLBACK) as wire:
        await ended(wire)
    assert attempts(wire) == [(1, 1, MODEL), (1, 2, MODEL)]


async def test_a_turn_on_the_fallback_model_can_be_cancelled(simulator: Simulator) -> None:
    gate = Gate()
    answers = (Fault(529), HELLO.at(4, gate))
    async with talking(simulator, *answers, fallback_model=FALLBACK) as wire:
        ack = await wire.ask("send", content="Hello")
        await wire.until("token")
        await wire.ask("cancel", conversation=ack["conversation"], turn=ack["turn"])
        done = await wire.until("done")
        assert (done["stop_reason"], text_of(wire, done)) == ("cancelled", "Hel")
        await goes_on(wire, simulator, done)

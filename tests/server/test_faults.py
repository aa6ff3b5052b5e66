"""A turn disturbed anywhere: one end, nothing lost or repeated, and the next message works."""

import asyncio
from typing import Any

import pytest

from tests.kit.chat import ended, of_type, talking
from tests.kit.patience import SILENCE_SECONDS, patience
from tests.kit.wire import Wire
from tests.server.core.log_author import parts_of
from turnwire_protocol import Done, Error, Retry, Rewind, ToolResult, merge, span_of
from turnwire_server.model.port import Stop
from turnwire_simulator import (
    Answer,
    Cut,
    ErrorEvent,
    Fault,
    Gate,
    Simulator,
    Stall,
    Text,
    Thinking,
    ToolUse,
)

HELLO = Answer(Text(["Hel", "lo"]))
NEXT = Answer(Text("Next."))


ran: list[str] = []


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    ran.clear()


async def note(n: int) -> str:
    """Note a number."""
    ran.append(f"note {n}")
    return f"noted {n}"


async def goes_on(wire: Wire, simulator: Simulator, done: dict[str, Any]) -> None:
    """The invariants of what was read, and that the conversation takes the next message."""
    simulator.program(NEXT)
    following = await ended(wire, conversation=done["conversation"])
    assert following["stop_reason"] == "end_turn"
    position = 0
    for event in wire.events:
        assert event.seq - span_of(event) == position
        position = event.seq
    of_turn = [event for event in wire.events if event.turn == done["turn"]]
    assert [event.type for event in of_turn].count("done") == 1
    assert of_turn[-1].type == "done"
    calls = wire.fold(done["conversation"]).turns[done["turn"]].blocks
    for block in calls:
        if block.tool and block.complete:
            assert block.tool.state == "done"
    given = [event.tool_id for event in of_turn if isinstance(event, ToolResult)]
    assert len(given) == len(set(given))


def text_of(wire: Wire, done: dict[str, Any]) -> str:
    return wire.fold(done["conversation"]).turns[str(done["turn"])].text


# Cancel

FIRST = Answer(
    Thinking(["Hm", "."]),
    Text(["Let", " me."]),
    ToolUse("note", {"n": 1}, id="toolu_1"),
    ToolUse("note", {"n": 2}, id="toolu_2"),
    stop_reason="tool_use",
)
SECOND = Answer(Text(["Al", "l", " done."]))
BEFORE_FIRST = 3
"""Events before the first answer: message, start, step."""
BETWEEN = 5
"""Events between the answers: two tools begin and end, and a step."""


def logged(answer: Answer, events: int | None = None) -> int:
    """How many events of the log the answer makes, or its first API events."""
    return sum(not isinstance(part, Stop) for part in parts_of(answer.events()[:events]))


PLACES = [(0, index) for index in range(len(FIRST.events()))]
PLACES += [(1, index) for index in range(len(SECOND.events()))]


@pytest.mark.parametrize(("step", "index"), PLACES)
async def test_cancel_at_any_api_event_ends_the_turn_once_and_the_next_message_works(
    simulator: Simulator, step: int, index: int
) -> None:
    gate = Gate()
    answers = [FIRST, SECOND]
    answers[step] = answers[step].at(index, gate)
    reached = BEFORE_FIRST + logged([FIRST, SECOND][step], index)
    if step == 1:
        reached += logged(FIRST) + BETWEEN
    async with talking(simulator, *answers[: step + 1], tools=[note]) as wire:
        ack = await wire.ask("send", content="Hello")
        while not wire.events or wire.events[-1].seq < reached:
            await wire.receive()
        before = merge(wire.events)
        async with patience():
            await gate.reached()
        turn = {"conversation": ack["conversation"], "turn": ack["turn"]}
        assert (await wire.ask("cancel", **turn))["outcome"] == "cancelling"
        done = await wire.until("done")
        async with patience():
            await simulator.wait(lambda: simulator.aborted_streams == 1)
        assert merge(wire.events)[: len(before)] == before, "what was seen stays"
        assert done["stop_reason"] == "cancelled"
        # Only before the end of the last answer's counts is there anything to estimate.
        is_counted = index == len([FIRST, SECOND][step].events()) - 1
        assert done["usage"].get("estimated") == (None if is_counted else True)
        assert (await wire.ask("cancel", **turn))["outcome"] == "already_done"
        await goes_on(wire, simulator, done)
    assert ran == (["note 1", "note 2"] if step == 1 else [])


async def test_cancel_while_tools_run_cancels_them_and_gives_them_results(
    simulator: Simulator,
) -> None:
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        """Wait."""
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            stopped.set()

    calls = [ToolUse("wait", {}, id="toolu_1"), ToolUse("note", {"n": 1}, id="toolu_2")]
    answer = Answer(*calls, stop_reason="tool_use")
    async with talking(simulator, answer, tools=[wait, note]) as wire:
        ack = await wire.ask("send", content="Hello")
        await wire.until("tool_result", tool_id="toolu_2")
        await wire.ask("cancel", conversation=ack["conversation"], turn=ack["turn"])
        done = await wire.until("done")
        async with patience():
            await stopped.wait()
        given = {event.tool_id: event.content for event in of_type(wire, ToolResult)}
        assert given == {"toolu_2": "noted 1", "toolu_1": "Cancelled by the user."}
        assert "estimated" not in done["usage"]
        await goes_on(wire, simulator, done)


async def test_cancel_in_a_retry_delay_ends_the_turn_at_once_and_keeps_the_text(
    simulator: Simulator,
) -> None:
    broken = HELLO.at(4, Cut())
    async with talking(simulator, broken, base_delay=600, max_delay=600) as wire:
        ack = await wire.ask("send", content="Hello")
        await wire.until("retry")
        await wire.ask("cancel", conversation=ack["conversation"], turn=ack["turn"])
        done = await wire.until("done")
        assert (done["stop_reason"], text_of(wire, done)) == ("cancelled", "Hel")
        await goes_on(wire, simulator, done)


async def test_two_cancels_have_one_effect(simulator: Simulator) -> None:
    gate = Gate()
    async with talking(simulator, HELLO.at(4, gate)) as wire:
        ack = await wire.ask("send", content="Hello")
        await wire.until("token")
        turn = {"conversation": ack["conversation"], "turn": ack["turn"]}
        await wire.send("cancel", **turn)
        await wire.send("cancel", **turn)
        done = await wire.until("done")
        await goes_on(wire, simulator, done)


# Failures of the model

INDEXES = range(len(HELLO.events()) - 1)
"""Up to where it says why it stops: from there on the answer is whole, however it ends."""


@pytest.mark.parametrize("control", [Cut(), ErrorEvent()], ids=["cut", "error event"])
@pytest.mark.parametrize("index", INDEXES)
async def test_an_attempt_that_breaks_anywhere_is_tried_again_and_nothing_is_repeated(
    simulator: Simulator, index: int, control: Cut | ErrorEvent
) -> None:
    async with talking(simulator, HELLO.at(index, control), HELLO) as wire:
        done = await ended(wire)
        assert (done["stop_reason"], text_of(wire, done)) == ("end_turn", "Hello")
        [retry] = of_type(wire, Retry)
        code = "network_error" if isinstance(control, Cut) else "overloaded"
        assert (retry.step, retry.attempt, retry.code) == (1, 1, code)
        has_spoken = any(event["type"] == "content_block_delta" for event in HELLO.events()[:index])
        assert [event.block for event in of_type(wire, Rewind)] == ([0] if has_spoken else [])
        await goes_on(wire, simulator, done)
    # The next attempt was asked the same: nothing of the failed one was in it.
    assert simulator.requests[0] == simulator.requests[1]


async def test_the_rewind_comes_right_before_the_new_attempt_speaks(simulator: Simulator) -> None:
    async with talking(simulator, HELLO.at(4, Cut()), HELLO) as wire:
        await ended(wire)
    kinds = [event.type for event in merge(wire.events)]
    assert kinds == [
        *("message", "start", "step", "usage", "token", "retry"),
        *("step", "usage", "rewind", "token", "block_stop", "usage", "done"),
    ]


async def test_finished_steps_and_their_tools_do_not_run_again(simulator: Simulator) -> None:
    broken = SECOND.at(5, Cut())
    async with talking(simulator, FIRST, broken, SECOND, tools=[note]) as wire:
        done = await ended(wire)
        assert text_of(wire, done) == "Let me.All done."
        assert [event.block for event in of_type(wire, Rewind)] == [4]
        await goes_on(wire, simulator, done)
    assert ran == ["note 1", "note 2"]


async def test_a_call_of_a_failed_attempt_never_runs_and_gets_no_result(
    simulator: Simulator,
) -> None:
    broken = FIRST.at(len(FIRST.events()) - 2, Cut())
    again = Answer(ToolUse("note", {"n": 3}, id="toolu_3"), stop_reason="tool_use")
    async with talking(simulator, broken, again, HELLO, tools=[note]) as wire:
        done = await ended(wire)
        assert [result.tool_id for result in of_type(wire, ToolResult)] == ["toolu_3"]
        await goes_on(wire, simulator, done)
    assert ran == ["note 3"]


async def test_retry_after_is_the_delay(simulator: Simulator) -> None:
    async with talking(simulator, Fault(429, retry_after=0.004), HELLO) as wire:
        done = await ended(wire)
    assert [(retry.code, retry.delay_seconds) for retry in of_type(wire, Retry)] == [
        ("rate_limit", 0.004)
    ]
    # The refused attempt counted nothing: there is nothing to estimate.
    assert "estimated" not in done["usage"]


async def test_when_the_retries_are_spent_the_turn_fails_and_its_text_stays(
    simulator: Simulator,
) -> None:
    broken = (HELLO.at(4, Cut()), Fault(529), HELLO.at(4, ErrorEvent()))
    async with talking(simulator, *broken, retries=2) as wire:
        done = await ended(wire)
        assert (done["stop_reason"], text_of(wire, done)) == ("failed", "Hel")
        assert done["usage"]["estimated"] is True
        assert [retry.code for retry in of_type(wire, Retry)] == ["network_error", "overloaded"]
        [error] = of_type(wire, Error)
        assert (error.code, error.retryable) == ("overloaded", True)
        await goes_on(wire, simulator, done)
    # What the user saw is what the model is told it said.
    said = simulator.requests[-1]["messages"][1]
    assert said == {"role": "assistant", "content": [{"type": "text", "text": "Hel"}]}


FINAL = {400: "invalid_request", 401: "auth_error", 403: "permission_denied", 404: "not_found"}
FINAL |= {413: "context_too_long"}


@pytest.mark.parametrize(("status", "code"), FINAL.items())
async def test_a_fault_that_another_attempt_would_not_mend_fails_at_once(
    simulator: Simulator, status: int, code: str
) -> None:
    async with talking(simulator, Fault(status)) as wire:
        done = await ended(wire)
        [error] = of_type(wire, Error)
        assert (error.code, error.message, error.retryable) == (code, "simulated fault", False)
        assert (done["stop_reason"], of_type(wire, Retry)) == ("failed", [])
        await goes_on(wire, simulator, done)


async def test_a_stall_is_a_timeout_and_tried_again(simulator: Simulator) -> None:
    async with talking(
        simulator, HELLO.at(4, Stall()), HELLO, stall_timeout=SILENCE_SECONDS
    ) as wire:
        done = await ended(wire)
        assert [retry.code for retry in of_type(wire, Retry)] == ["timeout"]
        assert text_of(wire, done) == "Hello"


async def test_a_turn_over_its_time_fails_and_closes_the_upstream(simulator: Simulator) -> None:
    async with talking(simulator, HELLO.at(4, Stall()), turn_timeout=SILENCE_SECONDS) as wire:
        done = await ended(wire)
        [error] = of_type(wire, Error)
        assert (error.code, done["stop_reason"]) == ("timeout", "failed")
        async with patience():
            await simulator.wait(lambda: simulator.aborted_streams == 1)
        assert of_type(wire, Done)[0].usage.estimated is True

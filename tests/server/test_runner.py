"""Whether the client that runs a turn's tools is still there, among others that follow."""

from typing import Any

import pytest

from tests.kit.chat import MODEL, ended, of_type
from tests.kit.patience import SILENCE_SECONDS
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import Wire, wired
from turnwire_protocol import ToolResult
from turnwire_simulator import Answer, Simulator, Text, ToolUse

RUNNER = "r_1"
TITLE = {"name": "page_title", "description": "", "input_schema": {"type": "object"}}
OFFER: dict[str, Any] = {"client_tools": [TITLE], "runner": RUNNER}
CALL = Answer(ToolUse("page_title", {}), stop_reason="tool_use")
OK = Answer(Text("Ok."))


async def left_by_its_runner(address: str, **send: Any) -> dict[str, Any]:
    """The `tool_executing` of a call whose runner has gone; the service knows that."""
    async with wired(address) as runner:
        await runner.send("send", content="hi", **OFFER, **send)
        return await runner.until("tool_executing")


async def noticed(wire: Wire) -> None:
    """Round trips in which the service takes note of what happened on other connections."""
    for _ in range(3):
        await wire.ask("ping")


async def result_of(wire: Wire) -> tuple[Any, bool]:
    """What the model was shown in the turn that ends now."""
    done = await wire.until("done")
    assert done["stop_reason"] == "end_turn"
    (result,) = [one for one in of_type(wire, ToolResult) if one.turn == done["turn"]]
    return result.content, result.is_error


async def test_readers_that_are_somebody_else_do_not_keep_a_call_waiting(
    simulator: Simulator,
) -> None:
    simulator.program(OK, CALL, OK)
    async with serving(turnwire_over(simulator, model=MODEL)) as address, wired(address) as other:
        conversation = (await ended(other, "make it", runner="r_2"))["conversation"]
        await left_by_its_runner(address, conversation=conversation)
        content, is_error = await result_of(other)
    assert is_error
    assert "gone" in content


@pytest.mark.parametrize("name", [{}, {"runner": RUNNER}])
async def test_a_reader_that_is_or_may_be_the_runner_keeps_it_waiting(
    simulator: Simulator, name: dict[str, str]
) -> None:
    simulator.program(OK, CALL, OK)
    async with serving(turnwire_over(simulator, model=MODEL)) as address, wired(address) as other:
        conversation = (await ended(other, "make it", runner="r_2"))["conversation"]
        await other.ask("subscribe", conversation=conversation, **name)
        executing = await left_by_its_runner(address, conversation=conversation)
        await noticed(other)
        call = {"tool_id": executing["tool_id"], "runner": RUNNER}
        await other.ask("tool_output", conversation=conversation, **call, content="Turnwire")
        assert await result_of(other) == ("Turnwire", False)


async def test_a_subscription_takes_the_name_of_a_later_send(simulator: Simulator) -> None:
    simulator.program(OK, OK, CALL, OK)
    async with serving(turnwire_over(simulator, model=MODEL)) as address, wired(address) as other:
        conversation = (await ended(other, "make it"))["conversation"]
        await ended(other, "again", conversation=conversation, runner="r_2")
        await left_by_its_runner(address, conversation=conversation)
        _, is_error = await result_of(other)
    assert is_error


async def test_a_runner_back_within_the_grace_goes_on_though_others_read(
    simulator: Simulator,
) -> None:
    simulator.program(OK, CALL, OK)
    turnwire = turnwire_over(simulator, model=MODEL, detach_grace=30.0)
    async with serving(turnwire) as address, wired(address) as other:
        conversation = (await ended(other, "make it", runner="r_2"))["conversation"]
        executing = await left_by_its_runner(address, conversation=conversation)
        await noticed(other)
        async with wired(address) as runner:
            await runner.ask("subscribe", conversation=conversation, runner=RUNNER)
            call = {"tool_id": executing["tool_id"], "runner": RUNNER}
            await runner.ask("tool_output", conversation=conversation, **call, content="T")
            assert await result_of(other) == ("T", False)


async def test_without_its_runner_a_turn_that_is_read_is_not_cancelled(
    simulator: Simulator,
) -> None:
    simulator.program(OK, CALL, OK)
    async with serving(turnwire_over(simulator, model=MODEL)) as address, wired(address) as other:
        conversation = (await ended(other, "make it", runner="r_2"))["conversation"]
        await left_by_its_runner(address, conversation=conversation, on_detach="cancel")
        _, is_error = await result_of(other)
    assert is_error


async def test_a_runner_that_was_away_and_is_back_has_all_the_time_there_is(
    simulator: Simulator,
) -> None:
    simulator.program(CALL, OK)
    grace, limit = SILENCE_SECONDS, 2 * SILENCE_SECONDS
    turnwire = turnwire_over(simulator, model=MODEL, detach_grace=grace, client_tool_timeout=limit)
    async with serving(turnwire) as address, wired(address) as runner:
        await runner.send("send", content="hi", **OFFER)
        conversation = (await runner.until("tool_executing"))["conversation"]
        await runner.send("unsubscribe", conversation=conversation)
        await runner.ask("subscribe", conversation=conversation, runner=RUNNER)
        content, is_error = await result_of(runner)
    assert is_error
    # Not the grace ended the wait, which would have been over first.
    assert f"{limit:g} seconds" in content

"""Tool calls that wait for somebody's decision."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kit.chat import MODEL, ended, head_of, of_type, talking
from tests.kit.oracle import check_log
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking as requesting
from tests.kit.sse import listening
from tests.kit.wire import Wire, wired
from turnwire_protocol import (
    ToolApproval,
    ToolDecision,
    ToolExecuting,
    ToolResult,
)
from turnwire_server import tool
from turnwire_simulator import Answer, Gate, Simulator, Text, ToolUse

RAN: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    RAN.clear()


@tool(approval=True)
def erase(path: str) -> str:
    """Erase a file.

    Args:
        path: Which.
    """
    RAN.append(path)
    return f"erased {path}"


@tool
def look(path: str) -> str:
    """Look at a file."""
    return f"saw {path}"


def asking(path: str = "a") -> Answer:
    """The model wants to erase something."""
    return Answer(ToolUse("erase", {"path": path}, id="toolu_1"), stop_reason="tool_use")


@asynccontextmanager
async def waiting(
    simulator: Simulator, *answers: Answer, **settings: Any
) -> AsyncIterator[tuple[Wire, dict[str, Any]]]:
    """A connection, and what names the call that waits on it for a decision."""
    async with talking(simulator, asking(), *answers, tools=[erase], **settings) as wire:
        await wire.send("send", content="erase a")
        approval = await wire.until("tool_approval")
        yield wire, {name: approval[name] for name in ("conversation", "tool_id")}


def shown(simulator: Simulator) -> str:
    """The result in the last request, as the model was shown it."""
    return str(simulator.requests[-1]["messages"][-1]["content"][0]["content"])


async def test_an_allowed_call_runs_and_its_result_is_used(simulator: Simulator) -> None:
    async with waiting(simulator, Answer(Text("Done."))) as (wire, call):
        assert RAN == []
        assert (await wire.ask("decide", **call, decision="allow"))["type"] == "ack"
        assert (await wire.until("done"))["stop_reason"] == "end_turn"
    assert (RAN, shown(simulator)) == (["a"], "erased a")


async def test_a_denied_call_does_not_run_and_the_model_learns_why(simulator: Simulator) -> None:
    async with waiting(simulator, Answer(Text("Ok."))) as (wire, call):
        await wire.ask("decide", **call, decision="deny", reason="not today")
        assert (await wire.until("done"))["stop_reason"] == "end_turn"
        (result,) = of_type(wire, ToolResult)
    assert (RAN, result.is_error, of_type(wire, ToolExecuting)) == ([], True, [])
    assert "not today" in shown(simulator)


async def test_an_edited_input_runs_and_the_result_says_so(simulator: Simulator) -> None:
    async with waiting(simulator, Answer(Text("Ok."))) as (wire, call):
        await wire.ask("decide", **call, decision="allow", input={"path": "b"})
        await wire.until("done")
        (executing,) = of_type(wire, ToolExecuting)
        (decision,) = of_type(wire, ToolDecision)
    assert (RAN, executing.input, decision.input) == (["b"], {"path": "b"}, {"path": "b"})
    assert '{"path":"b"}' in shown(simulator)
    (said,) = simulator.requests[-1]["messages"][-2]["content"]
    assert said["input"] == {"path": "a"}


async def test_a_long_edited_input_is_cut_where_the_model_is_told_of_it(
    simulator: Simulator,
) -> None:
    async with waiting(simulator, Answer(Text("Ok."))) as (wire, call):
        await wire.ask("decide", **call, decision="allow", input={"path": "b" * 100_000})
        await wire.until("done")
        (result,) = of_type(wire, ToolResult)
    assert RAN == ["b" * 100_000]
    assert len(str(result.content)) < 70_000


async def test_an_approval_nobody_answers_counts_as_deny(simulator: Simulator) -> None:
    answers = (asking(), Answer(Text("Ok.")))
    async with talking(simulator, *answers, tools=[erase], approval_timeout=0.05) as wire:
        await ended(wire)
        (decision,) = of_type(wire, ToolDecision)
        (result,) = of_type(wire, ToolResult)
    assert (RAN, decision.decision, result.is_error) == ([], "deny", True)
    assert decision.reason is not None
    assert decision.reason in shown(simulator)


# Meanwhile


async def test_while_one_call_waits_the_other_runs_and_another_conversation_streams(
    simulator: Simulator,
) -> None:
    calls = [ToolUse("erase", {"path": "a"}, id="toolu_1"), ToolUse("look", {"path": "b"})]
    step, other = Answer(*calls, stop_reason="tool_use"), Answer(Text(["Hel", "lo"]))
    answers = (step, other, Answer(Text("Ok.")))
    async with talking(simulator, *answers, tools=[erase, look]) as wire:
        ack = await wire.ask("send", content="erase a")
        await wire.until("tool_result", content="saw b")
        second = await wire.ask("send", content="hi")
        await wire.until("token", conversation=second["conversation"])
        await wire.until("done", conversation=second["conversation"])
        assert (RAN, of_type(wire, ToolDecision)) == ([], [])
        conversation = ack["conversation"]
        await wire.ask("decide", conversation=conversation, tool_id="toolu_1", decision="allow")
        assert (await wire.until("done", turn=ack["turn"]))["stop_reason"] == "end_turn"
    assert RAN == ["a"]


async def test_a_reader_that_joins_is_shown_the_approval_and_may_answer(
    simulator: Simulator,
) -> None:
    turnwire = turnwire_over(simulator, tools=[erase], model=MODEL)
    simulator.program(asking(), Answer(Text("Ok.")))
    async with serving(turnwire) as address:
        async with wired(address) as first:
            await first.send("send", content="erase a")
            shown_first = await first.until("tool_approval")
        # The one who asked is gone, longer than the grace; the call still waits.
        async with wired(address) as second:
            await second.ask("subscribe", conversation=shown_first["conversation"])
            assert await second.until("tool_approval") == shown_first
            call = {name: shown_first[name] for name in ("conversation", "tool_id")}
            await second.ask("decide", **call, decision="allow")
            assert (await second.until("done"))["stop_reason"] == "end_turn"
    assert RAN == ["a"]


async def test_two_readers_race_to_decide_one_wins_and_both_see_the_same(
    simulator: Simulator,
) -> None:
    simulator.program(asking(), Answer(Text("Ok.")))
    turnwire = turnwire_over(simulator, tools=[erase], model=MODEL)
    async with serving(turnwire) as address, wired(address) as one, wired(address) as two:
        ack = await one.ask("send", content="erase a")
        await two.ask("subscribe", conversation=ack["conversation"])
        for wire in (one, two):
            await wire.until("tool_approval")
        call = {"conversation": ack["conversation"], "tool_id": "toolu_1"}
        replies = await asyncio.gather(
            one.ask("decide", **call, decision="allow"),
            two.ask("decide", **call, decision="allow", input={"path": "b"}),
        )
        for wire in (one, two):
            await wire.until("done")
        (decision,) = of_type(one, ToolDecision)
        assert one.fold(ack["conversation"]) == two.fold(ack["conversation"])
    won = [reply["type"] == "ack" for reply in replies]
    assert sorted(won) == [False, True]
    assert {reply.get("code") for reply in replies} == {None, "already_decided"}
    assert decision.input == (None if won[0] else {"path": "b"})
    assert ["a" if won[0] else "b"] == RAN


async def test_an_approval_is_for_one_call_only(simulator: Simulator) -> None:
    again = Answer(ToolUse("erase", {"path": "a"}, id="toolu_2"), stop_reason="tool_use")
    async with waiting(simulator, again, Answer(Text("Ok."))) as (wire, call):
        await wire.ask("decide", **call, decision="allow")
        await wire.until("tool_approval", tool_id="toolu_2")
        assert RAN == ["a"]
        late = await wire.ask("decide", **call, decision="allow")
        await wire.ask("decide", **{**call, "tool_id": "toolu_2"}, decision="deny")
        await wire.until("done")
    assert (late["code"], RAN) == ("already_decided", ["a"])


# The end of the turn


async def test_cancelling_ends_the_wait_and_nothing_runs(simulator: Simulator) -> None:
    async with waiting(simulator, Answer(Text("Fine."))) as (wire, call):
        (approval,) = of_type(wire, ToolApproval)
        await wire.ask("cancel", conversation=call["conversation"], turn=approval.turn)
        done = await wire.until("done")
        late = await wire.ask("decide", **call, decision="allow")
        following = await ended(wire, conversation=call["conversation"])
        (result,) = of_type(wire, ToolResult)
    assert (done["stop_reason"], late["code"]) == ("cancelled", "unknown_tool_call")
    assert (result.is_error, following["stop_reason"], RAN) == (True, "end_turn", [])
    check_log(wire.events)


async def test_after_a_crash_the_turn_is_interrupted_and_the_approval_void(
    simulator: Simulator, tmp_path: Path
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    async with waiting(simulator, db=str(before / "db")) as (wire, call):
        # What the disk holds at this moment is what a crash would leave.
        shutil.copytree(before, after)
        assert len(of_type(wire, ToolApproval)) == 1
    simulator.program(Answer(Text("Welcome back.")))
    turnwire = turnwire_over(simulator, tools=[erase], db=str(after / "db"), model=MODEL)
    async with serving(turnwire) as address, wired(address) as wire:
        await wire.ask("subscribe", conversation=call["conversation"])
        done = await wire.until("done")
        late = await wire.ask("decide", **call, decision="allow")
        folded = wire.fold(call["conversation"]).to_dict()["turns"][0]
        following = await ended(wire, conversation=call["conversation"])
    assert (done["stop_reason"], late["code"], RAN) == ("interrupted", "unknown_tool_call", [])
    (block,) = folded["blocks"]
    assert (block["state"], block["result"]["is_error"]) == ("done", True)
    assert following["stop_reason"] == "end_turn"
    check_log(wire.events)


# Policies


@pytest.mark.parametrize(("path", "asked"), [("/etc/passwd", 1), ("notes", 0)])
async def test_a_policy_looks_at_the_input(simulator: Simulator, path: str, asked: int) -> None:
    def is_system(input: dict[str, Any]) -> bool:
        return str(input["path"]).startswith("/etc")

    careful = tool(name="erase", approval=is_system)(_plain_erase)
    answers = (asking(path), Answer(Text("Ok.")))
    async with talking(simulator, *answers, tools=[careful], approval_timeout=0.05) as wire:
        await ended(wire)
    assert len(of_type(wire, ToolApproval)) == asked
    assert ([] if asked else [path]) == RAN


async def test_a_policy_that_fails_asks(simulator: Simulator) -> None:
    def broken(input: dict[str, Any]) -> bool:
        raise KeyError("nonsense")

    careful = tool(name="erase", approval=broken)(_plain_erase)
    answers = (asking(), Answer(Text("Ok.")))
    async with talking(simulator, *answers, tools=[careful], approval_timeout=0.05) as wire:
        await ended(wire)
    assert (len(of_type(wire, ToolApproval)), RAN) == (1, [])


async def test_an_input_that_does_not_fit_the_schema_is_not_asked_about(
    simulator: Simulator,
) -> None:
    bad = Answer(ToolUse("erase", {"path": 7}), stop_reason="tool_use")
    async with talking(simulator, bad, Answer(Text("Ok.")), tools=[erase]) as wire:
        await ended(wire)
        (result,) = of_type(wire, ToolResult)
    assert (of_type(wire, ToolApproval), result.is_error, RAN) == ([], True, [])


def _plain_erase(path: str) -> str:
    """Erase a file."""
    RAN.append(path)
    return f"erased {path}"


# Decisions that are none

BAD: list[Any] = [
    pytest.param({"tool_id": "toolu_9"}, "unknown_tool_call", "tool_id", id="unknown call"),
    pytest.param(
        {"conversation": "c_9"}, "unknown_conversation", "conversation", id="unknown conversation"
    ),
    pytest.param({"input": {"path": 7}}, "bad_command", "input", id="input against the schema"),
    pytest.param({"input": {}}, "bad_command", "input", id="input that lacks a field"),
    pytest.param({"input": "b"}, "bad_command", "input", id="input that is no object"),
    pytest.param({"input": {"path": "b" * 300_000}}, "too_large", "input", id="input too large"),
    pytest.param({"reason": "r" * 5000}, "bad_command", "reason", id="reason too long"),
    pytest.param(
        {"decision": "deny", "input": {"path": "b"}}, "bad_command", "input", id="input and deny"
    ),
    pytest.param({"decision": "perhaps"}, "bad_command", "decision", id="no such decision"),
]


@pytest.mark.parametrize(("change", "code", "field"), BAD)
async def test_a_bad_decision_is_rejected_by_name_and_changes_nothing(
    simulator: Simulator, change: dict[str, Any], code: str, field: str
) -> None:
    async with waiting(simulator, Answer(Text("Ok."))) as (wire, call):
        head = await head_of(wire, call["conversation"])
        reject = await wire.ask("decide", **{**call, "decision": "allow", **change})
        assert await head_of(wire, call["conversation"]) == head
        await wire.ask("decide", **call, decision="allow")
        await wire.until("done")
    assert (reject["type"], reject["code"]) == ("reject", code)
    assert reject["message"].startswith(f"{field}:")
    assert RAN == ["a"]


async def test_a_decision_in_another_conversation_is_of_an_unknown_call(
    simulator: Simulator,
) -> None:
    async with waiting(simulator, Answer(Text("Hello.")), Answer(Text("Ok."))) as (wire, call):
        done = await ended(wire)
        other = {**call, "conversation": done["conversation"]}
        heads = [await head_of(wire, each["conversation"]) for each in (call, other)]
        reject = await wire.ask("decide", **other, decision="allow")
        assert heads == [await head_of(wire, each["conversation"]) for each in (call, other)]
        assert (reject["code"], RAN) == ("unknown_tool_call", [])
        assert reject["message"].startswith("tool_id:")
        await wire.ask("decide", **call, decision="deny")
        await wire.until("done")


async def test_somebody_else_may_not_decide(simulator: Simulator) -> None:
    simulator.program(asking(), Answer(Text("Ok.")))
    turnwire = turnwire_over(simulator, tools=[erase], authenticate=by_name, model=MODEL)
    async with (
        serving(turnwire) as address,
        wired(address, hello="anna") as anna,
        wired(address, hello="bert") as bert,
    ):
        ack = await anna.ask("send", content="erase a")
        await anna.until("tool_approval")
        call = {"conversation": ack["conversation"], "tool_id": "toolu_1"}
        head = await head_of(anna, call["conversation"])
        reject = await bert.ask("decide", **call, decision="allow")
        assert await head_of(anna, call["conversation"]) == head
        assert (reject["code"], RAN) == ("unknown_conversation", [])
        assert reject["message"].startswith("conversation:")
        await anna.ask("decide", **call, decision="deny")
        await anna.until("done")


async def test_a_call_that_needs_no_approval_takes_no_decision(simulator: Simulator) -> None:
    gate = Gate()
    call = Answer(ToolUse("look", {"path": "a"}, id="toolu_1"), stop_reason="tool_use")
    answers = (call, Answer(Text(["Hel", "lo"])).at(4, gate))
    async with talking(simulator, *answers, tools=[look]) as wire:
        ack = await wire.ask("send", content="look")
        await wire.until("token")
        reject = await wire.ask(
            "decide", conversation=ack["conversation"], tool_id="toolu_1", decision="deny"
        )
        gate.open()
        await wire.until("done")
    assert reject["code"] == "unknown_tool_call"


# REST


async def test_over_http_the_same_decision_has_the_same_effect_and_errors(
    simulator: Simulator,
) -> None:
    simulator.program(asking(), Answer(Text("Ok.")))
    turnwire = turnwire_over(simulator, tools=[erase], model=MODEL)
    async with serving(turnwire) as address, requesting(address) as http:
        body = {"message": "erase a", "on_detach": "continue"}
        async with listening(address, "/v1/chat", method="POST", json=body) as sse:
            approval = (await sse.until("tool_approval")).data
            path = f"/v1/conversations/{approval['conversation']}/decide"
            decide = {"tool_id": approval["tool_id"], "decision": "allow"}
            unknown = await http.post(path, json={**decide, "tool_id": "toolu_9"})
            bad = await http.post(path, json={**decide, "input": {"path": 7}})
            taken = await http.post(path, json=decide)
            again = await http.post(path, json=decide)
            await sse.until("done")
    statuses = [answer.status_code for answer in (unknown, bad, taken)]
    assert statuses == [404, 400, 200]
    assert (again.status_code, again.json()["error"]["code"]) in [
        (409, "already_decided"),
        (404, "unknown_tool_call"),
    ]
    assert bad.json()["error"]["message"].startswith("input:")
    assert RAN == ["a"]

"""Tool calls that wait for somebody's decision."""

from typing import Any

from tests.server.talking import MODEL, ended, of_type, talking
from turnwire_protocol import ToolDecision, ToolExecuting, ToolResult
from turnwire_server import tool
from turnwire_simulator import Answer, Simulator, Text, ToolUse

RAN: list[str] = []


@tool(approval=True)
def erase(path: str) -> str:
    """Erase a file.

    Args:
        path: Which.
    """
    RAN.append(path)
    return f"erased {path}"


def asking(path: str = "a") -> Answer:
    """The model wants to erase something."""
    return Answer(ToolUse("erase", {"path": path}), stop_reason="tool_use")


async def test_an_allowed_call_runs_and_its_result_is_used(simulator: Simulator) -> None:
    RAN.clear()
    async with talking(simulator, asking(), Answer(Text("Done.")), tools=[erase]) as wire:
        ack = await wire.ask("send", content="erase a")
        approval = await wire.until("tool_approval")
        assert RAN == []
        fields: dict[str, Any] = {
            "conversation": ack["conversation"],
            "tool_id": approval["tool_id"],
            "decision": "allow",
        }
        assert (await wire.ask("decide", **fields))["type"] == "ack"
        assert (await wire.until("done"))["stop_reason"] == "end_turn"
        again = await wire.ask("decide", **fields)
    assert RAN == ["a"]
    assert again["code"] == "unknown_tool_call"


async def test_a_denied_call_does_not_run_and_the_model_learns_why(simulator: Simulator) -> None:
    RAN.clear()
    async with talking(simulator, asking(), Answer(Text("Ok.")), tools=[erase]) as wire:
        ack = await wire.ask("send", content="erase a")
        approval = await wire.until("tool_approval")
        await wire.ask(
            "decide",
            conversation=ack["conversation"],
            tool_id=approval["tool_id"],
            decision="deny",
            reason="not today",
        )
        await wire.until("done")
        (result,) = of_type(wire, ToolResult)
    assert (RAN, result.is_error) == ([], True)
    assert "not today" in str(result.content)


async def test_an_edited_input_runs_and_the_result_says_so(simulator: Simulator) -> None:
    RAN.clear()
    async with talking(simulator, asking(), Answer(Text("Ok.")), tools=[erase]) as wire:
        ack = await wire.ask("send", content="erase a")
        approval = await wire.until("tool_approval")
        where = {"conversation": ack["conversation"], "tool_id": approval["tool_id"]}
        bad = await wire.ask("decide", **where, decision="allow", input={"path": 7})
        assert (bad["code"], bad["message"].split(":")[0]) == ("bad_command", "input")
        await wire.ask("decide", **where, decision="allow", input={"path": "b"})
        await wire.until("done")
        (result,) = of_type(wire, ToolResult)
        (executing,) = of_type(wire, ToolExecuting)
    assert (RAN, executing.input) == (["b"], {"path": "b"})
    assert '{"path":"b"}' in str(result.content)


async def test_an_approval_nobody_answers_counts_as_deny(simulator: Simulator) -> None:
    RAN.clear()
    async with talking(
        simulator, asking(), Answer(Text("Ok.")), tools=[erase], approval_timeout=0.05
    ) as wire:
        await ended(wire)
        (decision,) = of_type(wire, ToolDecision)
    assert (RAN, decision.decision, MODEL) == ([], "deny", MODEL)

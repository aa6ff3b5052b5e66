"""Tools that the API defines and the SDK runs here: offered by type, run by their own code."""

import os
from pathlib import Path
from typing import Any

import pytest
from anthropic.lib.tools import BetaAsyncBuiltinFunctionTool
from anthropic.lib.tools.agent_toolset import AgentToolContext, beta_agent_toolset_20260401
from anthropic.tools.memory import BetaAsyncLocalFilesystemMemoryTool, BetaLocalFilesystemMemoryTool
from anthropic.types.beta import BetaToolUnionParam

from tests.kit.chat import ended, of_type, talking
from turnwire_protocol import ToolApproval, ToolExecuting, ToolResult
from turnwire_server.errors import SettingsError
from turnwire_server.tools.define import as_tool
from turnwire_server.tools.load import load_tools
from turnwire_simulator import Answer, Simulator, Text, ToolUse


class Shell(BetaAsyncBuiltinFunctionTool):
    """Runs nothing, and says what it was asked."""

    def to_dict(self) -> BetaToolUnionParam:
        return {"type": "bash_20250124", "name": "bash", "cache_control": {"type": "ephemeral"}}

    async def call(self, input: object) -> str:
        return f"ran {input}"


@pytest.mark.parametrize(
    "kind", [BetaLocalFilesystemMemoryTool, BetaAsyncLocalFilesystemMemoryTool]
)
async def test_memory_is_kept_by_the_sdks_own_tool(
    simulator: Simulator, tmp_path: Path, kind: Any
) -> None:
    write = {"command": "create", "path": "/memories/a.txt", "file_text": "Likes coffee."}
    read = {"command": "view", "path": "/memories/none.txt"}
    answers = [
        Answer(ToolUse("memory", write), ToolUse("memory", read), stop_reason="tool_use"),
        Answer(Text("Kept.")),
    ]
    async with talking(simulator, *answers, tools=[kind(base_path=str(tmp_path))]) as wire:
        done = await ended(wire)
    assert done["stop_reason"] == "end_turn"
    assert (tmp_path / "memories" / "a.txt").read_text() == "Likes coffee."
    results = sorted((each.is_error, str(each.content)) for each in of_type(wire, ToolResult))
    assert [is_error for is_error, _ in results] == [False, True]
    assert "does not exist" in results[1][1]
    assert of_type(wire, ToolApproval) == []
    (tool,) = simulator.requests[0]["tools"]
    assert {name: tool[name] for name in ("type", "name")} == {
        "type": "memory_20250818",
        "name": "memory",
    }
    assert "input_schema" not in tool


async def test_a_shell_asks_first(simulator: Simulator) -> None:
    call = Answer(ToolUse("bash", {"command": "ls"}, id="toolu_1"), stop_reason="tool_use")
    async with talking(simulator, call, Answer(Text("Ok.")), tools=[Shell()]) as wire:
        ack = await wire.ask("send", content="List them")
        await wire.until("tool_approval", turn=ack["turn"])
        assert of_type(wire, ToolExecuting) == []
        place = {"conversation": ack["conversation"], "tool_id": "toolu_1"}
        await wire.ask("decide", decision="allow", **place)
        await wire.until("done", turn=ack["turn"])
    assert [each.content for each in of_type(wire, ToolResult)] == ["ran {'command': 'ls'}"]
    # The service says where the breakpoints are: there are four.
    marks = [tool.get("cache_control") for tool in simulator.requests[0]["tools"]]
    assert marks == [{"type": "ephemeral"}]


def test_of_the_agents_tools_those_ask_first_that_change_something(tmp_path: Path) -> None:
    tools = beta_agent_toolset_20260401(AgentToolContext(workdir=os.fspath(tmp_path)))
    asking = {made.name for made in map(as_tool, tools) if made.approval}
    assert asking == {"bash", "edit", "write"}


def test_a_module_with_such_tools_is_loaded_and_their_classes_are_not(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from anthropic.tools.memory import BetaAsyncLocalFilesystemMemoryTool\n"
        f"memory = BetaAsyncLocalFilesystemMemoryTool(base_path={str(tmp_path)!r})\n"
    )
    (found,) = load_tools(str(path))
    assert as_tool(found).name == "memory"


class Nameless(Shell):
    def to_dict(self) -> BetaToolUnionParam:
        return {"type": "computer_toolset_20260801"}


def test_one_without_a_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="computer_toolset_20260801"):
        as_tool(Nameless())

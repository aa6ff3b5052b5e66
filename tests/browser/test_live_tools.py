"""turnwire.js in Node.js against the real service: tools that run there, approvals, blobs."""

import asyncio
import json
from pathlib import Path

from tests.kit.node import run_node
from tests.kit.service import serving, turnwire_over
from turnwire_server import tool
from turnwire_simulator import Answer, Simulator, Text, ToolUse

CLIENT = Path(__file__).parent / "live_tools.mjs"
erased: list[str] = []


@tool(approval=True)
def erase(path: str) -> str:
    """Erase a file."""
    erased.append(path)
    return f"erased {path}"


def step(name: str, **input: object) -> Answer:
    return Answer(ToolUse(name, input), stop_reason="tool_use")


async def test_tools_blobs_and_decisions_between_two_wires() -> None:
    erased.clear()
    async with Simulator() as simulator:
        simulator.program(
            step("page_title"),
            Answer(Text("It is Turnwire.")),
            Answer(Text("A dot.")),
            step("erase", path="a.txt"),
            Answer(Text("Gone.")),
        )
        limits = {"detach_grace": 30.0, "limits": {"max_blob_bytes": 1000}}
        turnwire = turnwire_over(simulator, tools=[erase], **limits)
        async with serving(turnwire) as address:
            printed = await asyncio.to_thread(
                run_node,
                "--no-warnings",
                "--experimental-websocket",
                str(CLIENT),
                f"http://{address}",
            )
        (result,) = simulator.requests[1]["messages"][-1]["content"]
        image = simulator.requests[2]["messages"][-1]["content"][1]
    assert json.loads(printed) == ["It is Turnwire.", "A dot.", "Gone."]
    assert result["content"] == "Turnwire"
    assert image["source"]["media_type"] == "image/png"
    assert erased == ["b.txt"]

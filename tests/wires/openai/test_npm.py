"""OpenAI's own client for JavaScript, unchanged, as a process of Node.js."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.kit.npm import packages_of
from tests.kit.patience import patience
from tests.kit.service import upstream_left
from tests.wires.openai.conftest import served
from turnwire_server.core.turn.options import DEFAULT_MODEL as MODEL
from turnwire_simulator import Answer, Cut, Fault, Gate, Simulator, Text, Thinking, ToolUse

HERE = Path(__file__).parent


class Answers:
    """What the model says, by what it is asked last; counts what begins with "count"."""

    def __init__(self) -> None:
        self.counted = 0
        self._held = Gate()

    def __call__(self, body: dict[str, Any]) -> Answer | Fault:
        last = body["messages"][-1]["content"]
        last = last if isinstance(last, list) else [{"type": "text", "text": last}]
        if any(block["type"] == "tool_result" for block in last):
            return Answer(Text("Sunny."))
        match last[-1]["text"]:
            case "think":
                return Answer(Thinking("hm"), Text(["Hello, ", "Anna"]))
            case "Rome?":
                call = ToolUse("weather", {"city": "Rome"})
                return Answer(Text("Let me look."), call, stop_reason="tool_use")
            case "fail":
                return Answer(Text(["half an ", Cut()]))
            case "stop":
                return Answer(Text(["Half of ", Gate()]))
            case "count at once":
                self.counted += 1
                return Answer(Text([f"{self.counted}", self._held, "!"]))
            case "let it go on":
                self._held.open()
                return Answer(Text("Yes."))
            case _:
                self.counted += 1
                return Answer(Text(f"{self.counted}"))


async def outcomes_of(url: str) -> dict[str, Any]:
    """What the program says of its cases."""
    packages = packages_of(HERE)
    with packages.work_folder(HERE / "client.mjs") as folder:
        process = await asyncio.create_subprocess_exec(
            packages.node,
            "client.mjs",
            url,
            MODEL,
            cwd=folder,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            async with patience():
                printed, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    outcomes: dict[str, Any] = json.loads(printed)
    return outcomes


async def test_all_that_the_client_for_javascript_does() -> None:
    async with Simulator() as simulator:
        simulator.answer_with(Answers())
        async with served(simulator, retries=0) as service:
            assert await outcomes_of(service.url) == {
                "streams": ["Hello, Anna", "hm", "stop", True],
                "runs_tools": [["Sunny.", "Sunny."], ["Rome", "Rome"]],
                "regenerates_and_edits": ["1", "2", "3", "4"],
                "asks_three_times_at_once": ["5!", "5!", "5!"],
                "loses_a_reply": ["6", 2],
                "is_refused": [
                    ["NotFoundError", 404, "model_not_found"],
                    ["BadRequestError", 400, "bad_command"],
                    ["AuthenticationError", 401, "unauthorized"],
                ],
                "fails_in_mid_stream": ["half an ", ["APIError", None, "network_error"]],
                "stops": True,
                "lists_models": [MODEL],
            }
            await upstream_left(simulator)
            assert await service.log("stopped") == [("stop", "Half of ", "cancelled")]
            assert await service.log("edits") == [
                ("count", "1", "end_turn"),
                ("count on", "4", "end_turn"),
            ]
            assert [turn[:2] for turn in await service.log("tools")] == [
                ("Rome?", "Let me look.Sunny.")
            ]

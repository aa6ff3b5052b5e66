"""Effort and structured output through every client: Python, REST, JavaScript, the terminal."""

import asyncio
import datetime
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel

from tests.client.program import ended, start
from tests.kit.node import run_node
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from turnwire import BadArgument, BadOutput, connect
from turnwire_simulator import Answer, Simulator, Text, ToolUse

MODEL = "claude-simulated-opus"
CLIENT = Path(__file__).parents[2] / "client/turnwire_browser/static/turnwire/turnwire.js"
TEXT = '{"city": "Oslo", "day": "2026-11-26"}'
DATA = {"city": "Oslo", "day": "2026-11-26"}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "day": {"type": "string", "format": "date"}},
    "required": ["city", "day"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "schema": SCHEMA}


def _short(text: str) -> str:
    assert len(text) < 10
    return text


class Weather(BaseModel):
    city: Annotated[str, AfterValidator(_short)]
    day: datetime.date


def look(city: str) -> str:
    """The weather."""
    return f"sunny in {city}"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def address(simulator: Simulator) -> AsyncIterator[str]:
    settings = {"model": MODEL, "detach_grace": 30.0}
    async with serving(turnwire_over(simulator, tools=[look], **settings)) as address:
        yield f"http://{address}"


def asked(simulator: Simulator) -> dict[str, Any]:
    """What the last request said of how to answer."""
    body = simulator.requests[-1]
    return {"effort": body["output_config"].get("effort"), **body["output_config"]["format"]}


async def test_a_model_of_pydantic_comes_back_as_one(address: str, simulator: Simulator) -> None:
    simulator.program(Answer(Text(TEXT)), Answer(Text(TEXT)))
    async with connect(address) as wire:
        chat = wire.conversation()
        turn = await chat.send("Where?", output_format=Weather, effort="low")
        weather = (await turn).output
        assert weather == Weather(city="Oslo", day=datetime.date(2026, 11, 26))
        # Awaited again, it is the same.
        assert (await turn).output == weather
        assert (await (await chat.send("Where?", output_format=FORMAT))).output == DATA
    sent = simulator.requests[0]["output_config"]
    assert (sent["effort"], sent["format"]["schema"]["required"]) == ("low", ["city", "day"])


async def test_output_comes_behind_the_calls_of_tools(address: str, simulator: Simulator) -> None:
    call = Answer(Text("I look."), ToolUse("look", {"city": "Oslo"}), stop_reason="tool_use")
    simulator.program(call, Answer(Text(TEXT)))
    choice = {"type": "tool", "name": "look"}
    async with connect(address) as wire:
        reply = await (
            await wire.conversation().send("?", output_format=Weather, tool_choice=choice)
        )
    assert reply.output is not None
    assert (reply.text, reply.output.city) == (f"I look.{TEXT}", "Oslo")


async def test_data_of_another_type_is_told_with_the_reply(
    address: str, simulator: Simulator
) -> None:
    long = {"city": "Llanfairpwll", "day": "2026-11-26"}
    simulator.program(Answer(Text(json.dumps(long))))
    async with connect(address) as wire:
        turn = await wire.conversation().send("Where?", output_format=Weather)
        with pytest.raises(BadOutput, match="city") as caught:
            await turn
    assert caught.value.reply.output == long


async def test_an_answer_that_was_cut_off_has_no_output(address: str, simulator: Simulator) -> None:
    simulator.program(Answer(Text(TEXT[:20]), stop_reason="max_tokens"))
    async with connect(address) as wire:
        reply = await (await wire.conversation().send("Where?", output_format=Weather))
    assert (reply.output, reply.stop_reason) == (None, "max_tokens")


async def test_what_has_no_schema_is_not_sent(address: str, simulator: Simulator) -> None:
    async with connect(address) as wire:
        with pytest.raises(BadArgument, match="output_format"):
            await wire.conversation().send("?", output_format=Simulator)
    assert simulator.requests == []


async def test_rest_answers_with_the_output_beside_the_text(
    address: str, simulator: Simulator
) -> None:
    simulator.program(Answer(Text(TEXT)))
    async with asking(address.removeprefix("http://")) as http:
        body = {"message": "Where?", "effort": "max", "output_format": FORMAT}
        answer = await http.post("/v1/chat", json=body, headers={"Accept": "application/json"})
        told = answer.json()
        folded = (await http.get(f"/v1/conversations/{told['conversation']}")).json()
    assert (told["output"], told["text"]) == (DATA, TEXT)
    assert folded["turns"][0]["done"]["output"] == DATA
    assert asked(simulator) == {"effort": "max", **FORMAT}


SCRIPT = """
import { connect } from %s;
const [service, format] = process.argv.slice(2);
const wire = connect(service);
const chat = wire.conversation();
const turn = await chat.send("Where?", { effort: "high", output_format: JSON.parse(format) });
const { output } = await turn.done;
console.log(JSON.stringify([output, chat.getSnapshot().turns[0].done.output]));
wire.close();
"""


async def test_javascript_has_the_output(
    address: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.program(Answer(Text(TEXT)))
    script = tmp_path / "output.mjs"
    script.write_text(SCRIPT % json.dumps(CLIENT.as_uri()))
    flags = ("--no-warnings", "--experimental-websocket")
    printed = await asyncio.to_thread(run_node, *flags, str(script), address, json.dumps(FORMAT))
    assert json.loads(printed) == [DATA, DATA]
    assert asked(simulator) == {"effort": "high", **FORMAT}


async def test_the_terminal_prints_the_output(
    address: str, simulator: Simulator, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    call = Answer(Text("I look."), ToolUse("look", {"city": "Oslo"}), stop_reason="tool_use")
    simulator.program(call, Answer(Text(TEXT)))
    options = ("--effort", "low", "--output-schema", str(schema), "--tool-choice", "any")
    stops = ("--stop-sequence", "END", "--model", MODEL)
    process = await start("chat", "--url", address, *options, *stops, "Where?")
    assert await ended(process) == (0, f"{json.dumps(DATA)}\n", "")
    assert asked(simulator) == {"effort": "low", **FORMAT}
    first = simulator.requests[0]
    assert (first["tool_choice"], first["stop_sequences"]) == ({"type": "any"}, ["END"])


async def test_the_terminal_says_where_there_is_no_output(
    address: str, simulator: Simulator, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    simulator.program(Answer(Text(TEXT[:20]), stop_reason="max_tokens"))
    process = await start("chat", "--url", address, "--output-schema", str(schema), "Where?")
    code, output, errors = await ended(process)
    assert (code, output) == (1, f"{TEXT[:20]}\n")
    assert "max_tokens" in errors

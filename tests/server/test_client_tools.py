"""Tools that run in the client that sent the message."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.kit.chat import MODEL, ended, head_of, of_type, talking
from tests.kit.oracle import check_log
from tests.kit.patience import SILENCE_SECONDS
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking as requesting
from tests.kit.sse import listening
from tests.kit.wire import Wire, wired
from turnwire_protocol import ToolExecuting, ToolProgress, ToolResult, ToolStart
from turnwire_server import tool
from turnwire_server.tools.port import ToolContext
from turnwire_simulator import Answer, Simulator, Text, ToolUse

RUNNER = "r_1"
SCHEMA = {
    "type": "object",
    "properties": {"part": {"type": "string"}},
    "required": ["part"],
}
TITLE = {"name": "page_title", "description": "The page's title.", "input_schema": SCHEMA}
OFFER: dict[str, Any] = {"client_tools": [TITLE], "runner": RUNNER}
OK = Answer(Text("Ok."))


@tool
def look(path: str) -> str:
    """Look at a file."""
    return f"saw {path}"


def calling(*, id: str = "toolu_1", part: Any = "all") -> Answer:
    """The model wants to know the title."""
    return Answer(ToolUse("page_title", {"part": part}, id=id), stop_reason="tool_use")


@asynccontextmanager
async def running(
    simulator: Simulator, *answers: Answer, **settings: Any
) -> AsyncIterator[tuple[Wire, dict[str, Any]]]:
    """A connection, and what names the call that runs there."""
    async with talking(simulator, calling(), *answers, **settings) as wire:
        await wire.send("send", content="What page is this?", **OFFER)
        executing = await wire.until("tool_executing")
        yield wire, {name: executing[name] for name in ("conversation", "tool_id", "runner")}


def shown(simulator: Simulator) -> dict[str, Any]:
    """The result in the last request, as the model was shown it."""
    (block,) = simulator.requests[-1]["messages"][-1]["content"]
    return {name: block[name] for name in ("content", "is_error") if name in block}


async def test_the_runners_output_is_the_result_in_the_same_turn(simulator: Simulator) -> None:
    async with running(simulator, Answer(Text("It is Turnwire."))) as (wire, call):
        reply = await wire.ask("tool_output", **call, content="Turnwire")
        done = await wire.until("done")
        (start,) = of_type(wire, ToolStart)
        (executing,) = of_type(wire, ToolExecuting)
        (result,) = of_type(wire, ToolResult)
        text = wire.fold(call["conversation"]).turns[done["turn"]].text
    assert (reply["type"], done["stop_reason"], done["steps"]) == ("ack", "end_turn", 2)
    assert (start.runs_on, executing.runs_on, executing.runner) == ("client", "client", RUNNER)
    assert (executing.input, result.content, text) == (
        {"part": "all"},
        "Turnwire",
        "It is Turnwire.",
    )
    assert shown(simulator) == {"content": "Turnwire"}
    offered = simulator.requests[0]["tools"]
    assert [{name: tool[name] for name in TITLE} for tool in offered] == [TITLE]
    check_log(wire.events)


async def test_text_blocks_are_given_to_the_model_as_blocks(simulator: Simulator) -> None:
    blocks = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    async with running(simulator, OK) as (wire, call):
        await wire.ask("tool_output", **call, content=blocks)
        await wire.until("done")
    assert shown(simulator) == {"content": blocks}


@pytest.mark.parametrize("content", ["", []])
async def test_nothing_is_a_result(simulator: Simulator, content: Any) -> None:
    async with running(simulator, OK) as (wire, call):
        await wire.ask("tool_output", **call, content=content)
        assert (await wire.until("done"))["stop_reason"] == "end_turn"
        (result,) = of_type(wire, ToolResult)
    assert (result.content, result.is_error) == ("", False)


async def test_an_error_of_the_client_is_an_error_for_the_model(simulator: Simulator) -> None:
    async with running(simulator, OK) as (wire, call):
        await wire.ask("tool_output", **call, content="no page is open", is_error=True)
        await wire.until("done")
    assert shown(simulator) == {"content": "no page is open", "is_error": True}


async def test_a_long_output_is_cut_for_the_model_and_says_so(simulator: Simulator) -> None:
    async with running(simulator, OK) as (wire, call):
        await wire.ask("tool_output", **call, content="x" * 200_000)
        await wire.until("done")
    content = shown(simulator)["content"]
    assert len(content) < 60_000
    assert "cut" in content[-100:]


async def test_server_and_client_tools_of_a_step_run_at_once(simulator: Simulator) -> None:
    calls = (ToolUse("look", {"path": "a"}), ToolUse("page_title", {"part": "x"}, id="toolu_1"))
    step = Answer(*calls, stop_reason="tool_use")
    async with talking(simulator, step, OK, tools=[look]) as wire:
        ack = await wire.ask("send", content="hi", **OFFER)
        await wire.until("tool_result", content="saw a")
        where = {"conversation": ack["conversation"], "tool_id": "toolu_1", "runner": RUNNER}
        await wire.ask("tool_output", **where, content="T")
        assert (await wire.until("done"))["stop_reason"] == "end_turn"
    assert sorted(str(result.content) for result in of_type(wire, ToolResult)) == ["T", "saw a"]


async def test_an_input_against_the_schema_never_reaches_the_client(simulator: Simulator) -> None:
    async with talking(simulator, calling(part=7), OK) as wire:
        await ended(wire, **OFFER)
        (result,) = of_type(wire, ToolResult)
    assert (of_type(wire, ToolExecuting), result.is_error) == ([], True)
    assert "part" in str(result.content)


@pytest.mark.parametrize(
    "reference",
    ["#/$defs/nowhere", "#/properties/part", "http://127.0.0.1:9/schema", "file:///etc/hostname"],
)
async def test_a_schema_that_refers_elsewhere_fails_the_call_and_not_the_turn(
    simulator: Simulator, reference: str
) -> None:
    schema = {"type": "object", "properties": {"part": {"allOf": [{"$ref": reference}]}}}
    offer: dict[str, Any] = {"client_tools": [{**TITLE, "input_schema": schema}], "runner": RUNNER}
    async with talking(simulator, calling(), OK) as wire:
        done = await ended(wire, **offer)
        (result,) = of_type(wire, ToolResult)
    assert (done["stop_reason"], result.is_error) == ("end_turn", True)


async def test_a_schema_that_refers_to_a_server_is_not_fetched(simulator: Simulator) -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as foreign:
        port = foreign.sockets[0].getsockname()[1]
        schema = {"type": "object", "$ref": f"http://127.0.0.1:{port}/schema"}
        offer: dict[str, Any] = {
            "client_tools": [{**TITLE, "input_schema": schema}],
            "runner": RUNNER,
        }
        async with talking(simulator, calling(), OK) as wire:
            await ended(wire, **offer)
    assert asked == []


# Who answers, and when


@pytest.mark.parametrize("on_detach", ["continue", "cancel"])
async def test_a_runner_that_comes_back_answers_on_its_new_connection(
    simulator: Simulator, on_detach: str
) -> None:
    simulator.program(calling(), OK)
    # Without any grace: while the turn rests, nobody has to be there.
    turnwire = turnwire_over(simulator, model=MODEL, detach_grace=0.0)
    async with serving(turnwire) as address:
        async with wired(address) as wire:
            await wire.send("send", content="hi", on_detach=on_detach, **OFFER)
            executing = await wire.until("tool_executing")
        async with wired(address) as wire:
            # Round trips in which the service takes note that the first has gone.
            for _ in range(3):
                await wire.ask("ping")
            await wire.ask("subscribe", conversation=executing["conversation"])
            assert await wire.until("tool_executing") == executing
            call = {name: executing[name] for name in ("conversation", "tool_id", "runner")}
            await wire.ask("tool_output", **call, content="T")
            assert (await wire.until("done"))["stop_reason"] == "end_turn"
    assert shown(simulator) == {"content": "T"}


async def test_a_runner_that_never_answers_meets_the_time_limit(simulator: Simulator) -> None:
    async with running(simulator, OK, client_tool_timeout=0.05) as (wire, call):
        assert (await wire.until("done"))["stop_reason"] == "end_turn"
        late = await wire.ask("tool_output", **call, content="T")
    assert late["code"] == "unknown_tool_call"
    assert shown(simulator)["is_error"] is True
    assert "0.05 seconds" in shown(simulator)["content"]


async def test_an_output_after_the_time_limit_in_the_same_turn_is_too_late(
    simulator: Simulator,
) -> None:
    second = calling(id="toolu_2")
    async with running(simulator, second, OK, client_tool_timeout=SILENCE_SECONDS) as (wire, call):
        await wire.until("tool_executing", tool_id="toolu_2")
        late = await wire.ask("tool_output", **call, content="T")
        await wire.ask("tool_output", **{**call, "tool_id": "toolu_2"}, content="T")
        await wire.until("done")
    assert late["code"] == "already_decided"


async def test_cancelling_ends_the_wait_for_the_client(simulator: Simulator) -> None:
    async with running(simulator, OK) as (wire, call):
        (executing,) = of_type(wire, ToolExecuting)
        await wire.ask("cancel", conversation=call["conversation"], turn=executing.turn)
        assert (await wire.until("done"))["stop_reason"] == "cancelled"
        late = await wire.ask("tool_output", **call, content="T")
        assert (await ended(wire, conversation=call["conversation"]))["stop_reason"] == "end_turn"
        (result,) = of_type(wire, ToolResult)
    assert (late["code"], result.is_error) == ("unknown_tool_call", True)
    check_log(wire.events)


# Outputs that are none

BAD = [
    pytest.param({"runner": "r_2"}, "bad_command", "runner", id="another runner"),
    pytest.param({"tool_id": "toolu_9"}, "unknown_tool_call", "tool_id", id="unknown call"),
    pytest.param(
        {"conversation": "c_9"}, "unknown_conversation", "conversation", id="unknown conversation"
    ),
    pytest.param({"content": "x" * 300_000}, "too_large", "content", id="too large"),
    pytest.param({"content": {"a": 1}}, "bad_command", "content", id="no content"),
    pytest.param({"is_error": "yes"}, "bad_command", "is_error", id="no boolean"),
]


@pytest.mark.parametrize(("change", "code", "field"), BAD)
async def test_a_bad_output_is_rejected_by_name_and_changes_nothing(
    simulator: Simulator, change: dict[str, Any], code: str, field: str
) -> None:
    async with running(simulator, OK) as (wire, call):
        head = await head_of(wire, call["conversation"])
        reject = await wire.ask("tool_output", **{**call, "content": "bad", **change})
        assert await head_of(wire, call["conversation"]) == head
        await wire.ask("tool_output", **call, content="T")
        await wire.until("done")
    assert (reject["type"], reject["code"]) == ("reject", code)
    assert reject["message"].startswith(f"{field}:")
    assert shown(simulator) == {"content": "T"}


async def test_the_first_output_counts_and_a_second_is_rejected(simulator: Simulator) -> None:
    async with running(simulator, OK) as (wire, call):
        first = await wire.send("tool_output", **call, content="first")
        second = await wire.send("tool_output", **call, content="second")
        # The ack waits until the output is stored; the reject has nothing to wait for.
        replies: dict[str, Any] = {}
        while len(replies) < 2:
            message = await wire.receive()
            if message.get("id") in (first, second):
                replies[message["id"]] = message
        assert replies[first]["type"] == "ack"
        reject = replies[second]
        await wire.until("done")
        assert len(of_type(wire, ToolResult)) == 1
    assert reject["code"] in ("already_decided", "unknown_tool_call")
    assert reject["message"].startswith("tool_id:")
    assert shown(simulator) == {"content": "first"}


async def test_an_output_in_another_conversation_is_of_an_unknown_call(
    simulator: Simulator,
) -> None:
    async with running(simulator, Answer(Text("Hello.")), OK) as (wire, call):
        done = await ended(wire)
        other = {**call, "conversation": done["conversation"]}
        heads = [await head_of(wire, each["conversation"]) for each in (call, other)]
        reject = await wire.ask("tool_output", **other, content="T")
        assert heads == [await head_of(wire, each["conversation"]) for each in (call, other)]
        await wire.ask("tool_output", **call, content="T")
        await wire.until("done")
    assert reject["code"] == "unknown_tool_call"
    assert reject["message"].startswith("tool_id:")


async def test_somebody_else_may_not_answer_nor_report(simulator: Simulator) -> None:
    simulator.program(calling(), OK)
    turnwire = turnwire_over(simulator, authenticate=by_name, model=MODEL)
    async with (
        serving(turnwire) as address,
        wired(address, hello="anna") as anna,
        wired(address, hello="bert") as bert,
    ):
        await anna.send("send", content="hi", **OFFER)
        executing = await anna.until("tool_executing")
        call = {name: executing[name] for name in ("conversation", "tool_id", "runner")}
        head = await head_of(anna, call["conversation"])
        output = await bert.ask("tool_output", **call, content="B")
        report = await bert.ask("progress", **call, message="B")
        assert await head_of(anna, call["conversation"]) == head
        await anna.ask("tool_output", **call, content="A")
        await anna.until("done")
        assert of_type(anna, ToolProgress) == []
    assert (output["code"], report["code"]) == ("unknown_conversation", "unknown_conversation")
    assert shown(simulator) == {"content": "A"}


async def test_a_servers_tool_takes_no_output_from_a_client(simulator: Simulator) -> None:
    entered, may_end = asyncio.Event(), asyncio.Event()

    @tool
    async def hold() -> str:
        """Hold."""
        entered.set()
        await may_end.wait()
        return "held"

    step = Answer(ToolUse("hold", {}, id="toolu_1"), stop_reason="tool_use")
    async with talking(simulator, step, OK, tools=[hold]) as wire:
        ack = await wire.ask("send", content="hi", **OFFER)
        await entered.wait()
        call = {"conversation": ack["conversation"], "tool_id": "toolu_1", "runner": RUNNER}
        output = await wire.ask("tool_output", **call, content="mine")
        report = await wire.ask("progress", **call, message="mine")
        may_end.set()
        await wire.until("done")
    assert (output["code"], report["code"]) == ("unknown_tool_call", "unknown_tool_call")
    assert shown(simulator) == {"content": "held"}


# Offers that are none

OFFERS = [
    pytest.param([TITLE, TITLE], "client_tools.1.name", id="two of one name"),
    pytest.param([{**TITLE, "name": "look"}], "client_tools.0.name", id="a server's name"),
    pytest.param([{**TITLE, "name": "no name"}], "client_tools.0.name", id="no name"),
    pytest.param(
        [{**TITLE, "input_schema": {"type": "text"}}],
        "client_tools.0.input_schema.type",
        id="no schema",
    ),
    pytest.param(
        [{**TITLE, "input_schema": {"type": "array"}}], "client_tools.0.input_schema", id="a list"
    ),
    pytest.param(
        [{**TITLE, "input_schema": {"type": "object", "properties": {"a": {"pattern": "("}}}}],
        "client_tools.0.input_schema.properties.a.pattern",
        id="no pattern",
    ),
]


@pytest.mark.parametrize(("client_tools", "field"), OFFERS)
async def test_a_bad_offer_is_rejected_by_name_and_begins_nothing(
    simulator: Simulator, client_tools: list[dict[str, Any]], field: str
) -> None:
    async with talking(simulator, Answer(Text("Hi.")), tools=[look]) as wire:
        done = await ended(wire)
        where = {"conversation": done["conversation"]}
        offer: dict[str, Any] = {"client_tools": client_tools, "runner": RUNNER}
        reject = await wire.ask("send", content="hi", **where, **offer)
        assert await head_of(wire, done["conversation"]) == done["seq"]
    assert (reject["type"], reject["code"]) == ("reject", "bad_command")
    assert reject["message"].startswith(f"{field}:")


async def test_a_name_of_a_server_tool_is_taken_even_where_that_is_not_offered(
    simulator: Simulator,
) -> None:
    offer: dict[str, Any] = {
        "client_tools": [{**TITLE, "name": "look"}],
        "runner": RUNNER,
        "tools": [],
    }
    async with talking(simulator, OK, tools=[look]) as wire:
        assert (await wire.ask("send", content="hi", **offer))["code"] == "bad_command"


# Progress


async def test_what_the_runner_reports_is_shown_to_every_reader(simulator: Simulator) -> None:
    async with running(simulator, OK) as (wire, call):
        reply = await wire.ask("progress", **call, message="half", fraction=0.5)
        await wire.until("tool_progress")
        await wire.ask("tool_output", **call, content="T")
        await wire.until("done")
        (progress,) = of_type(wire, ToolProgress)
    assert reply["type"] == "ack"
    assert (progress.message, progress.fraction) == ("half", 0.5)


async def test_reports_are_limited_in_rate(simulator: Simulator) -> None:
    async with running(simulator, OK) as (wire, call):
        for number in range(40):
            await wire.send("progress", **call, message=f"{number} of 40")
        await wire.ask("tool_output", **call, content="T")
        await wire.until("done")
    assert 1 <= len(of_type(wire, ToolProgress)) < 20


BAD_REPORTS = [
    pytest.param({"runner": "r_2"}, "bad_command", "runner", id="another runner"),
    pytest.param({"tool_id": "toolu_9"}, "unknown_tool_call", "tool_id", id="unknown call"),
    pytest.param({"fraction": 2}, "bad_command", "fraction", id="more than all"),
    pytest.param({"fraction": "0.5"}, "bad_command", "fraction", id="no number"),
    pytest.param({"message": "x" * 5000}, "bad_command", "message", id="too long"),
]


@pytest.mark.parametrize(("change", "code", "field"), BAD_REPORTS)
async def test_a_bad_report_is_rejected_by_name_and_changes_nothing(
    simulator: Simulator, change: dict[str, Any], code: str, field: str
) -> None:
    async with running(simulator, OK) as (wire, call):
        reject = await wire.ask("progress", **{**call, "message": "half", **change})
        await wire.ask("tool_output", **call, content="T")
        await wire.until("done")
    assert (reject["type"], reject["code"]) == ("reject", code)
    assert reject["message"].startswith(f"{field}:")
    assert of_type(wire, ToolProgress) == []


async def test_a_report_on_a_call_that_has_its_result_is_too_late(simulator: Simulator) -> None:
    async with running(simulator, calling(id="toolu_2"), OK) as (wire, call):
        await wire.ask("tool_output", **call, content="T")
        await wire.until("tool_executing", tool_id="toolu_2")
        late = await wire.ask("progress", **call, message="late")
        await wire.ask("tool_output", **{**call, "tool_id": "toolu_2"}, content="T")
        await wire.until("done")
    assert (late["code"], of_type(wire, ToolProgress)) == ("already_decided", [])


async def test_a_servers_tool_reports_within_the_same_rate(simulator: Simulator) -> None:
    @tool
    def count(context: ToolContext) -> str:
        """Count."""
        for number in range(1000):
            context.progress(f"{number} of 1000", number / 1000)
        return "counted"

    step = Answer(ToolUse("count", {}), stop_reason="tool_use")
    async with talking(simulator, step, OK, tools=[count]) as wire:
        await ended(wire)
    reports = of_type(wire, ToolProgress)
    assert 1 <= len(reports) < 100
    assert reports[0].message == "0 of 1000"


# REST


async def test_over_http_a_client_reports_and_answers(simulator: Simulator) -> None:
    simulator.program(calling(), OK)
    async with (
        serving(turnwire_over(simulator, model=MODEL)) as address,
        requesting(address) as http,
    ):
        body = {"message": "hi", **OFFER}
        async with listening(address, "/v1/chat", method="POST", json=body) as sse:
            executing = (await sse.until("tool_executing")).data
            path = f"/v1/conversations/{executing['conversation']}"
            call = {"tool_id": executing["tool_id"], "runner": RUNNER}
            report = await http.post(f"{path}/progress", json={**call, "message": "half"})
            wrong = {**call, "runner": "r_2"}
            rejected = [
                await http.post(f"{path}/progress", json={**wrong, "message": "half"}),
                await http.post(f"{path}/tool_output", json={**wrong, "content": "T"}),
                await http.post(f"{path}/tool_output", json={**call, "content": "x" * 300_000}),
            ]
            assert (await sse.until("tool_progress")).data["message"] == "half"
            output = await http.post(f"{path}/tool_output", json={**call, "content": "T"})
            assert (await sse.until("done")).data["stop_reason"] == "end_turn"
    assert (report.status_code, output.status_code) == (200, 200)
    assert [answer.status_code for answer in rejected] == [400, 400, 413]
    assert shown(simulator) == {"content": "T"}

"""Spans, as a receiver of OpenTelemetry's protocol gets them from `turnwire serve`."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiohttp.typedefs import Handler

from tests.kit.chat import ended
from tests.kit.otlp import Receiver, Seen, receiving
from tests.kit.patience import patience
from tests.kit.service import upstream_left
from tests.kit.sse import asking
from tests.kit.wire import wired
from tests.server.serve import Running, served
from turnwire_simulator import Answer, ErrorEvent, Fault, Gate, Simulator, Text, ToolUse

MODEL = "claude-simulated-opus"
KEY = "sk-ant-secret-of-this-test"
TOKEN = "token-of-this-test"
TOOLS = '''
from opentelemetry import trace
from turnwire_server import tool

@tool
def add(a: int, b: int) -> str:
    """Add."""
    with trace.get_tracer("mine").start_as_current_span("inside"):
        return f"result-{a + b}"

@tool
async def fail(why: str) -> str:
    """Fail."""
    raise ValueError("it-has-failed")

@tool(approval=True)
def ask(what: str) -> str:
    """Ask first."""
    return "asked"
'''


@asynccontextmanager
async def traced(
    folder: Path, simulator: Simulator, *flags: str, **environment: str
) -> AsyncIterator[tuple[Running, Receiver]]:
    """A process of the service that sends its spans to a receiver; they are there on leaving."""
    (folder / "tools.py").write_text(TOOLS)
    async with receiving() as receiver:
        variables = {
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_BASE_URL": simulator.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            **environment,
        }
        options = ("--db", ":memory:", "--model", MODEL, "--base-delay", "0.001")
        async with served(
            folder, *options, "--tools", str(folder / "tools.py"), *flags, **variables
        ) as running:
            yield running, receiver


def attributes(seen: Seen, *names: str) -> list[object]:
    return [seen.attributes.get(name) for name in names]


ATTEMPT = ("turnwire.step", "turnwire.attempt", "error.type", "gen_ai.response.finish_reasons")


async def test_a_turn_is_a_root_with_its_attempts_and_tools_below(
    tmp_path: Path, simulator: Simulator
) -> None:
    simulator.program(
        Answer(Text(["Let", " me."])).at(4, ErrorEvent("overloaded_error", "busy")),
        Answer(
            Text(["Let", " me."]),
            ToolUse("add", {"a": 1, "b": 2}, id="toolu_1"),
            ToolUse("fail", {"why": "not"}, id="toolu_2"),
            stop_reason="tool_use",
        ),
        Answer(Text(["All", " done."])),
    )
    async with traced(tmp_path, simulator) as (running, receiver), wired(running.address) as wire:
        done = await ended(wire, "a-secret-message")
        assert done["stop_reason"] == "end_turn"
    [turn] = receiver.below(None)
    assert turn.name == "invoke_agent turnwire"
    assert sorted(map(str, receiver.tree(turn))) == sorted(
        [
            f"chat {MODEL}",
            f"chat {MODEL}",
            str(("execute_tool add", ["inside"])),
            "execute_tool fail",
            f"chat {MODEL}",
        ]
    )
    first, second, third = receiver.named("chat")
    assert attributes(first, *ATTEMPT) == [1, 1, "overloaded", None]
    assert attributes(second, *ATTEMPT) == [1, 2, None, ["tool_use"]]
    assert attributes(third, *ATTEMPT) == [2, 1, None, ["end_turn"]]
    assert [seen.is_error for seen in (turn, first, second, third)] == [False, True, False, False]
    # What the log says is what the spans say.
    assert turn.attributes["gen_ai.usage.output_tokens"] == done["usage"]["output_tokens"]
    told = "gen_ai.usage.input_tokens"
    counted = [int(str(seen.attributes[told])) for seen in receiver.named("chat")]
    assert sum(counted) == turn.attributes[told]
    assert sum(counted) == done["usage"]["input_tokens"] + sum(
        done["usage"][f"cache_{what}_input_tokens"] for what in ("read", "creation")
    )
    conversation = done["conversation"]
    expected = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "turnwire",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": MODEL,
        "gen_ai.conversation.id": conversation,
        "session.id": conversation,
        "turnwire.turn.id": done["turn"],
        "turnwire.steps": 2,
        "turnwire.stop_reason": "end_turn",
    }
    assert expected.items() <= turn.attributes.items()
    assert "user.id" not in turn.attributes
    url = httpx2.URL(simulator.url)
    asked = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": MODEL,
        "gen_ai.request.max_tokens": 16_384,
        "gen_ai.request.stream": True,
        "gen_ai.conversation.id": conversation,
        "anthropic.thinking.type": "adaptive",
        "server.address": url.host,
        "server.port": url.port,
        "gen_ai.response.model": MODEL,
    }
    assert asked.items() <= third.attributes.items()
    for name in (
        "gen_ai.response.id",
        "anthropic.request.id",
        "gen_ai.response.time_to_first_chunk",
    ):
        assert third.attributes[name], name
    assert third.span.kind == 3
    assert [name for name, _ in turn.events] == ["retry", "rewind"]
    assert turn.events[0][1]["error.type"] == "overloaded"
    [add] = receiver.named("execute_tool add")
    [fail] = receiver.named("execute_tool fail")
    names = ("gen_ai.tool.name", "gen_ai.tool.call.id", "turnwire.tool.runs_on", "error.type")
    assert attributes(add, *names) == ["add", "toolu_1", "server", None]
    assert attributes(fail, *names) == ["fail", "toolu_2", "server", "tool_error"]
    assert receiver.resources[0]["service.name"] == "turnwire"
    # The SDK's own spans would tell of the same calls.
    assert {seen.scope for seen in receiver.spans} == {"turnwire", "mine"}
    for secret in (b"a-secret-message", b"Let", b"result-3", b"it-has-failed", KEY.encode()):
        assert not any(secret in body for body in receiver.bodies), secret


async def test_there_are_as_many_spans_for_a_long_answer_as_for_a_short_one(
    tmp_path: Path, simulator: Simulator
) -> None:
    counts = []
    async with traced(tmp_path, simulator) as (running, receiver), wired(running.address) as wire:
        for deltas in (20, 3000):
            simulator.program(Answer(Text(["x "] * deltas)))
            done = await ended(wire)
            counts.append(done["turn"])
    of_turn = [
        1 + len(receiver.below(turn))
        for name in counts
        for turn in receiver.below(None)
        if turn.attributes["turnwire.turn.id"] == name
    ]
    assert of_turn == [2, 2]
    assert len(receiver.spans) == 4


async def test_what_ends_from_outside_is_no_error_and_has_its_counts(
    tmp_path: Path, simulator: Simulator
) -> None:
    gate = Gate()
    async with traced(tmp_path, simulator) as (running, receiver), wired(running.address) as wire:
        simulator.program(Answer(Text(["This is what it says", gate, "never"])))
        ack = await wire.ask("send", content="Hello")
        await wire.until("token")
        await wire.send("cancel", conversation=ack["conversation"], turn=ack["turn"])
        done = await wire.until("done")
        gate.open()
    [turn] = receiver.below(None)
    [chat] = receiver.below(turn)
    assert [turn.is_error, chat.is_error] == [False, False]
    assert turn.attributes["turnwire.stop_reason"] == "cancelled"
    assert chat.attributes["turnwire.usage.estimated"] is True
    assert chat.attributes["gen_ai.usage.output_tokens"] == done["usage"]["output_tokens"] > 1
    assert int(str(chat.attributes["gen_ai.usage.input_tokens"])) > 0
    assert chat.span.end_time_unix_nano <= turn.span.end_time_unix_nano


async def test_a_refused_request_is_an_error_of_attempt_and_turn_alike(
    tmp_path: Path, simulator: Simulator
) -> None:
    simulator.program(Fault(400, message="a-provider-message"))
    async with traced(tmp_path, simulator) as (running, receiver), wired(running.address) as wire:
        done = await ended(wire)
        assert done["stop_reason"] == "failed"
    [turn] = receiver.below(None)
    [chat] = receiver.below(turn)
    for seen in (turn, chat):
        assert seen.is_error
        assert seen.attributes["error.type"] == "invalid_request"
    assert chat.attributes["http.response.status_code"] == 400
    assert chat.attributes["anthropic.request.id"]
    assert not any(b"a-provider-message" in body for body in receiver.bodies)


async def test_an_approval_is_an_event_with_how_long_it_took(
    tmp_path: Path, simulator: Simulator
) -> None:
    simulator.program(
        Answer(ToolUse("ask", {"what": "x"}, id="toolu_1"), stop_reason="tool_use"),
        Answer(Text("Well.")),
    )
    async with traced(tmp_path, simulator) as (running, receiver), wired(running.address) as wire:
        ack = await wire.ask("send", content="Hello")
        asked = await wire.until("tool_approval")
        where = {"conversation": ack["conversation"], "tool_id": asked["tool_id"]}
        await wire.send("decide", **where, decision="deny")
        await wire.until("done")
    [turn] = receiver.below(None)
    [(name, told)] = turn.events
    assert name == "tool_approval"
    assert told["turnwire.tool.decision"] == "deny"
    assert told["gen_ai.tool.name"] == "ask"
    assert float(str(told["turnwire.tool.waited_seconds"])) > 0
    assert not receiver.named("execute_tool"), "it has not run"


async def test_content_and_users_are_told_where_the_operator_wants_it(
    tmp_path: Path, simulator: Simulator
) -> None:
    simulator.program(
        Answer(ToolUse("add", {"a": 1, "b": 2}, id="toolu_1"), stop_reason="tool_use"),
        Answer(Text(["It", " is 3."])),
    )
    flags = ["--trace-content", "--trace-users", "hashed", "--system", "Be brief."]
    flags += ["--token", TOKEN]
    async with (
        traced(tmp_path, simulator, *flags) as (running, receiver),
        wired(running.address, hello=TOKEN) as wire,
    ):
        await ended(wire, "What is 1 + 2?")
    first, second = receiver.named("chat")
    said = json.loads(str(first.attributes["gen_ai.input.messages"]))
    assert said == [{"role": "user", "parts": [{"type": "text", "content": "What is 1 + 2?"}]}]
    told = json.loads(str(first.attributes["gen_ai.system_instructions"]))
    assert told == [{"type": "text", "content": "Be brief."}]
    [called] = json.loads(str(first.attributes["gen_ai.output.messages"]))
    call = {"type": "tool_call", "id": "toolu_1", "name": "add", "arguments": {"a": 1, "b": 2}}
    assert (called["parts"], called["finish_reason"]) == ([call], "tool_use")
    [answered] = json.loads(str(second.attributes["gen_ai.output.messages"]))
    assert answered["parts"] == [{"type": "text", "content": "It is 3."}]
    [_, _, given] = json.loads(str(second.attributes["gen_ai.input.messages"]))
    result = {"type": "tool_call_response", "id": "toolu_1", "response": "result-3"}
    assert given == {"role": "tool", "parts": [result]}
    [tool] = receiver.named("execute_tool")
    assert json.loads(str(tool.attributes["gen_ai.tool.call.arguments"])) == {"a": 1, "b": 2}
    assert tool.attributes["gen_ai.tool.call.result"] == "result-3"
    [turn] = receiver.below(None)
    assert json.loads(str(turn.attributes["gen_ai.input.messages"])) == said
    assert json.loads(str(turn.attributes["gen_ai.output.messages"])) == [answered]
    assert len(str(turn.attributes["user.id"])) == 16
    assert not any(TOKEN.encode() in body or KEY.encode() in body for body in receiver.bodies)


async def test_the_lines_of_the_log_have_the_ids_of_the_turns_trace(
    tmp_path: Path, simulator: Simulator
) -> None:
    simulator.program(Fault(529, message="busy"), Answer(Text("Well.")))
    flags = ("--log-format", "json")
    async with (
        traced(tmp_path, simulator, *flags) as (running, receiver),
        wired(running.address) as wire,
    ):
        done = await ended(wire, "a-secret-message")
    [turn] = receiver.below(None)
    lines = [json.loads(line) for line in running.logged.splitlines()]
    [attempt] = [line for line in lines if line["message"] == "attempt"]
    [over] = [line for line in lines if line["message"] == "turn"]
    for line in (attempt, over):
        assert line["trace_id"] == turn.span.trace_id.hex()
        assert line["span_id"] == turn.span.span_id.hex()
        assert line["turn"] == done["turn"]
        assert line["logger"] == "turnwire.turn"
    told = {"status": 529, "code": "overloaded", "type": "overloaded_error", "said": "busy"}
    assert told.items() <= attempt.items()
    assert attempt["level"] == "WARNING"
    assert over["stop_reason"] == "end_turn"
    assert over["code"] is None
    assert "a-secret-message" not in running.logged


async def test_a_turn_is_linked_to_the_request_that_brought_its_message(
    tmp_path: Path, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("Well.")))
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {"traceparent": f"00-{trace_id}-{span_id}-01", "Accept": "application/json"}
    async with traced(tmp_path, simulator) as (running, receiver), asking(running.address) as http:
        answer = await http.post("/v1/chat", json={"content": "Hello"}, headers=headers)
        assert answer.status_code == 200
        await http.get("/health")
    [turn] = receiver.named("invoke_agent")
    assert turn.span.trace_id.hex() != trace_id, "turns of a socket would be one trace"
    assert turn.span.parent_span_id == b""
    [link] = turn.span.links
    assert link.trace_id.hex() == trace_id
    above = {seen.span.span_id: seen.span.parent_span_id for seen in receiver.spans}
    parent = link.span_id
    while parent in above:
        parent = above[parent]
    assert parent.hex() == span_id
    assert not [seen for seen in receiver.spans if "health" in seen.name]


async def test_a_turn_goes_on_in_the_trace_that_its_message_names(
    tmp_path: Path, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("Well.")), Answer(Text("Well.")))
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    named = f"00-{trace_id}-{span_id}-01"
    async with traced(tmp_path, simulator) as (running, receiver), wired(running.address) as wire:
        done = await ended(wire, trace=named, key="k")
        # It is no part of what is said: the same message in another trace is the same.
        again = await wire.ask(
            "send",
            content="Hello",
            key="k",
            conversation=done["conversation"],
            trace=named.replace("b7", "c7"),
        )
        assert (again["type"], again["turn"]) == ("ack", done["turn"])
        await ended(wire, trace=f"00-{trace_id}-{'0' * 16}-01")
    first, second = receiver.named("invoke_agent")
    assert first.span.trace_id.hex() == trace_id
    assert first.span.parent_span_id.hex() == span_id
    assert [seen.name for seen in receiver.below(first)] == [f"chat {MODEL}"]
    assert second.span.trace_id.hex() != trace_id
    assert second.span.parent_span_id == b""


async def test_that_the_last_reader_has_gone_is_an_event(
    tmp_path: Path, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Well", gate, "never"])))
    flags = ("--detach-grace", "0")
    async with traced(tmp_path, simulator, *flags) as (running, receiver):
        async with wired(running.address) as wire:
            await wire.ask("send", content="Hello", on_detach="cancel")
            await wire.until("token")
        await upstream_left(simulator)
        gate.open()
    [turn] = receiver.below(None)
    assert turn.events == [("client_detached", {})]
    assert turn.attributes["turnwire.stop_reason"] == "cancelled"


async def test_the_call_for_a_title_is_a_trace_of_its_own(
    tmp_path: Path, simulator: Simulator
) -> None:
    titler = "claude-simulated-haiku"

    def answer(body: dict[str, Any]) -> Answer:
        return Answer(Text("A title" if body["model"] == titler else "Well."))

    simulator.program(answer, answer)
    flags = ("--title-model", titler)
    async with traced(tmp_path, simulator, *flags) as (running, receiver):
        async with wired(running.address) as wire:
            await ended(wire)
        async with asking(running.address) as http, patience():
            while "A title" not in (await http.get("/v1/conversations")).text:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    roots = [seen for seen in receiver.below(None) if seen.scope == "turnwire"]
    assert sorted(seen.name for seen in roots) == [f"chat {titler}", "invoke_agent turnwire"]
    [title] = [seen for seen in roots if seen.name == f"chat {titler}"]
    assert attributes(title, *ATTEMPT) == [1, 1, None, ["end_turn"]]
    assert int(str(title.attributes["gen_ai.usage.output_tokens"])) > 0
    assert title.span.start_time_unix_nano < title.span.end_time_unix_nano


@pytest.mark.parametrize("propagates", [True, False])
async def test_the_model_is_told_the_attempts_span_if_the_operator_wants_it(
    tmp_path: Path, simulator: Simulator, propagates: bool
) -> None:
    told: list[str | None] = []

    async def refuse(request: web.Request) -> web.Response:
        told.append(request.headers.get("traceparent"))
        return web.json_response(
            {"type": "error", "error": {"type": "invalid_request_error"}}, status=400
        )

    flags = ("--trace-propagate",) if propagates else ()
    async with TestServer(_app_of(refuse)) as upstream:
        url = {"ANTHROPIC_BASE_URL": str(upstream.make_url("/"))}
        async with (
            traced(tmp_path, simulator, *flags, **url) as (running, receiver),
            wired(running.address) as wire,
        ):
            await ended(wire)
    [chat] = receiver.named("chat")
    ids = f"00-{chat.span.trace_id.hex()}-{chat.span.span_id.hex()}"
    assert [header and header[: len(ids)] for header in told] == [ids if propagates else None]


def _app_of(handler: Handler) -> web.Application:
    app = web.Application()
    app.router.add_post("/v1/messages", handler)
    return app


async def test_metrics_are_sent_too(tmp_path: Path, simulator: Simulator) -> None:
    simulator.program(Answer(Text("Well.")))
    async with traced(tmp_path, simulator) as (running, receiver), wired(running.address) as wire:
        await ended(wire)
    tokens = receiver.metrics["gen_ai.client.token.usage"]
    kinds = {
        pair.value.string_value
        for point in tokens.histogram.data_points
        for pair in point.attributes
        if pair.key == "gen_ai.token.type"
    }
    assert {"input", "output"} <= kinds
    [turns] = receiver.metrics["turnwire.turns"].sum.data_points
    assert turns.as_int or turns.as_double == 1
    assert "turnwire.open_conversations" in receiver.metrics


@pytest.mark.slow
async def test_a_receiver_that_is_not_there_holds_up_no_turn_and_no_end(
    tmp_path: Path, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("Well.")))
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    async with (
        traced(tmp_path, simulator, **nowhere) as (running, _),
        wired(running.address) as wire,
    ):
        done = await ended(wire)
        assert done["stop_reason"] == "end_turn"
        running.process.terminate()
        async with patience():
            assert await asyncio.shield(running.process.wait()) == 0
    assert "Traceback" not in running.logged


@pytest.mark.parametrize(
    ("name", "value"), [("SPAN_ATTRIBUTE_COUNT_LIMIT", "-3"), ("BSP_MAX_QUEUE_SIZE", "10")]
)
async def test_a_variable_that_the_sdk_cannot_use_ends_the_start_in_one_line(
    name: str, value: str
) -> None:
    # In an interpreter of its own: the SDK reads some of them when it is imported.
    said = f"""
import os
os.environ.update(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_{name}="{value}")
from turnwire_server.errors import SettingsError
from turnwire_server.telemetry.otel_sdk import set_up
try:
    set_up({{"traces", "metrics"}})
except SettingsError as error:
    print(error)
"""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", said),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with patience():
        out, err = await process.communicate()
    assert err == b""
    assert out.startswith("OTEL_…: OpenTelemetry's variables are not valid: ".encode())

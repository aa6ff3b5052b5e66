"""Claude through the real SDK over real HTTP: faults, caching, connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.listener import bind
from turnwire_server.model.claude import Claude, Client, connect
from turnwire_server.model.port import ModelRequest, Part, Stop, TextPart, UsagePart
from turnwire_simulator import (
    Answer,
    Cut,
    ErrorEvent,
    Fault,
    Gate,
    Raw,
    Simulator,
    Stall,
    Text,
    Thinking,
    ToolUse,
    Unknown,
)
from turnwire_simulator.controls import Control

PATIENCE_SECONDS = 10
MODEL = "claude-simulated-opus"
HI = {"role": "user", "content": "Hi"}
LONG = "Be kind. " * 600


def request(**fields: Any) -> ModelRequest:
    return ModelRequest(**{"model": MODEL, "messages": [HI], "max_tokens": 1000, **fields})


@asynccontextmanager
async def claude(url: str, *, stall_timeout_seconds: float = 5.0) -> AsyncIterator[Claude]:
    model = Claude(connect(url, "test-key"), stall_timeout_seconds=stall_timeout_seconds)
    try:
        yield model
    finally:
        await model.close()


@pytest.fixture
async def model(simulator: Simulator) -> AsyncIterator[Claude]:
    """Claude over the simulator."""
    async with claude(simulator.url) as model:
        yield model


async def parts_of(model: Claude, request: ModelRequest) -> list[Part]:
    parts: list[Part] = []
    async with asyncio.timeout(PATIENCE_SECONDS), model.stream(request) as stream:
        async for some in stream:
            parts += some
    return parts


async def failure_of(model: Claude) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await parts_of(model, request())
    return caught.value


FAULTS = {
    "400": (Fault(400), Code.INVALID_REQUEST),
    "400 too long": (
        Fault(400, message="prompt is too long: 210000 tokens > 200000 maximum"),
        Code.CONTEXT_TOO_LONG,
    ),
    "400 over the context limit": (
        Fault(400, message="input length and `max_tokens` exceed context limit"),
        Code.CONTEXT_TOO_LONG,
    ),
    "401": (Fault(401), Code.AUTH_ERROR),
    "402": (Fault(402, type="billing_error"), Code.PERMISSION_DENIED),
    "403": (Fault(403), Code.PERMISSION_DENIED),
    "404": (Fault(404), Code.NOT_FOUND),
    "413": (Fault(413), Code.CONTEXT_TOO_LONG),
    "418": (Fault(418, type="teapot_error"), Code.INVALID_REQUEST),
    "429": (Fault(429), Code.RATE_LIMIT),
    "500": (Fault(500), Code.INTERNAL),
    "502": (Fault(502, type="bad_gateway"), Code.INTERNAL),
    "504": (Fault(504), Code.TIMEOUT),
    "529": (Fault(529), Code.OVERLOADED),
}
RETRYABLE = {Code.RATE_LIMIT, Code.OVERLOADED, Code.NETWORK_ERROR, Code.TIMEOUT, Code.INTERNAL}


@pytest.mark.parametrize(("fault", "code"), FAULTS.values(), ids=FAULTS)
async def test_a_refused_request_has_its_code(
    simulator: Simulator, model: Claude, fault: Fault, code: Code
) -> None:
    simulator.program(fault)
    error = await failure_of(model)
    assert (error.code, error.message, error.retryable) == (code, fault.message, code in RETRYABLE)
    assert len(simulator.requests) == 1, "the SDK must not retry by itself"


async def test_retry_after_is_passed_on(simulator: Simulator, model: Claude) -> None:
    simulator.program(Fault(429, retry_after=7), Fault(429, retry_after=float("inf")), Fault(529))
    assert [(await failure_of(model)).retry_after_seconds for _ in range(3)] == [7.0, None, None]


def delta(data: bytes) -> Raw:
    return Raw(b"event: content_block_delta\ndata: " + data + b"\n\n")


DISTURBANCES: dict[str, tuple[Control, Code]] = {
    "overloaded": (ErrorEvent(), Code.OVERLOADED),
    "rate limit": (ErrorEvent("rate_limit_error", "slow down"), Code.RATE_LIMIT),
    "api error": (ErrorEvent("api_error", "oops"), Code.INTERNAL),
    "an error of unknown type": (ErrorEvent("novel_error", "oops"), Code.INTERNAL),
    "refused late": (ErrorEvent("invalid_request_error", "no"), Code.INVALID_REQUEST),
    "cut": (Cut(), Code.NETWORK_ERROR),
    "bytes that are no text": (Raw(b"\xff\xfe\x00\n\n"), Code.NETWORK_ERROR),
    "broken JSON": (delta(b"{bad"), Code.NETWORK_ERROR),
    "an event that is a list": (delta(b"[1]"), Code.NETWORK_ERROR),
    "an event that is a number": (delta(b"5"), Code.NETWORK_ERROR),
    "an empty event": (delta(b"{}"), Code.NETWORK_ERROR),
    "a block that never began": (
        delta(b'{"type":"content_block_delta","index":7,"delta":{"type":"text_delta","text":"x"}}'),
        Code.NETWORK_ERROR,
    ),
    "text that is a number": (
        delta(b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":5}}'),
        Code.NETWORK_ERROR,
    ),
}


@pytest.mark.parametrize("index", [0, 4, 7])
@pytest.mark.parametrize(("control", "code"), DISTURBANCES.values(), ids=DISTURBANCES)
async def test_a_stream_that_is_disturbed_anywhere_fails_with_its_code(
    simulator: Simulator, model: Claude, control: Control, code: Code, index: int
) -> None:
    simulator.program(Answer(Text(["Hel", "lo"])).at(index, control))
    assert (await failure_of(model)).code is code


@pytest.mark.parametrize("index", [0, 4])
async def test_a_stream_that_stalls_is_a_timeout_and_is_closed(
    simulator: Simulator, index: int
) -> None:
    simulator.program(Answer(Text(["Hel", "lo"])).at(index, Stall()))
    async with claude(simulator.url, stall_timeout_seconds=0.1) as model:
        assert (await failure_of(model)).code is Code.TIMEOUT
        async with asyncio.timeout(PATIENCE_SECONDS):
            await simulator.wait(lambda: simulator.aborted_streams == 1)


async def test_a_stream_may_take_longer_than_a_silence() -> None:
    async with (
        Simulator(tokens_per_second=50) as simulator,
        claude(simulator.url, stall_timeout_seconds=1.0) as model,
    ):
        simulator.program(Answer(Text(["word "] * 75)))
        parts = await parts_of(model, request())
        assert sum(isinstance(part, TextPart) for part in parts) == 75


async def test_an_answer_without_an_end_is_a_network_error(
    simulator: Simulator, model: Claude
) -> None:
    simulator.program(Answer.of(Answer(Text("Hello")).events()[:-1]))
    assert (await failure_of(model)).code is Code.NETWORK_ERROR


@pytest.mark.parametrize(
    ("status", "content_type", "code"),
    [
        (200, "text/html", Code.NETWORK_ERROR),
        (200, "application/json", Code.NETWORK_ERROR),
        (200, "text/event-stream", Code.NETWORK_ERROR),
        (503, "text/html", Code.INTERNAL),
        (429, "text/html", Code.RATE_LIMIT),
        (407, "text/html", Code.INVALID_REQUEST),
    ],
)
async def test_a_server_that_is_not_the_api_is_an_error_of_the_network_or_its_status(
    status: int, content_type: str, code: Code
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text="<h1>Portal</h1>\n\n", content_type=content_type)

    app = web.Application()
    app.router.add_post("/v1/messages", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    listener = bind("127.0.0.1", 0)
    try:
        await web.SockSite(runner, listener).start()
        async with claude(f"http://127.0.0.1:{listener.getsockname()[1]}") as model:
            assert (await failure_of(model)).code is code
    finally:
        await runner.cleanup()


async def test_a_refused_connection_is_a_network_error() -> None:
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    listener.close()
    async with claude(f"http://127.0.0.1:{port}") as model:
        assert (await failure_of(model)).code is Code.NETWORK_ERROR


async def test_without_any_credentials_it_is_an_auth_error(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("ANTHROPIC_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    model = Claude(Client(base_url=simulator.url))
    try:
        assert (await failure_of(model)).code is Code.AUTH_ERROR
    finally:
        await model.close()


async def test_an_answer_comes_through_in_any_cutting_of_its_bytes(
    simulator: Simulator, model: Claude
) -> None:
    items = [Thinking("Hm."), Text("Grüße 🌍."), Unknown(), ToolUse("t", {"a": "ü"}, id="toolu_1")]
    answers = [Answer(*items, chunk_bytes=size) for size in (None, 1, 7)]  # type: ignore[arg-type]
    simulator.program(*answers)
    one, two, three = [
        [part for part in await parts_of(model, request()) if not isinstance(part, UsagePart)]
        for _ in answers
    ]
    assert one == two == three
    assert "".join(part.text for part in one if isinstance(part, TextPart)) == "Grüße 🌍."
    assert one[-1] == Stop("end_turn")


async def test_leaving_the_stream_early_closes_the_connection(
    simulator: Simulator, model: Claude
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate))
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with model.stream(request()) as stream:
            async for some in stream:
                if any(isinstance(part, TextPart) for part in some):
                    break
        await simulator.wait(lambda: simulator.aborted_streams == 1)


async def test_a_connection_serves_the_next_call_after_a_stream_that_was_left(
    simulator: Simulator, model: Claude
) -> None:
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, Stall()), Answer(Text("Next")))
    async with asyncio.timeout(PATIENCE_SECONDS):
        async with model.stream(request()) as stream:
            await anext(stream)
        parts = await parts_of(model, request())
    assert TextPart(0, "Next") in parts


def breakpoints(body: Any) -> list[str]:
    """Where the request has `cache_control`."""
    found = [f"system.{n}" for n, block in enumerate(body["system"]) if "cache_control" in block]
    found += [f"tools.{n}" for n, tool in enumerate(body["tools"]) if "cache_control" in tool]
    for number, message in enumerate(body["messages"]):
        content = message["content"]
        for position, block in enumerate(content if isinstance(content, list) else []):
            if "cache_control" in block:
                found.append(f"messages.{number}.{position}")
    return found


async def test_the_second_request_of_a_conversation_reads_the_first_from_the_cache(
    simulator: Simulator, model: Claude
) -> None:
    tools = [
        {"name": name, "description": name, "input_schema": {"type": "object"}} for name in "ab"
    ]
    simulator.program(Answer(Text("One.")), Answer(Text("Two.")))
    messages: list[dict[str, Any]] = [HI]
    first = await parts_of(model, request(system=LONG, tools=tools, messages=messages))
    messages = [*messages, {"role": "assistant", "content": [{"type": "text", "text": "One."}]}]
    messages += [{"role": "user", "content": [{"type": "text", "text": "More"}]}]
    second = await parts_of(model, request(system=LONG, tools=tools, messages=messages))
    assert [breakpoints(body) for body in simulator.requests] == [
        ["system.0", "tools.1", "messages.0.0"],
        ["system.0", "tools.1", "messages.2.0"],
    ]
    written, read = first[0], second[0]
    assert isinstance(written, UsagePart)
    assert isinstance(read, UsagePart)
    assert written.cache_creation_input_tokens > 1000
    assert read.cache_read_input_tokens == written.cache_creation_input_tokens
    # The caller's messages are shared between calls.
    assert messages[-1]["content"] == [{"type": "text", "text": "More"}]


async def test_a_request_carries_what_was_resolved_and_nothing_else(
    simulator: Simulator, model: Claude
) -> None:
    simulator.program(Answer(Text("Hi")), Answer(Text("Hi")))
    await parts_of(model, request())
    await parts_of(model, request(thinking={"type": "disabled"}, container="container_1"))
    plain, full = simulator.requests
    assert set(plain) == {"model", "max_tokens", "messages", "stream"}
    assert full["thinking"] == {"type": "disabled"}
    assert full["container"] == "container_1"

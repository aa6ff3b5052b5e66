"""Claude through the real SDK over real HTTP: faults, caching, connections."""

import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from aiohttp import web
from anthropic import APIRequest, AsyncAnthropic, AsyncAPIResponse, AsyncCallNext

from tests.kit.patience import PATIENCE_SECONDS, SILENCE_SECONDS, patience
from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.listener import bind
from turnwire_server.model.claude import Claude
from turnwire_server.model.clients import connect
from turnwire_server.model.port import (
    ApiMessage,
    BlockEnd,
    ModelRequest,
    Part,
    Stop,
    TextPart,
    UsagePart,
    encoded_message,
)
from turnwire_server.model.reader import MAX_EVENT_BYTES
from turnwire_server.model.refusal import MAX_BODY_BYTES, body_of
from turnwire_server.model.request import RequestForm
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

MODEL = "claude-simulated-opus"
HI: ApiMessage = {"role": "user", "content": "Hi"}
LONG = "Be kind. " * 600


def request(**fields: Any) -> ModelRequest:
    return ModelRequest(**{"model": MODEL, "messages": [HI], "max_tokens": 1000, **fields})


@asynccontextmanager
async def claude(
    url: str,
    *,
    stall_timeout_seconds: float = PATIENCE_SECONDS,
    key: str = "test-key",
    **options: Any,
) -> AsyncIterator[Claude]:
    model = Claude(connect(url, key), stall_timeout_seconds=stall_timeout_seconds, **options)
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
    async with patience(), model.stream(request) as stream:
        async for some in stream:
            parts += some
    return parts


async def failure_of(model: Claude) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await parts_of(model, request())
    return caught.value


ASKED: dict[str, dict[str, Any]] = {
    "plain": {},
    "the fields that the SDK has no parameters for": {
        "temperature": 0.5,
        "thinking": {"type": "disabled"},
        "top_k": 7,
    },
    "tools": {
        "system": "Grüße „alle“.",
        "stop_sequences": ["\u2028Ü"],
        "tools": [{"name": "t", "description": "", "input_schema": {"type": "object"}}],
    },
    "some messages encoded": {
        "messages": [
            encoded_message(HI, b'{"role":"user","content":"Hi"}'),
            {"role": "assistant", "content": [{"type": "text", "text": "Ja, „ja“."}]},
            *[encoded_message(HI, b'{"role":"user","content":"Hi"}')] * 2,
        ],
    },
}


@pytest.mark.parametrize("case", ASKED)
async def test_our_own_clients_ask_as_those_of_an_app(simulator: Simulator, case: str) -> None:
    """The SDK encodes the body of one, and its middleware may read it; `RequestForm.body` ours."""
    asked, seen = request(**ASKED[case]), []

    async def see(call: APIRequest, call_next: AsyncCallNext) -> AsyncAPIResponse[Any]:
        seen.append(call.json)
        return await call_next(call)

    made = AsyncAnthropic(base_url=simulator.url, api_key="test-key", middleware=[see])
    for client in (made, connect(simulator.url, "test-key")):
        simulator.program(Answer(Text("Ok.")))
        model = Claude(client, form=RequestForm(betas=["one-2026-01-01"], more={"speed": "fast"}))
        assert await parts_of(model, asked)
        await model.close()
    one, other = simulator.requests
    assert one == other == seen[0]
    assert simulator.betas[0] == simulator.betas[1]


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
    assert (error.code, error.retryable) == (code, code in RETRYABLE)
    assert len(simulator.requests) == 1, "the SDK must not retry by itself"
    assert error.provider is not None
    assert (error.provider.status, error.provider.message) == (fault.status, fault.message)
    assert fault.message not in error.message, "its words are not for clients"
    assert error.request_id is not None


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
    "an error without a type": (
        Raw(b'data: {"error": {"message": "expired", "code": 401}}\n\n'),
        Code.AUTH_ERROR,
    ),
    "an error as a string": (Raw(b'data: {"error": "too many requests"}\n\n'), Code.RATE_LIMIT),
    "an error as plain text": (Raw(b"event: error\ndata: Overloaded\n\n"), Code.OVERLOADED),
    "an exception of Bedrock": (
        Raw(
            b'event: error\ndata: {"type": "error", '
            b'"error": {"type": "throttlingException", "message": "slow"}}\n\n'
        ),
        Code.RATE_LIMIT,
    ),
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


@pytest.mark.parametrize("index", [0, 4, 6])
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
    async with claude(simulator.url, stall_timeout_seconds=SILENCE_SECONDS) as model:
        assert (await failure_of(model)).code is Code.TIMEOUT
        async with patience():
            await simulator.wait(lambda: simulator.aborted_streams == 1)


async def test_a_stream_may_take_longer_than_a_silence() -> None:
    async with (
        Simulator(tokens_per_second=50) as simulator,
        claude(simulator.url, stall_timeout_seconds=SILENCE_SECONDS) as model,
    ):
        words = round(1.5 * SILENCE_SECONDS * 50)
        simulator.program(Answer(Text(["word "] * words)))
        parts = await parts_of(model, request())
        assert sum(isinstance(part, TextPart) for part in parts) == words


async def test_an_answer_without_an_end_is_a_network_error(
    simulator: Simulator, model: Claude
) -> None:
    simulator.program(Answer.of(Answer(Text("Hello")).events()[:-2]))
    assert (await failure_of(model)).code is Code.NETWORK_ERROR


@pytest.mark.parametrize(
    "control",
    [Cut(), ErrorEvent(), Stall(), delta(b"{bad"), Raw(b"")],
    ids=["cut", "error event", "stall", "broken JSON", "end"],
)
async def test_an_answer_that_has_told_why_it_stops_is_whole_however_it_ends(
    simulator: Simulator, control: Control
) -> None:
    simulator.program(Answer.of([*Answer(Text("Hello")).events()[:-1], control]))
    async with claude(simulator.url, stall_timeout_seconds=1.0) as model:
        parts = await parts_of(model, request())
    assert TextPart(0, "Hello") in parts
    assert parts[-1] == Stop("end_turn")


async def test_what_cannot_be_read_is_worth_another_attempt_only_before_anything_was_said(
    simulator: Simulator, model: Claude
) -> None:
    broken = delta(b"{bad")
    answer = Answer(Text(["Hel", "lo"]))
    simulator.program(answer.at(3, broken), answer.at(4, broken))
    assert [(await failure_of(model)).retryable for _ in range(2)] == [True, False]


async def test_an_event_that_never_ends_is_not_asked_for_again(simulator: Simulator) -> None:
    mebibytes = [Raw(b"x" * 2**20)] * (MAX_EVENT_BYTES // 2**20 + 2)
    simulator.program(Answer.of([Raw(b"data: "), *mebibytes, Stall()]))
    async with claude(simulator.url) as model:
        error = await failure_of(model)
    assert (error.code, error.retryable) == (Code.NETWORK_ERROR, False)


@pytest.mark.parametrize(
    ("encoding", "data"),
    [("", b"overloaded " * 1000), ("gzip", gzip.compress(b"overloaded " * 10_000_000))],
    ids=["plain", "compressed"],
)
async def test_the_body_of_an_error_is_read_only_up_to_a_bound(
    simulator: Simulator, model: Claude, encoding: str, data: bytes
) -> None:
    headers = {"content-encoding": encoding}
    simulator.program(Fault(503, data=data, is_endless=True, extra_headers=headers))
    error = await failure_of(model)
    assert error.code is Code.INTERNAL
    assert error.provider is not None
    assert error.provider.message is not None
    assert error.provider.message.startswith("overloaded overloaded")
    assert len(error.provider.message) <= 2000
    await simulator.wait(lambda: simulator.aborted_streams == 1)


@pytest.mark.parametrize("exposed", [True, False])
async def test_the_providers_words_are_for_clients_only_where_it_is_said(
    simulator: Simulator, exposed: bool
) -> None:
    simulator.program(Fault(400, message="tools.0: no"), Answer(Text("x")).at(4, ErrorEvent()))
    async with claude(simulator.url, expose_errors=exposed) as model:
        refused, late = await failure_of(model), await failure_of(model)
    assert ("tools.0: no" in refused.message, "Overloaded" in late.message) == (exposed, exposed)


@pytest.mark.parametrize("exposed", [True, False])
async def test_a_key_is_in_no_error_even_where_the_provider_repeats_it(
    simulator: Simulator, exposed: bool
) -> None:
    key = "opaque-7c1f-4e"
    said = f"no such key: {key}, nor sk-ant-api03-abcDEF_123, nor Bearer abc.def"
    failing = Raw(b'event: error\ndata: {"error": "' + said.encode() + b'"}\n\n')
    simulator.program(Fault(401, message=said), Answer(Text("x")).at(4, failing))
    async with claude(simulator.url, key=key, expose_errors=exposed) as model:
        for _ in range(2):
            error = await failure_of(model)
            told = f"{error} {error.message} {error.private}"
            assert "no such key" in told
            for secret in (key, "abcDEF", "abc.def"):
                assert secret not in told


async def test_what_stands_in_place_of_a_stream_is_told_in_its_own_words(
    simulator: Simulator,
) -> None:
    bodies = {
        b'{"error": {"message": "the key has expired", "code": 401}}': Code.AUTH_ERROR,
        b'{"message": "Too many requests"}': Code.RATE_LIMIT,
        b'[{"error": {"code": 429, "message": "x", "status": "RESOURCE_EXHAUSTED"}}]': (
            Code.RATE_LIMIT
        ),
        b"upstream connect error": Code.NETWORK_ERROR,
        b"<html><title>Sign in</title><body>portal</body></html>": Code.NETWORK_ERROR,
        b"data: upstream connect error\n\n": Code.NETWORK_ERROR,
    }
    simulator.program(*[Fault(200, data=body, content_type="text/plain") for body in bodies])
    async with claude(simulator.url, expose_errors=True) as model:
        errors = [await failure_of(model) for _ in bodies]
    assert [error.code for error in errors] == list(bodies.values())
    assert [error.message for error in errors] == [
        "the key has expired",
        "Too many requests",
        "x",
        "upstream connect error",
        "Sign in",
        "upstream connect error",
    ]


async def test_a_whole_message_in_place_of_a_stream_is_the_answer(
    simulator: Simulator, model: Claude
) -> None:
    message = {"type": "message", "content": [{"type": "text", "text": "Hi"}], "usage": {}}
    simulator.program(Fault(200, data=json.dumps(message).encode()))
    parts = await parts_of(model, request())
    assert [part for part in parts if not isinstance(part, UsagePart)] == [
        TextPart(0, "Hi"),
        BlockEnd(0, None),
        Stop("end_turn"),
    ]


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
    model = Claude(AsyncAnthropic(base_url=simulator.url))
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
    async with patience():
        async with model.stream(request()) as stream:
            async for some in stream:
                if any(isinstance(part, TextPart) for part in some):
                    break
        await simulator.wait(lambda: simulator.aborted_streams == 1)


async def test_a_connection_serves_the_next_call_after_a_stream_that_was_left(
    simulator: Simulator, model: Claude
) -> None:
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, Stall()), Answer(Text("Next")))
    async with patience():
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
    messages: list[ApiMessage] = [HI]
    first = await parts_of(model, request(system=LONG, tools=tools, messages=messages))
    messages = [*messages, {"role": "assistant", "content": [{"type": "text", "text": "One."}]}]
    messages += [{"role": "user", "content": [{"type": "text", "text": "More"}]}]
    second = await parts_of(model, request(system=LONG, tools=tools, messages=messages))
    assert [breakpoints(body) for body in simulator.requests] == [
        ["system.0", "tools.1", "messages.0.0"],
        ["system.0", "tools.1", "messages.0.0", "messages.2.0"],
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


async def test_a_small_body_that_stands_for_a_large_one_is_not_unpacked_whole() -> None:
    packed = gzip.compress(b"x" * 10_000_000)
    headers = {"content-encoding": "gzip"}
    response = httpx2.Response(503, headers=headers, stream=httpx2.ByteStream(packed))
    body = await body_of(response)
    assert isinstance(body, str)
    assert len(body) == MAX_BODY_BYTES

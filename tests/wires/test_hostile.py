"""Peers that mean no good, on all wires alike: what they send, whose it is, what stays of it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.kit.chat import MODEL
from tests.kit.patience import patience
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from turnwire_server import Turnwire
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.store.memory import MemoryStore
from turnwire_simulator import Answer, Gate, Simulator, Text

AG_UI, AI_SDK, OPENAI = "/v1/ag-ui", "/v1/ai-sdk/v7/chat", "/openai/v1/chat/completions"
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
OBJECT = {"name": "look", "description": "Looks.", "input_schema": SCHEMA}
CALL = {"type": "tool-look", "toolCallId": "u", "state": "output-available", "output": {"a": 1}}
DECIDED = {"type": "tool-look", "toolCallId": "u", "state": "approval-responded"}
PAST = {"id": "m0", "role": "user", "parts": [{"type": "text", "text": "Once"}]}
GOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "AG-UI, a message": (
        AG_UI,
        {
            "threadId": "new",
            "runId": "r",
            "protocolVersion": "1.0.0",
            "messages": [
                {"id": "m0", "role": "user", "content": "Once"},
                {"id": "m1", "role": "user", "content": [{"type": "text", "text": "Hi"}]},
            ],
            "tools": [{"name": "look", "description": "Looks.", "parameters": SCHEMA}],
            "context": [{"description": "d", "value": "v"}],
            "forwardedProps": {
                "turnwire": {
                    "model": MODEL,
                    "max_tokens": 9,
                    "thinking": {"type": "disabled"},
                    "tools": [],
                    "if_busy": "reject",
                    "on_detach": "cancel",
                }
            },
        },
    ),
    "AG-UI, an answer": (
        AG_UI,
        {
            "threadId": "chat",
            "runId": "r",
            "messages": [
                {"id": "m1", "role": "user", "content": "Hi"},
                {"id": "x", "role": "tool", "toolCallId": "u", "content": "1"},
            ],
            "resume": [{"interruptId": "u", "status": "resolved", "payload": {"approved": True}}],
        },
    ),
    "AI SDK, a message": (
        AI_SDK,
        {
            "id": "new",
            "messages": [
                PAST,
                {
                    "id": "m1",
                    "role": "user",
                    "parts": [
                        {"type": "text", "text": "Hi"},
                        {"type": "file", "url": f"data:image/png;base64,{PNG}", "filename": "a"},
                    ],
                },
            ],
            "trigger": "submit-message",
            "messageId": "m1",
            "model": MODEL,
            "max_tokens": 9,
            "thinking": {"type": "disabled"},
            "tools": {"see": {"description": "Sees.", "parameters": SCHEMA}},
            "client_tools": [OBJECT],
            "if_busy": "reject",
            "on_detach": "cancel",
        },
    ),
    "AI SDK, an answer": (
        AI_SDK,
        {
            "id": "chat",
            "messages": [
                {"id": "m1", "role": "assistant", "parts": [{"type": "step-start"}, CALL, DECIDED]}
            ],
        },
    ),
    "OpenAI, a message": (
        OPENAI,
        {
            "model": MODEL,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Once"},
                {"role": "assistant", "content": [{"type": "text", "text": "Yes"}]},
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "Hi"},
                        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                    ],
                },
            ],
            "stream": True,
            "stream_options": {"include_usage": True},
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "look", "description": "Looks.", "parameters": SCHEMA},
                }
            ],
            "tool_choice": "auto",
            "n": 1,
            "max_tokens": 9,
            "max_completion_tokens": 9,
            "metadata": {"conversation": "new"},
        },
    ),
    "OpenAI, an answer": (
        OPENAI,
        {
            "model": MODEL,
            "messages": [
                {"role": "user", "content": "Hi"},
                {"role": "tool", "tool_call_id": "u", "content": "1"},
            ],
            "metadata": {"conversation": "chat"},
        },
    ),
}
JUNK = ["null", "1e999", "-1", '""', '"\\u0000"', "[[{}]]", "{}", f'"{"x" * 3000}"']


def broken(body: Any) -> Iterator[str]:
    """The body with each of its parts replaced, one at a time, by each kind of junk."""
    mark = "<here>"
    for marked in _marked(body, mark):
        text = json.dumps(marked)
        for junk in JUNK:
            yield text.replace(f'"{mark}"', junk)


def _marked(body: Any, mark: str) -> Iterator[Any]:
    yield mark
    if isinstance(body, dict):
        for name, value in body.items():
            yield from ({**body, name: inner} for inner in _marked(value, mark))
    elif isinstance(body, list):
        for at, value in enumerate(body):
            yield from ([*body[:at], inner, *body[at + 1 :]] for inner in _marked(value, mark))


class Place:
    """A service that knows Anna and Bert; Anna has a conversation called `chat`."""

    def __init__(
        self, address: str, turnwire: Turnwire, http: httpx2.AsyncClient, simulator: Simulator
    ) -> None:
        self.address = address
        self.turnwire = turnwire
        self.http = http
        self.simulator = simulator

    async def post(
        self, path: str, body: Any, *, who: str = "anna", **headers: str
    ) -> httpx2.Response:
        """JSON, as text or to become it."""
        content = body if isinstance(body, str | bytes) else json.dumps(body)
        headers = {"authorization": f"Bearer {who}", "content-type": "application/json", **headers}
        async with patience():
            return await self.http.post(path, content=content, headers=headers)

    async def log(self, name: str) -> str:
        """Anna's conversation of that name, as our own REST has it."""
        id = await self.turnwire.hub.named("anna", name)
        headers = {"authorization": "Bearer anna"}
        return (await self.http.get(f"/v1/conversations/{id}", headers=headers)).text

    async def trace(self, store: MemoryStore) -> object:
        """All that a refused request could have changed."""
        heads = [await store.list_heads(who, limit=5000, before=None) for who in ("anna", "bert")]
        hidden = await store.list_hidden(before="9999", limit=5000)
        return heads, hidden, len(self.simulator.requests)


@asynccontextmanager
async def placed(*, send_buffer_bytes: int | None = None, **settings: Any) -> AsyncIterator[Place]:
    """A place of its own."""
    async with Simulator() as simulator:
        simulator.answer_with(lambda body: Answer(Text("Hello.")))
        given = {"authenticate": by_name, "model": MODEL, **settings}
        turnwire = turnwire_over(simulator, **given)
        async with (
            serving(turnwire, send_buffer_bytes=send_buffer_bytes) as address,
            asking(address) as http,
        ):
            place = Place(address, turnwire, http, simulator)
            message = {"id": "m1", "role": "user", "content": "Hi"}
            await place.post(AG_UI, {"threadId": "chat", "runId": "r", "messages": [message]})
            yield place


def is_in_form(path: str, response: httpx2.Response) -> bool:
    """Whether a refusal is such as the wire's clients show to people."""
    if path != OPENAI:
        is_text = response.headers["content-type"].startswith("text/plain")
        return is_text and bool(response.text) and "x-turnwire-code" in response.headers
    error: dict[str, Any] = response.json()["error"]
    return {"message", "type", "param", "code"} == error.keys()


@pytest.mark.parametrize("name", GOOD)
async def test_what_is_refused_is_refused_in_the_wires_form_and_leaves_no_trace(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    path, good = GOOD[name]
    store = MemoryStore()
    refusals = 0
    async with placed(store=store) as place:
        for body in broken(good):
            before = await place.trace(store)
            response = await place.post(path, body)
            assert response.status_code < 500, (body, response.text)
            if response.status_code >= 400:
                refusals += 1
                assert is_in_form(path, response), (body, response.text)
                assert await place.trace(store) == before, (body, response.text)
    assert refusals > 50
    assert not [record for record in caplog.records if record.exc_info or "Once" in record.message]


MESSAGES: dict[str, Callable[[str], dict[str, Any]]] = {
    AG_UI: lambda name: {
        "threadId": name,
        "runId": "r",
        "messages": [{"id": "m1", "role": "user", "content": "Hi"}],
    },
    AI_SDK: lambda name: {
        "id": name,
        "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}],
    },
    OPENAI: lambda name: {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Hi"}],
        "metadata": {"conversation": name},
        "stream": True,
    },
}
"""A message in a conversation of that name."""


async def settled(place: Place) -> None:
    """Returns once no turn of Anna's runs and none of her one or two streams is taken."""
    url, headers = "/v1/ai-sdk/v7/chat/nothing/stream", {"authorization": "Bearer anna"}
    async with patience():
        while place.turnwire.hub.unfinished or (
            (await place.http.get(url, headers=headers)).status_code != 204
        ):
            await place.http.get("/health")


@pytest.mark.parametrize("path", MESSAGES)
@pytest.mark.parametrize("phase", ["half a body", "a body", "a header", "a chunk"])
async def test_who_goes_in_the_middle_leaves_no_stream_and_no_turn(path: str, phase: str) -> None:
    limits = ServiceLimits(max_streams=1, max_requests_per_second=100_000)
    async with placed(limits=limits) as place:
        place.simulator.answer_with(lambda body: Answer(Text(["Once ", Gate(), "upon."])))
        for name in ("one", "two"):
            body = json.dumps(MESSAGES[path](name)).encode()
            reader, writer = await asyncio.open_connection(*place.address.split(":"))
            head = (
                f"POST {path} HTTP/1.1\r\nHost: {place.address}\r\nAuthorization: Bearer anna\r\n"
            )
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + (body[:-9] if phase == "half a body" else body))
            await writer.drain()
            async with patience():
                if phase == "a header":
                    assert b" 200 " in await reader.readline()
                elif phase == "a chunk":
                    await reader.readuntil(b"Once ")
                elif phase == "half a body":
                    await place.http.get("/health")
            writer.transport.abort()
            await settled(place)


MANY: dict[str, tuple[str, str, Any]] = {
    "AG-UI, messages": (AG_UI, "messages", [{}] * 20_000),
    "AG-UI, what stands behind the message": (
        AG_UI,
        "messages",
        [*[{}] * 9, *[{"id": "x"}] * 2001],
    ),
    "AG-UI, tools": (AG_UI, "tools", [{"name": f"n{at}"} for at in range(1001)]),
    "AG-UI, context": (AG_UI, "context", [{}] * 1001),
    "AG-UI, answers": (AG_UI, "resume", [{"interruptId": "u", "status": "x"}] * 2001),
    "AI SDK, messages": (AI_SDK, "messages", [{}] * 20_001),
    "AI SDK, tools": (AI_SDK, "tools", {f"n{at}": {} for at in range(1001)}),
    "AI SDK, answers": (
        AI_SDK,
        "messages",
        [{"id": "m1", "role": "assistant", "parts": [CALL] * 2001}],
    ),
    "AI SDK, parts": (
        AI_SDK,
        "messages",
        [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "x"}] * 1001}],
    ),
    "AI SDK, a schema": (
        AI_SDK,
        "tools",
        {
            "n": {
                "parameters": {"type": "object", "properties": {f"p{at}": {} for at in range(9999)}}
            }
        },
    ),
    "AI SDK, a schema of what cannot be sorted": (
        AI_SDK,
        "tools",
        {"n": {"parameters": {"type": "object", "required": [1, "a"] * 5000}}},
    ),
    "OpenAI, messages": (OPENAI, "messages", [{"role": "user", "content": "x"}] * 20_001),
    "OpenAI, parts": (
        OPENAI,
        "messages",
        [{"role": "user", "content": [{"type": "text", "text": "x"}] * 1001}],
    ),
    "OpenAI, results": (
        OPENAI,
        "messages",
        [
            {"role": "user", "content": "x"},
            *({"role": "tool", "tool_call_id": f"u{at}", "content": "x"} for at in range(2001)),
        ],
    ),
    "OpenAI, tools": (OPENAI, "tools", [{"type": "function", "function": {"name": "n"}}] * 1001),
}


async def test_too_many_of_anything_is_refused_and_leaves_no_trace() -> None:
    store = MemoryStore()
    async with placed(store=store) as place:
        before = await place.trace(store)
        for what, (path, field, many) in MANY.items():
            body = {**MESSAGES[path]("new"), field: many}
            if what == "AG-UI, messages":
                body[field] = [*many, *MESSAGES[path]("new")["messages"]]
            elif what.endswith("behind the message"):
                body[field] = [*MESSAGES[path]("new")["messages"], *many]
            response = await place.post(path, body)
            assert response.status_code == 400, (what, response.text[:200])
            assert is_in_form(path, response), what
        assert await place.trace(store) == before


async def test_messages_without_an_id_or_with_the_same_one_are_messages() -> None:
    user = {"role": "user", "content": "Hi"}
    lists = [
        [{"id": "", **user}, {"id": "m", **user}],
        [{"id": "m", **user}, {"id": "m", **user}, {"id": "m", **user}],
        [{"id": "", **user}],
    ]
    async with placed() as place:
        for name, messages in enumerate(lists):
            for _ in range(2):
                body = {**MESSAGES[AG_UI](str(name)), "messages": messages}
                response = await place.post(AG_UI, body)
                assert (response.status_code, '"Hello."' in response.text) == (200, True)
        for text in ("Hi", "Hi", "Ho"):
            parts = [{"type": "text", "text": text}]
            body = {"id": "without", "messages": [{"role": "user", "parts": parts}]}
            response = await place.post(AI_SDK, body)
            assert (response.status_code, "Hello." in response.text) == (200, True)


async def test_a_used_up_quota_is_told_in_the_form_of_the_wire() -> None:
    store = MemoryStore()
    async with placed(store=store, limits=ServiceLimits(max_turns_per_minute=1)) as place:
        before = await place.trace(store)
        for path, message in MESSAGES.items():
            response = await place.post(path, message("new"))
            assert response.status_code == 429
            assert int(response.headers["retry-after"]) > 1
            assert is_in_form(path, response)
        assert await place.trace(store) == before


async def test_what_is_annas_is_nothing_to_bert() -> None:
    store = MemoryStore()
    async with placed(store=store) as place:
        hidden = await place.post(OPENAI, {**MESSAGES[OPENAI](""), "stream": False})
        named = await place.turnwire.hub.named("anna", "chat")
        of_anna = await place.trace(store)
        for id in (named, hidden.headers["x-conversation-id"]):
            headers = {"authorization": "Bearer bert"}
            url = f"/v1/ai-sdk/v7/chat/{id}"
            loaded = await place.http.get(f"{url}/messages", headers=headers)
            assert loaded.json() == {"messages": [], "activeStreamId": None}
            assert (await place.http.get(f"{url}/stream", headers=headers)).status_code == 204
            connected = await place.post(
                "/v1/ag-ui/agent/x/connect", MESSAGES[AG_UI](id), who="bert"
            )
            assert "SNAPSHOT" not in connected.text
            results = [
                {"role": "user", "content": "Hi"},
                {"role": "tool", "tool_call_id": f"u-{id}", "content": "x"},
            ]
            asked = {**MESSAGES[OPENAI](id), "messages": results}
            for given in ({"x-conversation-id": id}, {"x-openwebui-chat-id": id}):
                assert (await place.post(OPENAI, asked, who="bert", **given)).status_code == 404
        assert await place.trace(store) == of_anna

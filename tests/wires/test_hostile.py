"""Peers that mean no good, on all wires alike: what they send, whose it is, and what stays of it."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.kit.chat import MODEL
from tests.kit.patience import patience
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from turnwire_server import Turnwire
from turnwire_server.store.memory import MemoryStore
from turnwire_simulator import Answer, Simulator, Text

AG_UI, AI_SDK, OPENAI = "/v1/ag-ui", "/v1/ai-sdk/v7/chat", "/openai/v1/chat/completions"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
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

    def __init__(self, turnwire: Turnwire, http: httpx2.AsyncClient, simulator: Simulator) -> None:
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

    async def trace(self, store: MemoryStore) -> object:
        """All that a refused request could have changed."""
        heads = [await store.list_heads(who, limit=5000, before=None) for who in ("anna", "bert")]
        hidden = await store.list_hidden(before="9999", limit=5000)
        return heads, hidden, len(self.simulator.requests)


@asynccontextmanager
async def placed(**settings: Any) -> AsyncIterator[Place]:
    """A place of its own."""
    async with Simulator() as simulator:
        simulator.answer_with(lambda body: Answer(Text("Hello.")))
        given = {"authenticate": by_name, "model": MODEL, **settings}
        turnwire = turnwire_over(simulator, **given)
        async with serving(turnwire) as address, asking(address) as http:
            place = Place(turnwire, http, simulator)
            message = {"id": "m1", "role": "user", "content": "Hi"}
            await place.post(AG_UI, {"threadId": "chat", "runId": "r", "messages": [message]})
            yield place


def is_in_form(path: str, response: httpx2.Response) -> bool:
    """Whether a refusal is such as the wire's clients show to people."""
    if path != OPENAI:
        is_text = response.headers["content-type"].startswith("text/plain")
        return is_text and bool(response.text) and "x-turnwire-code" in response.headers
    error = response.json()["error"]
    return {"message", "type", "param", "code"} == error.keys()


@pytest.mark.parametrize("name", GOOD)
async def test_what_is_refused_is_refused_in_the_wires_form_and_leaves_no_trace(name: str) -> None:
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

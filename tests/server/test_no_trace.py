"""What answers 4xx has left no trace: not in the store, and the model was not asked."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from tests.kit.chat import MODEL
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from turnwire_server import create_app
from turnwire_server.core.log.codec import load
from turnwire_server.core.log.items import coalesce
from turnwire_server.store.memory import MemoryStore
from turnwire_simulator import Answer, Simulator, Text

BODIES: dict[str, Any] = {
    "none": None,
    "an empty object": {},
    "a list": [],
    "an unknown field": {"content": "Hi", "message": "Hi", "turn": "t_x", "surprise": 1},
    "wrong types": {"content": 1, "turn": 2, "tool_id": [], "title": {}, "decision": "perhaps"},
    "an unknown model": {"content": "Hi", "model": "gpt-x"},
    "an unknown tool": {"content": "Hi", "tools": ["nowhere"]},
    "a client's tool without a runner": {"content": "Hi", "client_tools": []},
    "an unknown conversation": {"content": "Hi", "conversation": "c_nowhere"},
    "an unknown turn": {"turn": "t_nowhere"},
    "a retract of nothing": {"content": "Hi", "retract": "t_nowhere"},
    "a used key": {"content": "Other", "key": "k"},
    "a decision about nothing": {"tool_id": "u", "decision": "allow"},
    "an output of nothing": {"tool_id": "u", "runner": "r", "content": "x"},
    "an unknown blob": {"content": [{"type": "image", "blob": f"b_{'0' * 32}", "bytes": 1}]},
}
HEADERS: dict[str, dict[str, str]] = {
    "plain": {},
    "another conversation's position": {"Last-Event-ID": "c_other:e:7"},
    "no position": {"Last-Event-ID": "nonsense"},
    "a used key": {"Idempotency-Key": "k"},
    "a foreign page": {"Origin": "https://evil.example"},
}


@dataclass
class Place:
    """A service with one conversation, whose key is `k`."""

    http: httpx2.AsyncClient
    store: MemoryStore
    simulator: Simulator
    conversation: str

    async def trace(self) -> tuple[object, ...]:
        """All that a request could have changed."""
        heads = await self.store.list_heads("local", limit=1000, before=None)
        bodies = [await self.store.read(h.conversation, 0, max_bytes=2**20) for h in heads]
        # By what they hold: rows of finished turns are joined in the background.
        logs = [coalesce(item for body in log for item in load(body)) for log in bodies]
        events = [[item.event for item in log] for log in logs]
        return heads, events, len(self.simulator.requests)


@pytest.fixture
async def place(simulator: Simulator) -> AsyncIterator[Place]:
    store = MemoryStore()
    simulator.answer_with(lambda body: Answer(Text("Hello.")))
    turnwire = turnwire_over(simulator, store=store, model=MODEL)
    async with serving(turnwire) as address, asking(address) as http:
        json = {"content": "Hi", "key": "k"}
        body = await http.post("/v1/chat", json=json, headers={"Accept": "application/json"})
        yield Place(http, store, simulator, body.json()["conversation"])


def endpoints(simulator: Simulator) -> list[tuple[str, str]]:
    """(method, path) of every documented endpoint, of those that may change something."""
    paths: dict[str, dict[str, Any]] = create_app(turnwire_over(simulator)).openapi()["paths"]
    every = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    return [(method, path) for method, path in every if method != "GET" or path == "/v1/chat"]


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
async def test_what_is_refused_over_http_leaves_no_trace(
    place: Place, simulator: Simulator, headers: dict[str, str]
) -> None:
    refusals = 0
    for method, path in endpoints(simulator):
        for named in (place.conversation, "c_nowhere"):
            names = dict.fromkeys(("conversation", "id", "name", "thread"), named)
            url = path.format(
                **names, blob="b_nowhere", file="f", version="7", agent="default", model="no"
            )
            for body in BODIES.values():
                before = await place.trace()
                query = {"message": "Hi", "key": "other"} if method == "GET" else {}
                response = await place.http.request(
                    method, url, headers=headers, params=query, json=body
                )
                if response.status_code >= 400:
                    refusals += 1
                    assert await place.trace() == before, (method, url, body)
                if method == "DELETE" and response.is_success:
                    break
    assert refusals > 100

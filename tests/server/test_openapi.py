"""The OpenAPI document says what is answered: every status, every body, every event."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any, get_args

import httpx2
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter
from starlette.testclient import TestClient

from tests.kit.chat import MODEL
from tests.kit.openapi import TOKEN, Document, documented
from tests.kit.patience import patience
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import SseReader, asking
from turnwire_protocol import Block, FoldedTurn, TotalUsage, Usage, parse_event
from turnwire_protocol.events import KNOWN_TYPES, RunsOn
from turnwire_protocol.fold import BlockType, ToolCall, ToolState, TurnState
from turnwire_server import ToolContext, Turnwire, create_app, tool
from turnwire_server.transports.answers import (
    FoldedBlock,
    FoldedContext,
    FoldedDone,
    FoldedProgress,
    FoldedResult,
    FoldedRetry,
    FoldedTurnForm,
)
from turnwire_server.transports.http import Problem
from turnwire_simulator import Answer, Compaction, Cut, Fault, Simulator, Text, Thinking, ToolUse

AT = "2026-11-20T10:00:00.000Z"
JSON = {"Accept": "application/json"}
LARGE = b"\x89PNG\r\n\x1a\n" + bytes(2000)

Operation = tuple[str, str]


def openapi(**options: Any) -> dict[str, Any]:
    """The document of a service with these options."""
    return create_app(Turnwire(**options)).openapi()


def test_no_status_is_documented_that_is_never_answered() -> None:
    for operation in documented().operations.values():
        assert "422" not in operation["responses"]
        assert "default" in operation["responses"]


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(documented().openapi)
    named = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert named == set(documented().openapi["components"]["schemas"])
    assert text.count('"$ref"') == text.count('"$ref": "#/components/schemas/')


def test_an_app_with_models_of_the_same_names_keeps_the_references() -> None:
    class Ack(BaseModel):
        mine: str

    class Problem(BaseModel):
        mine: str

    app = FastAPI()

    @app.get("/mine")
    def mine() -> Ack | Problem:
        return Ack(mine="never asked")

    app.include_router(Turnwire().router, prefix="/ai")
    document = app.openapi()
    refusal = document["paths"]["/ai/v1/chat"]["post"]["responses"]["409"]
    (_, _, _, name) = refusal["content"]["application/json"]["schema"]["$ref"].split("/")
    error = document["components"]["schemas"][name]["properties"]["error"]["$ref"]
    assert "code" in document["components"]["schemas"][error.split("/")[-1]]["properties"]


@pytest.mark.parametrize("options", [{"token": TOKEN}, {"authenticate": by_name}])
def test_credentials_are_a_bearer_token_for_all_but_health(options: dict[str, Any]) -> None:
    document = openapi(**options)
    assert document["components"]["securitySchemes"]["turnwire"]["scheme"] == "bearer"
    for (_, path), operation in Document(document).operations.items():
        is_open = path in ("/health", "/ready")
        assert operation.get("security") == (None if is_open else [{"turnwire": []}])
        assert ("401" in operation["responses"]) is not is_open


def test_without_credentials_none_are_documented() -> None:
    document = openapi()
    assert "securitySchemes" not in document["components"]
    for operation in Document(document).operations.values():
        assert "security" not in operation
        assert "401" not in operation["responses"]


class Place:
    """A service with one conversation, whose key is `k`, and what it has answered."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self.http = http
        self.conversation = ""
        self.answered: dict[Operation, set[int]] = {}

    async def ask(
        self,
        operation: Operation,
        *,
        conversation: str = "c_none",
        blob: str = "b_none",
        **options: Any,
    ) -> httpx2.Response:
        """Ask, and judge the answer; a stream that begins is not read."""
        method, path = operation
        url = path.format(conversation=conversation, blob=blob, file="file_none")
        headers = {"Authorization": f"Bearer {TOKEN}", **options.pop("headers", {})}
        async with self.http.stream(method, url, headers=headers, **options) as response:
            await documented().judge(response)
        self.answered.setdefault(operation, set()).add(response.status_code)
        return response


@asynccontextmanager
async def placed(simulator: Simulator, **settings: Any) -> AsyncIterator[Place]:
    """A `Place` with these settings."""
    simulator.answer_with(lambda body: Answer(Text("Hello.")))
    turnwire = turnwire_over(simulator, token=TOKEN, model=MODEL, **settings)
    async with serving(turnwire) as address, asking(address) as http:
        place = Place(http)
        body = {"content": "Hi", "key": "k"}
        answer = await place.ask(CHAT, json=body, headers=JSON)
        place.conversation = answer.json()["conversation"]
        yield place


CHAT = ("POST", "/v1/chat")
BODIES: dict[str, Any] = {
    "nothing": {},
    "wrong": {"content": 1, "turn": 2, "tool_id": [], "title": {}},
    "a used key": {"content": "Other", "key": "k"},
    "of an unknown conversation": {"content": "Hi", "conversation": "c_none"},
    "a turn": {"turn": "t_none"},
    "a decision": {"tool_id": "u", "decision": "allow"},
    "an output": {"tool_id": "u", "runner": "r", "content": "x"},
    "progress": {"tool_id": "u", "runner": "r", "message": "x"},
    "a title": {"title": "x"},
}
QUERIES: dict[str, dict[str, str]] = {
    "wrong": {"limit": "x", "last": "x", "after": "x", "format": "x", "message": "", "key": ""},
    "of an unknown conversation": {"message": "Hi", "key": "other", "conversation": "c_none"},
    "a used key": {"message": "Other", "key": "k"},
    "right": {"message": "Hi", "key": "k", "format": "json"},
}
EVERYWHERE = {401, 403}
REFUSED: dict[Operation, set[int]] = {
    ("GET", "/v1/conversations"): {400},
    ("GET", "/v1/conversations/{conversation}"): {400, 404},
    ("PATCH", "/v1/conversations/{conversation}"): {400, 404, 413},
    ("GET", "/v1/conversations/{conversation}/export"): {400, 404},
    ("GET", "/v1/conversations/{conversation}/files/{file}"): {404},
    ("POST", "/v1/chat"): {400, 404, 409, 413},
    ("GET", "/v1/chat"): {400, 404, 409},
    ("GET", "/v1/conversations/{conversation}/events"): {400, 404},
    ("POST", "/v1/conversations/{conversation}/cancel"): {400, 404, 413},
    ("POST", "/v1/conversations/{conversation}/decide"): {400, 404, 413},
    ("POST", "/v1/conversations/{conversation}/tool_output"): {400, 404, 413},
    ("POST", "/v1/conversations/{conversation}/progress"): {400, 404, 413},
    ("POST", "/v1/blobs"): {400, 413},
    ("GET", "/v1/blobs/{blob}"): {404},
    ("DELETE", "/v1/blobs/{blob}"): {404},
    ("DELETE", "/v1/conversations/{conversation}"): {404},
}
"""What can be had of a service that is well; the last one forgets the conversation."""


async def test_what_is_refused_is_documented(simulator: Simulator) -> None:
    async with placed(simulator, limits={"max_blob_bytes": 1000, "max_frame_bytes": 1000}) as place:
        for operation, expected in REFUSED.items():
            for conversation in ("c_none", place.conversation):
                for body in BODIES.values():
                    await place.ask(operation, conversation=conversation, json=body)
                for query in QUERIES.values():
                    await place.ask(operation, conversation=conversation, params=query)
            for media_type in ("application/json", "image/png"):
                typed = {"Content-Type": media_type}
                await place.ask(operation, content=LARGE, headers=typed)
            await place.ask(operation, headers={"Authorization": "Bearer nobody's"})
            await place.ask(operation, headers={"Origin": "https://evil.example"})
            refused = {status for status in place.answered[operation] if status >= 400}
            assert refused == expected | EVERYWHERE, operation
        assert set(REFUSED) | set(HEALTH) == set(documented().operations)


HEALTH = [("GET", "/health"), ("GET", "/ready")]


async def test_too_many_requests_are_documented(simulator: Simulator) -> None:
    async with placed(simulator, limits={"max_requests_per_second": 1}) as place:
        for operation in REFUSED:
            while (await place.ask(operation)).status_code != 429:
                pass


async def test_a_service_that_goes_away_is_documented(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, token=TOKEN)
    async with serving(turnwire) as address, asking(address) as http:
        await turnwire.drain(0)
        place = Place(http)
        for operation in [CHAT, ("GET", "/ready")]:
            response = await place.ask(operation, json={"content": "Hi"})
            assert response.status_code == 503


async def test_a_service_that_was_not_started_is_documented(simulator: Simulator) -> None:
    client = TestClient(create_app(turnwire_over(simulator, token=TOKEN)))
    for method, path in documented().operations:
        response = client.request(method, path.format(conversation="c", blob="b", file="f"))
        assert response.status_code == 503
        await documented().judge(response)


async def test_a_body_that_comes_too_slowly_is_documented(simulator: Simulator) -> None:
    limits = {"body_timeout_seconds": 0.01, "upload_timeout_seconds": 0.01}
    async with serving(turnwire_over(simulator, token=TOKEN, limits=limits)) as address:
        for (method, path), operation in documented().operations.items():
            if "requestBody" not in operation:
                continue
            (media_type, *_) = operation["requestBody"]["content"]
            url = path.format(conversation="c", blob="b", file="f")
            request = httpx2.Request(method, f"http://{address}{url}")
            reader, writer = await asyncio.open_connection(*address.split(":"))
            writer.write(
                f"{method} {url} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 9\r\n"
                f"Authorization: Bearer {TOKEN}\r\nContent-Type: {media_type}\r\n\r\n".encode()
            )
            async with patience():
                head = await reader.readuntil(b"\r\n\r\n")
                (length,) = re.findall(rb"content-length: (\d+)", head)
                body = await reader.readexactly(int(length))
            writer.close()
            status = int(head.split()[1])
            headers = {"Content-Type": "application/json"}
            await documented().judge(
                httpx2.Response(status, content=body, headers=headers, request=request)
            )
            assert status == 504


FAULTS: dict[int, Fault] = {
    400: Fault(400),
    403: Fault(403),
    404: Fault(404),
    413: Fault(400, message="prompt is too long"),
    429: Fault(429, retry_after=7),
    500: Fault(500),
    502: Fault(401),
    503: Fault(529),
    504: Fault(504),
}


@pytest.mark.parametrize(("status", "fault"), FAULTS.items())
async def test_an_answer_that_failed_is_documented(
    simulator: Simulator, status: int, fault: Fault
) -> None:
    async with placed(simulator, retries=0, expose_provider_errors=True) as place:
        for method in ("POST", "GET"):
            simulator.program(fault)
            options: dict[str, Any] = {"json": {"content": "Hi"}}
            if method == "GET":
                options = {"params": {"message": "Hi", "key": "other"}}
            response = await place.ask((method, "/v1/chat"), headers=JSON, **options)
            assert response.status_code == status
            error = response.json()["error"]
            assert error["request_id"].startswith("req_")


@tool(approval=True)
def shout(word: str, context: ToolContext) -> str:
    """Says it aloud.

    Args:
        word: What to say.
    """
    context.progress("breathing in", 0.5)
    return word.upper()


def test_the_forms_of_the_fold_have_what_the_fold_gives() -> None:
    turn = folded()
    form = turn.to_dict()
    text, call = form["blocks"]
    assert form.keys() == FoldedTurnForm.__annotations__.keys()
    assert text.keys() | call.keys() == FoldedBlock.__annotations__.keys()
    assert call["progress"].keys() == FoldedProgress.__annotations__.keys()
    assert call["result"].keys() == FoldedResult.__annotations__.keys()
    assert form["context"].keys() == FoldedContext.__annotations__.keys()
    assert form["retry"].keys() == FoldedRetry.__annotations__.keys()
    assert form["error"].keys() == Problem.__annotations__.keys()
    assert form["done"].keys() == FoldedDone.__annotations__.keys()
    TypeAdapter(FoldedTurnForm).validate_python(form)
    # An open document lets types pass that it does not name, but for those of a Literal.
    for form_of, name, literal in (
        (FoldedBlock, "type", BlockType),
        (FoldedBlock, "state", ToolState),
        (FoldedBlock, "runs_on", RunsOn),
        (FoldedTurnForm, "state", TurnState),
    ):
        schema = TypeAdapter(form_of).json_schema()
        schema = schema.get("$defs", {}).get(form_of.__name__, schema)
        assert schema["properties"][name]["enum"] == list(get_args(literal))


def folded() -> FoldedTurn:
    """A turn of which everything is known at once, as of no real one."""

    def full(kind: str, **said: Any) -> Any:
        told = {"conversation": "c_1", "seq": 1, "turn": "t_1", "at": AT, "type": kind, **said}
        event = parse_event(told)
        # What comes to an event later is wanted here, too.
        assert [name for name in type(event).model_fields if getattr(event, name) is None] == []
        return event

    usage = Usage(
        conversation="c_1",
        seq=1,
        turn="t_1",
        at=AT,
        step=1,
        attempt=1,
        input_tokens=1,
        output_tokens=1,
        cache_read_input_tokens=1,
        cache_creation_input_tokens=1,
        context_tokens=1,
        context_window=2,
    )
    total = dict.fromkeys(TotalUsage.model_fields, 1) | {"estimated": True}
    tool = ToolCall(
        tool_id="u",
        tool_name="look",
        runs_on="client",
        input={},
        runner="r",
        approval=full("tool_approval", tool_id="u", tool_name="look", input={}, expires_at=AT),
        decision=full("tool_decision", tool_id="u", decision="allow", input={}, reason="y"),
        progress=full("tool_progress", tool_id="u", message="m", fraction=0.5),
        result=full(
            "tool_result", tool_id="u", content="x", is_error=False, duration_ms=1, files=["f"]
        ),
    )
    failed = {"code": "overloaded", "message": "m", "request_id": "req_1"}
    turn = FoldedTurn(
        "t_1",
        content="Hi",
        key="k",
        at=AT,
        model=MODEL,
        step=1,
        attempt=1,
        compacting=True,
        blocks=[Block(0, "text", citations=[]), Block(1, "tool", tool=tool)],
        usage=usage,
        context=usage,
        retry=full("retry", step=1, attempt=1, delay_seconds=1, **failed),
        error=full("error", retryable=True, retry_after_seconds=1, **failed),
        done=full(
            "done",
            stop_reason="refusal",
            usage=total,
            steps=1,
            duration_ms=1,
            cost_usd=1,
            refusal={"category": "c", "explanation": "e"},
            stop_sequence="s",
            output={},
        ),
    )
    for each in (turn, tool):
        assert [field.name for field in fields(each) if getattr(each, field.name) is None] == []
    return turn


async def test_every_event_of_a_stream_is_documented(simulator: Simulator) -> None:
    there = {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}
    simulator.program(
        Answer(Text("half"), Cut()),
        Answer(Thinking("Well."), Text("I ask."), ToolUse("shout", {"word": "hey"}, "toolu_1")),
        Answer(ToolUse("look", {}, "toolu_2")),
        Answer(Compaction("They talked."), Text("Done.")),
        Fault(400),
    )
    turnwire = turnwire_over(simulator, token=TOKEN, tools=[shout])
    headers = {"Authorization": f"Bearer {TOKEN}"}
    types: set[str] = set()
    async with serving(turnwire) as address, asking(address, headers=headers) as http:

        async def read(reader: SseReader, *, until: str) -> None:
            while True:
                sent = await reader.next()
                assert sent is not None
                documented().judge_event(reader.response, sent)
                types.add(sent.type)
                if sent.type == until:
                    return

        asked = {"content": "Hi", "client_tools": [there], "runner": "r"}
        async with http.stream("POST", "/v1/chat", json=asked) as response:
            chat = SseReader(response)
            await read(chat, until="tool_approval")
            url = f"/v1/conversations/{chat.sent[0].data['conversation']}"
            answers = [
                await http.post(
                    f"{url}/decide", json={"tool_id": "toolu_1", "decision": "allow", "reason": "y"}
                )
            ]
            await read(chat, until="tool_result")
            while chat.sent[-1].data.get("runner") != "r":
                await read(chat, until="tool_executing")
            mine = {"tool_id": "toolu_2", "runner": "r"}
            answers += [
                await http.post(f"{url}/progress", json={**mine, "message": "looking"}),
                await http.get(url),
                await http.post(f"{url}/tool_output", json={**mine, "content": "a tree"}),
            ]
            await read(chat, until="done")
        failed = {"content": "Again", "retract": chat.sent[0].data["turn"]}
        failed["conversation"] = chat.sent[0].data["conversation"]
        async with http.stream("POST", "/v1/chat", json=failed) as response:
            await read(SseReader(response), until="done")
        answers += [await http.get(url), await http.get("/v1/conversations")]
        answers += [await http.get(f"{url}/export", params={"format": "json"})]
        for answer in answers:
            await documented().judge(answer)
            assert answer.status_code == 200
        beyond = {"Last-Event-ID": f"{failed['conversation']}:other:7"}
        async with http.stream("GET", f"{url}/events", headers=beyond) as response:
            tail = SseReader(response)
            await read(tail, until="error")
            await documented().judge(await http.delete(url))
            await read(tail, until="closed")
    assert types == {*KNOWN_TYPES, "reset", "closed"}

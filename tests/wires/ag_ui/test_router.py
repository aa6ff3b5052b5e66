"""The endpoints of AG-UI without their clients: what is refused, what is bounded, whose it is."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from tests.kit.openapi import Document
from tests.kit.patience import patience
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from tests.wires.ag_ui.conftest import MODEL, erase, look
from turnwire_server import Turnwire, create_app
from turnwire_simulator import Answer, Gate, Simulator, Text, ToolUse

OK = Answer(Text("Ok."))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
TITLE = {"name": "page_title", "description": "The page's title."}
Chunks = list[dict[str, Any]]

DOCUMENT = Document(create_app(Turnwire(token="a-shared-token", wires=["ag_ui"])).openapi())
"""What is answered is what it says."""


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """What answers in place of Claude: each test has its own here."""
    async with Simulator() as simulator:
        yield simulator


class Asker:
    """Somebody who writes the requests by hand."""

    def __init__(self, turnwire: Turnwire, http: httpx2.AsyncClient) -> None:
        self.turnwire = turnwire
        self.http = http

    async def post(self, content: Any = "Hi", path: str = "", **more: Any) -> httpx2.Response:
        """A run of one message, unless `messages` are given."""
        headers = {"Authorization": f"Bearer {more.pop('who', 'anna')}"}
        message = {"id": "m1", "role": "user", "content": content}
        body = {"threadId": "chat", "runId": "r1", "messages": [message], **more}
        async with patience():
            response = await self.http.post(f"/v1/ag-ui{path}", json=body, headers=headers)
        await DOCUMENT.judge(response)
        return response

    async def run(self, content: Any = "Hi", path: str = "", **more: Any) -> Chunks:
        """What a run says."""
        response = await self.post(content, path, **more)
        assert response.status_code == 200, response.text
        return chunks_of(response.text)


def chunks_of(text: str) -> Chunks:
    """The events of a stream that has ended."""
    lines = (line for line in text.splitlines() if line.startswith("data: "))
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def text_of(chunks: Chunks) -> str:
    """What the assistant said."""
    return "".join(c["delta"] for c in chunks if c["type"] == "TEXT_MESSAGE_CONTENT")


@asynccontextmanager
async def asker(simulator: Simulator, *answers: Answer, **settings: Any) -> AsyncIterator[Asker]:
    """Somebody who knows a service that knows Anna and Bert."""
    simulator.program(*answers)
    settings = {"model": MODEL, "tools": [look, erase], "authenticate": by_name, **settings}
    turnwire = turnwire_over(simulator, **settings)
    async with serving(turnwire) as address, asking(address) as http:
        yield Asker(turnwire, http)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no user message": ({"messages": []}, "messages: a user message is required"),
    "no list": ({"messages": "Hi"}, "messages: "),
    "no thread": ({"threadId": ""}, "threadId: "),
    "blank": ({"content": " "}, "content: "),
    "no content": ({"content": None}, "content: "),
    "a file elsewhere": (
        {"content": [{"type": "image", "source": {"type": "url", "value": "http://x/a.png"}}]},
        "content: ",
    ),
    "no file": (
        {
            "content": [
                {
                    "type": "image",
                    "source": {"type": "data", "value": "?", "mimeType": "image/png"},
                }
            ]
        },
        "content: ",
    ),
    "a film": ({"content": [{"type": "video", "source": {}}]}, "content: "),
    "a tool's name": ({"tools": [{"name": "a b", "description": ""}]}, "client_tools.0.name: "),
    "a model": ({"forwardedProps": {"turnwire": {"model": "gpt"}}}, "model: "),
    "a message without an id": ({"messages": [{"role": "user", "content": "Hi"}]}, "id: "),
    "too many results": (
        {
            "messages": [
                {"id": "m1", "role": "user", "content": "Hi"},
                *[{"id": "r", "role": "tool", "toolCallId": "u", "content": ""}] * 2001,
            ]
        },
        "messages: ",
    ),
    "an unknown call": ({"resume": [{"interruptId": "u", "status": "resolved"}]}, "conversation"),
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_wrong_is_said_to_people_and_leaves_no_trace(
    name: str, simulator: Simulator
) -> None:
    change, problem = BAD[name]
    async with asker(simulator) as anna:
        response = await anna.post(**change)
        assert await anna.turnwire.hub.list_heads("anna", limit=1, before=None) == []
    assert response.status_code in (400, 404), response.text
    assert response.headers["content-type"].startswith("text/plain")
    assert response.headers["x-turnwire-code"] in ("bad_command", "unknown_conversation")
    assert response.text.startswith(problem)


async def test_strangers_and_foreign_pages_are_told_so(simulator: Simulator) -> None:
    async with asker(simulator) as nobody:
        stranger = await nobody.post(who="mallory")
        nobody.http.headers["Origin"] = "https://evil.example"
        foreign = await nobody.post()
    assert (stranger.status_code, stranger.headers["x-turnwire-code"]) == (401, "unauthorized")
    assert foreign.status_code == 403


async def test_what_is_not_known_here_fails_nothing(simulator: Simulator) -> None:
    odd = {"id": "x", "role": "poet", "verses": [1]}
    message = {"id": "m1", "role": "user", "content": "Hi", "subagentRunId": "s", "name": "Anna"}
    async with asker(simulator, OK) as anna:
        chunks = await anna.run(
            messages=[odd, *[{"id": "m0", "role": "assistant", "content": None}] * 5000, message],
            state={"deep": [1]},
            forwardedProps="what apps like",
            parentRunId="r0",
            news=True,
        )
    assert text_of(chunks) == "Ok."


async def test_of_a_long_conversation_from_elsewhere_the_last_turns_come_along(
    simulator: Simulator,
) -> None:
    before = [
        {"id": f"e{number}", "role": ("user", "assistant")[number % 2], "content": str(number)}
        for number in range(3000)
    ]
    async with asker(simulator, OK) as anna:
        await anna.run(messages=[*before, {"id": "m1", "role": "user", "content": "Hi"}])
    (request,) = simulator.requests
    assert len(request["messages"]) == 1001


async def test_a_body_beyond_the_bound_is_refused(simulator: Simulator) -> None:
    async with asker(simulator, limits={"max_wire_body_bytes": 1000}) as anna:
        response = await anna.post("x" * 1000)
    assert (response.status_code, response.headers["x-turnwire-code"]) == (413, "too_large")


async def test_streams_are_counted_with_those_of_all_transports(simulator: Simulator) -> None:
    gate = Gate()
    async with asker(simulator, Answer(Text([gate, "Ok."])), limits={"max_streams": 1}) as anna:
        first = asyncio.create_task(anna.run())
        await gate.reached()
        second = await anna.post(threadId="other")
        gate.open()
        await first
    assert (second.status_code, second.headers["x-turnwire-code"]) == (429, "too_many")
    assert second.headers["retry-after"] == "1"


async def test_nobody_reaches_what_is_anothers_by_its_id(simulator: Simulator) -> None:
    call = Answer(ToolUse("erase", {"path": "a"}, id="toolu_a"), stop_reason="tool_use")
    async with asker(simulator, call, OK) as anna:
        await anna.run("the secret")
        (head,) = await anna.turnwire.hub.list_heads("anna", limit=9, before=None)
        thread = head.conversation
        resume = [{"interruptId": "toolu_a", "status": "resolved", "payload": {"approved": True}}]
        decided = await anna.post(who="bert", threadId=thread, resume=resume)
        headers = {"Authorization": "Bearer bert"}
        stopped = await anna.http.post(f"/v1/ag-ui/{thread}/stop", headers=headers)
        connected = await anna.run(
            who="bert", path="/agent/default/connect", threadId=thread, messages=[]
        )
        # What he says there goes into one of his own.
        said = await anna.run(who="bert", threadId=thread)
        (his,) = await anna.turnwire.hub.list_heads("bert", limit=9, before=None)
    assert (decided.status_code, stopped.json()) == (404, {"stopped": False})
    assert [chunk["type"] for chunk in connected] == ["RUN_STARTED", "RUN_FINISHED"]
    assert text_of(said) == "Ok."
    assert his.conversation != thread


async def test_a_native_conversation_opens_by_its_id_and_its_answer_can_be_made_again(
    simulator: Simulator,
) -> None:
    async with asker(simulator, Answer(Text("One.")), Answer(Text("Two.")), OK) as anna:
        headers = {"Authorization": "Bearer anna", "Accept": "application/json"}
        native = await anna.http.post("/v1/chat", json={"message": "Hi"}, headers=headers)
        thread = native.json()["conversation"]
        connect = {"path": "/agent/default/connect", "threadId": thread}
        (_, snapshot, _) = await anna.run(**connect, messages=[])
        user, answer = snapshot["messages"]
        again = await anna.run(threadId=thread, messages=[user])
        (_, changed, _) = await anna.run(**connect, messages=[])
    assert (user["content"], answer["content"]) == ("Hi", "One.")
    assert text_of(again) == "Two."
    assert [message["content"] for message in changed["messages"]] == ["Hi", "Two."]


async def test_the_pages_context_is_the_models_only_where_pages_may_choose_the_system(
    simulator: Simulator,
) -> None:
    context = [{"description": "The open page", "value": "Prices"}]
    messages = [
        {"id": "s", "role": "system", "content": "Rhyme."},
        {"id": "m1", "role": "user", "content": "Hi"},
    ]
    for allowed in (["tools"], ["system"]):
        settings: dict[str, Any] = {"system": "Be brief.", "client_options": allowed}
        async with asker(simulator, OK, **settings) as anna:
            await anna.run(messages=messages, context=context)
    refused, taken = (str(request["system"]) for request in simulator.requests)
    assert "Rhyme" not in refused
    assert all(part in taken for part in ("Be brief.", "Rhyme.", "The open page:", "Prices"))


async def test_options_come_under_our_name(simulator: Simulator) -> None:
    async with asker(simulator, OK, models=["claude-simulated-haiku"]) as anna:
        options = {
            "model": "claude-simulated-haiku",
            "max_tokens": 100,
            "tools": [],
            "effort": "low",
            "output_format": {"type": "json_schema", "schema": {"type": "object"}},
        }
        await anna.run(forwardedProps={"turnwire": options, "model": "gpt"})
    (request,) = simulator.requests
    assert (request["model"], request["max_tokens"]) == ("claude-simulated-haiku", 100)
    assert not request.get("tools")
    assert request["output_config"]["effort"] == "low"
    assert request["output_config"]["format"]["type"] == "json_schema"


@pytest.mark.parametrize("form", ["1.0", "0.x"])
async def test_a_files_bytes_become_a_blob_which_the_page_is_shown_and_can_send_again(
    form: str, simulator: Simulator
) -> None:
    data = b64encode(PNG).decode()
    part = {
        "1.0": {
            "type": "image",
            "source": {"type": "data", "value": data, "mimeType": "image/png"},
        },
        "0.x": {"type": "binary", "data": data, "mimeType": "image/png"},
    }[form]
    async with asker(simulator, OK, OK) as anna:
        await anna.run([{"type": "text", "text": "What is it?"}, part])
        connect = {"path": "/agent/default/connect"}
        (_, snapshot, _) = await anna.run(**connect, messages=[])
        said = snapshot["messages"][0]
        headers = {"Authorization": "Bearer anna"}
        blob = await anna.http.get(said["content"][1]["source"]["value"], headers=headers)
        await anna.run(messages=[{**said, "id": "m2"}])
    assert blob.content == PNG
    for request in simulator.requests:
        image = request["messages"][-1]["content"][1]
        assert image["source"]["data"] == data


async def test_a_service_that_stops_ends_a_run_with_an_error_and_not_as_a_success(
    simulator: Simulator,
) -> None:
    gate = Gate()
    async with asker(simulator, Answer(Text(["Once", gate]))) as anna:
        running = asyncio.create_task(anna.run())
        await gate.reached()
        await anna.turnwire.drain(0)
        chunks = await running
        refused = await anna.post(threadId="other")
    assert text_of(chunks) == "Once"
    assert (chunks[-1]["type"], chunks[-1]["code"]) == ("RUN_ERROR", "interrupted")
    assert (refused.status_code, refused.text) == (503, "the server is going away")


async def test_a_conversation_that_is_deleted_ends_its_run_with_an_error(
    simulator: Simulator,
) -> None:
    gate = Gate()
    async with asker(simulator, Answer(Text(["Once", gate]))) as anna:
        running = asyncio.create_task(anna.run())
        await gate.reached()
        (head,) = await anna.turnwire.hub.list_heads("anna", limit=1, before=None)
        await anna.turnwire.hub.delete("anna", head.conversation)
        chunks = await running
    assert chunks[-1]["type"] == "RUN_ERROR"


async def test_a_proxy_is_told_to_pass_every_token_on(simulator: Simulator) -> None:
    async with asker(simulator, OK) as anna:
        response = await anna.post()
        info = await anna.http.get("/v1/ag-ui/info", headers={"Authorization": "Bearer anna"})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert info.json()["agents"].keys() == {"default"}
    assert info.json()["mode"] == "sse"


async def test_while_nothing_comes_a_comment_does(simulator: Simulator) -> None:
    gate = Gate()
    limits = {"heartbeat_seconds": 0.02}
    async with asker(simulator, Answer(Text(["Once", gate])), limits=limits) as anna:
        body = {
            "threadId": "c",
            "runId": "r",
            "messages": [{"id": "m", "role": "user", "content": "Hi"}],
        }
        headers = {"Authorization": "Bearer anna"}
        async with (
            patience(),
            anna.http.stream("POST", "/v1/ag-ui", json=body, headers=headers) as response,
        ):
            async for line in response.aiter_lines():
                if line.startswith(":"):
                    break
        gate.open()


async def test_where_the_wire_is_switched_off_there_is_none(simulator: Simulator) -> None:
    async with asker(simulator, wires=["ai_sdk"]) as anna:
        # 405: of all below /v1 there is only the preflight.
        assert (await anna.http.get("/v1/ag-ui/info")).status_code == 405

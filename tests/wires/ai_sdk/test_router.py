"""The endpoints, by what stands on the wire; without a page."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from tests.kit.openapi import Document
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import by_name, serving, turnwire_over
from tests.wires.ai_sdk.conftest import erase
from turnwire_server import Turnwire, create_app
from turnwire_server.core.limits import ServiceLimits
from turnwire_simulator import Answer, Gate, Simulator, Text, ToolUse

CHAT = "/v1/ai-sdk/v7/chat"
DOCUMENT = Document(create_app(Turnwire(token="a-shared-token", wires=["ai_sdk"])).openapi())
"""What is answered is what it says."""


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A strict stand-in for the Claude API."""
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def anna(simulator: Simulator) -> AsyncIterator[httpx2.AsyncClient]:
    """Anna, at a service that knows her and Bert."""
    limits = ServiceLimits(max_streams=1, max_wire_body_bytes=50_000)
    turnwire = turnwire_over(simulator, authenticate=by_name, limits=limits)
    headers = {"authorization": "Bearer anna"}
    hooks: Any = {"response": [DOCUMENT.judge]}
    async with (
        serving(turnwire) as address,
        httpx2.AsyncClient(
            base_url=f"http://{address}",
            headers=headers,
            event_hooks=hooks,
            timeout=PATIENCE_SECONDS,
        ) as http,
        patience(),
    ):
        yield http


def asking(text: str = "Hi", **fields: Any) -> dict[str, Any]:
    """The body of a request."""
    said = {"id": "m1", "role": "user", "parts": [{"type": "text", "text": text}]}
    return {"id": "a/chat", "messages": [said], "trigger": "submit-message", **fields}


async def test_the_options_of_a_send_stand_in_the_body(
    anna: httpx2.AsyncClient, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("{}")))
    format = {"type": "json_schema", "schema": {"type": "object"}}
    options: dict[str, Any] = {"effort": "low", "stop_sequences": ["END"], "output_format": format}
    await anna.post(CHAT, json=asking(**options))
    (request,) = simulator.requests
    assert request["output_config"]["effort"] == "low"
    assert request["output_config"]["format"]["type"] == "json_schema"
    assert request["stop_sequences"] == ["END"]
    refused = await anna.post(CHAT, json=asking(id="other", temperature=0.5))
    assert refused.headers["x-turnwire-code"] == "bad_command"


async def test_a_stream_is_what_the_client_and_proxies_expect(
    anna: httpx2.AsyncClient, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("Ok.")))
    answer = await anna.post(CHAT, json=asking())
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert answer.headers["cache-control"] == "no-cache, no-transform"
    assert answer.headers["x-accel-buffering"] == "no"
    events = answer.text.strip().split("\n\n")
    assert events[-1] == "data: [DONE]"
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-1]]
    assert [chunk["type"] for chunk in chunks if chunk["type"] != "message-metadata"] == [
        "start",
        "start-step",
        "text-start",
        "text-delta",
        "text-end",
        "finish-step",
        "finish",
    ]
    assert chunks[0]["messageId"].startswith("t_")


async def test_what_is_not_there_is_nothing_and_no_error(anna: httpx2.AsyncClient) -> None:
    assert (await anna.get(f"{CHAT}/a%2Fchat/stream")).status_code == 204
    found = (await anna.get(f"{CHAT}/a%2Fchat/messages")).json()
    assert found == {"messages": [], "activeStreamId": None}
    stopped = await anna.post(f"{CHAT}/a%2Fchat/stop")
    assert (stopped.status_code, stopped.json()) == (200, {"outcome": "already_done"})


async def test_nobody_sees_or_stops_what_is_somebody_elses(
    anna: httpx2.AsyncClient, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("For Anna.")))
    answer = await anna.post(CHAT, json=asking())
    start = json.loads(answer.text.partition("\n")[0].removeprefix("data: "))
    place = start["messageMetadata"]["turnwire"]
    bert = {"authorization": "Bearer bert"}
    for name in ("a%2Fchat", place["conversation"]):
        found = await anna.get(f"{CHAT}/{name}/messages", headers=bert)
        assert found.json()["messages"] == []
        body = {"activeStreamId": place["turn"]}
        stopped = await anna.post(f"{CHAT}/{name}/stop", json=body, headers=bert)
        assert stopped.json() == {"outcome": "already_done"}
    simulator.program(Answer(Text("For Bert.")))
    foreign = asking(id=place["conversation"])
    assert "For Bert." in (await anna.post(CHAT, json=foreign, headers=bert)).text
    mine = (await anna.get(f"{CHAT}/{place['conversation']}/messages")).json()
    assert len(mine["messages"]) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("[]", 400),
        ("{", 400),
        ({}, 400),
        ({"id": "c"}, 400),
        (asking(messages=[]), 400),
        (asking(messages=[[]]), 400),
        (asking(messages=[{"role": "system", "parts": []}]), 400),
        (asking(messages=[{"role": "user", "parts": [7]}]), 400),
        (asking("  "), 400),
        (asking(model="no"), 400),
        (asking(tools=["no"]), 400),
        (asking(tools={"a": {"parameters": 7}}), 400),
        (asking(tools={"a b": {}}), 400),
        (asking(id=""), 400),
        (asking("x" * 50_000), 413),
        (asking(messages=[{"id": "t_1", "role": "assistant", "parts": []}]), 404),
        (asking(messageId=7), 400),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_cannot_be_done_is_said_in_plain_words_and_leaves_nothing(
    anna: httpx2.AsyncClient, body: Any, status: int
) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    answer = await anna.post(CHAT, content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-turnwire-code"]
    assert answer.text
    assert (await anna.get("/v1/conversations")).json()["conversations"] == []


async def test_who_is_not_known_a_foreign_page_and_an_unknown_version_get_nothing(
    anna: httpx2.AsyncClient,
) -> None:
    nobody = {"authorization": "Bearer nobody"}
    assert (await anna.post(CHAT, json=asking(), headers=nobody)).status_code == 401
    foreign = {"origin": "https://example.com"}
    assert (await anna.post(CHAT, json=asking(), headers=foreign)).status_code == 403
    assert (await anna.post(CHAT.replace("v7", "v4"), json=asking())).status_code == 400


async def test_streams_are_counted_and_a_busy_conversation_says_so(
    anna: httpx2.AsyncClient, simulator: Simulator
) -> None:
    simulator.program(Answer(Text(["Once ", Gate()])))
    async with anna.stream("POST", CHAT, json=asking(on_detach="continue")) as streaming:
        await anext(streaming.aiter_lines())
        refused = await anna.post(CHAT, json=asking(id="other"))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    other = [{"id": "m2", "role": "user", "parts": [{"type": "text", "text": "Ho"}]}]
    # The place is free once the service has seen that the reader has gone.
    while (busy := await anna.post(CHAT, json=asking(messages=other))).status_code == 429:
        pass
    assert (busy.status_code, busy.headers["x-turnwire-code"]) == (409, "busy")


async def test_a_conversation_that_is_deleted_ends_its_stream_in_words(
    anna: httpx2.AsyncClient, simulator: Simulator
) -> None:
    simulator.program(Answer(Text(["Once ", Gate()])))
    async with anna.stream("POST", CHAT, json=asking()) as streaming:
        lines = (line async for line in streaming.aiter_lines() if line)
        start = json.loads((await anext(lines)).removeprefix("data: "))
        conversation = start["messageMetadata"]["turnwire"]["conversation"]
        async for line in lines:
            if "text-delta" in line:
                break
        assert (await anna.delete(f"/v1/conversations/{conversation}")).status_code == 204
        rest = [line.removeprefix("data: ") async for line in lines]
    assert rest[-1] == "[DONE]"
    assert json.loads(rest[-2])["type"] == "error"
    assert [json.loads(line)["type"] for line in rest[:-2]].count("text-end") == 1


async def test_a_decision_that_another_tab_has_made_is_told_with_what_came_of_it(
    simulator: Simulator,
) -> None:
    calls = [ToolUse("erase", {"path": path}) for path in "ab"]
    simulator.program(Answer(*calls, stop_reason="tool_use"), Answer(Text("Ok.")))
    turnwire = turnwire_over(simulator, tools=[erase])
    url = "/v1/ai-sdk/v7/chat"
    async with (
        serving(turnwire) as address,
        httpx2.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE_SECONDS) as http,
        patience(),
    ):
        asked = chunks_of(await http.post(url, json=asking(on_detach="continue")))
        ids = [one["toolCallId"] for one in asked if one["type"] == "tool-approval-request"]
        decided = [
            {
                "type": "tool-erase",
                "toolCallId": id,
                "state": "approval-responded",
                "approval": {"id": id, "approved": True},
            }
            for id in ids
        ]
        answers = [{"id": asked[0]["messageId"], "role": "assistant", "parts": decided}]
        place = asked[0]["messageMetadata"]["turnwire"]["conversation"]
        other = {"tool_id": ids[0], "decision": "allow"}
        allowed = await http.post(f"/v1/conversations/{place}/decide", json=other)
        assert allowed.status_code == 200
        told = chunks_of(await http.post(url, json=asking(messages=answers)))
    outputs = [one["toolCallId"] for one in told if one["type"] == "tool-output-available"]
    assert sorted(outputs) == sorted(ids)
    assert told[-1]["type"] == "finish"


def chunks_of(answer: httpx2.Response) -> list[dict[str, Any]]:
    """What a stream said."""
    assert answer.status_code == 200, answer.text
    events = answer.text.strip().split("\n\n")
    return [json.loads(event.removeprefix("data: ")) for event in events[:-1]]

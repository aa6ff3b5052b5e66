"""REST: finished answers, conversations as resources, and errors as typed JSON."""

import json
from typing import Any

import httpx2
import pytest

from tests.kit.service import serving, turnwire_over, upstream_left
from tests.kit.sse import asking
from tests.kit.wire import wired
from turnwire_simulator import Answer, Fault, Gate, Simulator, Text

JSON = {"Accept": "application/json"}
HELLO = Text(["Hel", "lo"])


async def test_accept_json_waits_and_returns_the_finished_answer(
    http: httpx2.AsyncClient, simulator: Simulator
) -> None:
    simulator.program(Answer(HELLO))
    response = await http.post("/v1/chat", json={"message": "hi"}, headers=JSON)
    answer = response.json()
    assert response.status_code == 200
    assert (answer["text"], answer["state"], answer["content"]) == ("Hello", "done", "hi")
    assert answer["done"]["stop_reason"] == "end_turn"
    folded = (await http.get(f"/v1/conversations/{answer['conversation']}")).json()
    turn = {name: answer[name] for name in answer if name not in ("conversation", "text")}
    assert folded["turns"] == [turn]


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (Fault(401), 502, "auth_error"),
        (Fault(400, message="prompt is too long"), 413, "context_too_long"),
        (Fault(429, retry_after=7), 429, "rate_limit"),
        (Fault(529), 503, "overloaded"),
        (Fault(500), 500, "internal"),
    ],
)
async def test_a_failed_answer_has_the_fitting_status(
    simulator: Simulator, fault: Fault, status: int, code: str
) -> None:
    simulator.program(fault)
    async with serving(turnwire_over(simulator, retries=0)) as address, asking(address) as http:
        response = await http.post("/v1/chat", json={"content": "hi"}, headers=JSON)
    answer = response.json()
    assert (response.status_code, answer["error"]["code"]) == (status, code)
    assert answer["done"]["stop_reason"] == "failed"
    assert response.headers.get("retry-after") == ("7" if code == "rate_limit" else None)


LARGE = json.dumps({"content": "x" * 2**20})
DEEP = '{"content": ' + "[" * 100_000 + "]" * 100_000 + "}"
TYPE = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "named"),
    [
        ("{}", TYPE, 400, "content"),
        ('{"content": "a", "message": "b"}', TYPE, 400, "message"),
        ('{"content": "a", "colour": "red"}', TYPE, 400, "colour"),
        ('{"content": 5}', TYPE, 400, "content"),
        ('{"content": "  "}', TYPE, 400, "content"),
        ('{"content": []}', TYPE, 400, "content"),
        ('{"content": "a", "key": null}', TYPE, 400, "key"),
        ('{"content": "a", "key": ""}', TYPE, 400, "key"),
        ('{"content": "a", "max_tokens": 1e400}', TYPE, 400, ""),
        ('{"content": "a", "max_tokens": NaN}', TYPE, 400, "JSON"),
        ('{"content": "a", "model": "unknown"}', TYPE, 400, "model"),
        ("[]", TYPE, 400, "object"),
        ("", TYPE, 400, "JSON"),
        ("not JSON", TYPE, 400, "JSON"),
        (b'{"content": "\xff"}', TYPE, 400, "JSON"),
        (DEEP, TYPE, 400, "JSON"),
        ('{"content": "a"}', {"Content-Type": "text/plain"}, 400, "Content-Type"),
        ('{"content": "a"}', {}, 400, "Content-Type"),
        ('{"content": "a"}', {**TYPE, "Last-Event-ID": "nonsense"}, 400, "Last-Event-ID"),
        ('{"content": "a"}', {**TYPE, "Last-Event-ID": "c_x:e:1"}, 400, "Last-Event-ID"),
        ('{"content": "a"}', {**TYPE, "Idempotency-Key": "k" * 129}, 400, "idempotency-key"),
        (LARGE, TYPE, 413, "body"),
        ('{"content": "a", "conversation": "c_none"}', TYPE, 404, "conversation"),
        ('{"content": "a", "client_tools": []}', TYPE, 400, "runner"),
    ],
)
async def test_a_bad_chat_is_refused_by_the_name_of_what_is_wrong(
    http: httpx2.AsyncClient,
    simulator: Simulator,
    body: str | bytes,
    headers: dict[str, str],
    status: int,
    named: str,
) -> None:
    response = await http.post("/v1/chat", content=body, headers=headers)
    error = response.json()["error"]
    codes = {400: "bad_command", 404: "unknown_conversation", 413: "too_large"}
    assert (response.status_code, error["code"]) == (status, codes[status])
    assert named in error["message"]
    assert error["retryable"] is False
    assert simulator.requests == []


async def test_a_large_body_is_refused_without_a_length_too(http: httpx2.AsyncClient) -> None:
    async def pieces() -> Any:
        for _ in range(20):
            yield b" " * 2**16

    response = await http.post("/v1/chat", content=pieces(), headers=TYPE)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"message": "hi"}, "key"),
        ({"key": "k"}, "message"),
        ({"message": "  ", "key": "k"}, "content"),
        ({"message": "hi", "key": "k" * 129}, "key"),
    ],
)
async def test_a_get_for_an_event_source_needs_message_and_key(
    http: httpx2.AsyncClient, query: dict[str, str], named: str
) -> None:
    response = await http.get("/v1/chat", params=query)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_command")
    assert named in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("cancel", {}),
        ("cancel", {"turn": "t", "key": "k"}),
        ("cancel", {"turn": 7}),
        ("decide", {"tool_id": "t", "decision": "perhaps"}),
        ("decide", {"tool_id": "t", "decision": "allow", "input": 5}),
        ("tool_output", {"tool_id": "t", "content": "x"}),
    ],
)
async def test_a_bad_command_body_is_refused(
    http: httpx2.AsyncClient, path: str, body: dict[str, Any]
) -> None:
    response = await http.post(f"/v1/conversations/c_none/{path}", json=body)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_command")


async def test_bad_queries_of_the_list_and_the_tail_are_refused(http: httpx2.AsyncClient) -> None:
    for path in (
        "/v1/conversations?limit=0",
        "/v1/conversations?limit=x",
        "/v1/conversations/c_none/events?after=-1",
    ):
        response = await http.get(path)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_command")
    headers = {"Last-Event-ID": "nonsense"}
    response = await http.get("/v1/conversations/c_none/events", headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "bad_command")


async def test_unknown_conversations_and_turns_are_404(
    address: str, http: httpx2.AsyncClient
) -> None:
    async with wired(address) as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await wire.until("done")
    for method, path, body, code in (
        ("GET", "c_none", None, "unknown_conversation"),
        ("GET", "c_none/events", None, "unknown_conversation"),
        ("DELETE", "c_none", None, "unknown_conversation"),
        ("POST", "c_none/cancel", {"turn": "t"}, "unknown_conversation"),
        ("POST", f"{conversation}/cancel", {"turn": "t_none"}, "unknown_turn"),
        ("POST", f"{conversation}/cancel", {"key": "k_none"}, "unknown_turn"),
    ):
        response = await http.request(method, f"/v1/conversations/{path}", json=body)
        assert (response.status_code, response.json()["error"]["code"]) == (404, code)


async def test_a_busy_conversation_is_409_and_cancel_makes_room(
    address: str, http: httpx2.AsyncClient, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(HELLO).at(4, gate))
    async with wired(address) as wire:
        ack = await wire.ask("send", content="hi")
        conversation = ack["conversation"]
        await gate.reached()
        busy = await http.post("/v1/chat", json={"content": "x", "conversation": conversation})
        assert (busy.status_code, busy.json()["error"]["code"]) == (409, "busy")
        assert busy.json()["error"]["retryable"] is True
        body = {"turn": ack["turn"]}
        receipt = await http.post(f"/v1/conversations/{conversation}/cancel", json=body)
        assert (receipt.status_code, receipt.json()["outcome"]) == (200, "cancelling")
        assert (await wire.until("done"))["stop_reason"] == "cancelled"
        late = await http.post(f"/v1/conversations/{conversation}/cancel", json=body)
        assert late.json()["outcome"] == "already_done"
        body = {"content": "more", "conversation": conversation}
        again = await http.post("/v1/chat", json=body, headers=JSON)
        assert again.json()["done"]["stop_reason"] == "end_turn"


async def test_the_list_is_newest_first_in_pages(http: httpx2.AsyncClient) -> None:
    made = []
    for number in range(5):
        body = {"content": f"number {number}"}
        made.append((await http.post("/v1/chat", json=body, headers=JSON)).json()["conversation"])
    pages, before = [], None
    while True:
        query = {"limit": "2"} | ({"before": before} if before else {})
        page = (await http.get("/v1/conversations", params=query)).json()
        pages.append([each["conversation"] for each in page["conversations"]])
        if (before := page.get("next")) is None:
            break
    assert pages == [[made[4], made[3]], [made[2], made[1]], [made[0]]]
    newest = (await http.get("/v1/conversations")).json()["conversations"][0]
    assert newest["title"] == "number 4"
    assert set(newest) == {"conversation", "title", "seq", "created_at", "updated_at"}


async def test_a_conversation_read_is_what_its_readers_fold(
    address: str, http: httpx2.AsyncClient
) -> None:
    async with wired(address) as wire:
        ack = await wire.ask("send", content="one")
        conversation = ack["conversation"]
        await wire.until("done")
        await wire.send("send", content="two", conversation=conversation)
        await wire.until("done")
        read = (await http.get(f"/v1/conversations/{conversation}")).json()
        assert read.pop("conversation") == conversation
        assert read.pop("epoch") == ack["epoch"]
        assert read.pop("title") == "one"
        assert read == wire.fold(conversation).to_dict()


async def test_a_deleted_conversation_is_gone_and_its_turn_is_stopped(
    address: str, http: httpx2.AsyncClient, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(HELLO).at(4, gate))
    async with wired(address) as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await gate.reached()
        assert (await http.delete(f"/v1/conversations/{conversation}")).status_code == 204
        assert (await wire.until("closed"))["conversation"] == conversation
        await upstream_left(simulator)
        assert (await http.get(f"/v1/conversations/{conversation}")).status_code == 404
        assert (await wire.ask("subscribe", conversation=conversation))["type"] == "reject"
        assert (await http.get("/v1/conversations")).json() == {"conversations": []}


async def test_health_and_ready_are_fine(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/health")).json() == {"status": "ok"}
    assert (await http.get("/ready")).json() == {"status": "ready"}


async def test_the_docs_describe_the_bodies(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/docs")).status_code == 200
    paths = (await http.get("/openapi.json")).json()["paths"]
    for path, field in (("chat", "content"), ("conversations/{conversation}/cancel", "turn")):
        body = paths[f"/v1/{path}"]["post"]["requestBody"]["content"]["application/json"]
        assert field in body["schema"]["properties"]
        assert "$ref" not in json.dumps(body)


async def test_a_renamed_conversation_is_listed_and_exported_under_its_title(
    address: str, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("**Forty-two.**")))
    async with asking(address) as client:
        asked = {"message": "What is it?"}
        answer = await client.post("/v1/chat", json=asked, headers={"Accept": "application/json"})
        path = f"/v1/conversations/{answer.json()['conversation']}"
        assert (await client.patch(path, json={"title": "The answer"})).status_code == 204
        listed = (await client.get("/v1/conversations")).json()["conversations"]
        markdown = await client.get(f"{path}/export")
        exported = await client.get(f"{path}/export", params={"format": "json"})
    assert [head["title"] for head in listed] == ["The answer"]
    assert markdown.text.startswith("# The answer\n\n## You")
    assert "What is it?" in markdown.text
    assert "**Forty-two.**" in markdown.text
    assert markdown.headers["content-disposition"].endswith('.md"')
    assert exported.json()["turns"] == (answer_turns(answer.json()))


async def test_a_renamed_conversation_keeps_its_title_when_it_goes_on(address: str) -> None:
    async with wired(address) as wire, asking(address) as client:
        conversation = (await wire.ask("send", content="one"))["conversation"]
        await wire.until("done")
        await client.patch(f"/v1/conversations/{conversation}", json={"title": "Renamed"})
        await wire.ask("send", content="two", conversation=conversation)
        await wire.until("done")
        listed = (await client.get("/v1/conversations")).json()["conversations"]
    assert [head["title"] for head in listed] == ["Renamed"]


async def test_a_title_must_be_one_and_its_conversation_must_be_there(address: str) -> None:
    async with asking(address) as client:
        unknown = await client.patch("/v1/conversations/c_x", json={"title": "x"})
        empty = await client.patch("/v1/conversations/c_x", json={"title": ""})
        export = await client.get("/v1/conversations/c_x/export")
    codes = [response.json()["error"]["code"] for response in (unknown, empty, export)]
    assert codes == ["unknown_conversation", "bad_command", "unknown_conversation"]


def answer_turns(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The turns of a conversation whose only turn is this finished answer."""
    return [{name: answer[name] for name in answer if name not in ("conversation", "text")}]

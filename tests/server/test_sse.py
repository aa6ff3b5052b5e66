"""Server-sent events: the same log over HTTP, resumed, repeated, left."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import httpx2
import pytest

from tests.kit.service import HeldStore, serving, turnwire_over, upstream_left
from tests.kit.sse import SseReader, asking, listening
from tests.kit.wire import wired
from turnwire_simulator import Answer, Gate, Simulator, Text

HELLO = Text(["Hel", "lo"])


@pytest.fixture
async def gate(simulator: Simulator) -> AsyncIterator[Gate]:
    """Holds the first answer, "Hello", between its two tokens."""
    gate = Gate()
    simulator.program(Answer(HELLO).at(4, gate))
    yield gate
    gate.open()


def chat(address: str, **body: str) -> AbstractAsyncContextManager[SseReader]:
    """POST /v1/chat."""
    return listening(address, "/v1/chat", method="POST", json=body)


async def test_a_post_streams_the_events_of_its_turn_and_ends_after_its_done(
    address: str, simulator: Simulator
) -> None:
    simulator.program(Answer(HELLO))
    async with chat(address, message="hi") as sse:
        response = sse.response
        sent = await sse.rest()
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert [event.type for event in sent[:3]] == ["message", "start", "step"]
    assert sent[-1].type == "done"
    for event in sent:
        conversation, epoch, seq = event.id.split(":")
        assert conversation == event.data["conversation"]
        assert epoch
        assert (event.type, int(seq)) == (event.data["type"], event.data["seq"])
    (turn,) = sse.fold().turns
    assert turn.text == "Hello"


async def test_content_may_be_text_blocks(address: str, simulator: Simulator) -> None:
    simulator.program(Answer(HELLO))
    blocks = [{"type": "text", "text": "hi"}]
    async with listening(address, "/v1/chat", method="POST", json={"content": blocks}) as sse:
        sent = await sse.rest()
    assert sent[0].data["content"] == blocks


async def test_a_stream_resumes_by_last_event_id_in_the_middle_of_a_turn(
    address: str, gate: Gate
) -> None:
    async with chat(address, content="hi", key="k-1", on_detach="continue") as first:
        token = await first.until("token")
        await gate.reached()
    gate.open()
    async with listening(
        address,
        "/v1/chat",
        method="POST",
        json={"content": "hi", "key": "k-1"},
        headers={"Last-Event-ID": token.id},
    ) as second:
        rest = await second.rest()
    assert rest[0].data["seq"] == token.data["seq"] + 1
    both = SseReader(first.response)
    both.sent = [*first.sent, *rest]
    (turn,) = both.fold().turns
    assert (turn.text, turn.state) == ("Hello", "done")


async def test_an_event_source_that_has_all_gets_204(address: str, simulator: Simulator) -> None:
    query = {"message": "hi", "key": "k-1"}
    async with listening(address, "/v1/chat", params=query) as sse:
        done = (await sse.rest())[-1]
    assert done.type == "done"
    async with asking(address) as http:
        headers = {"Last-Event-ID": done.id}
        response = await http.get("/v1/chat", params=query, headers=headers)
        assert (response.status_code, response.content) == (204, b"")
    assert len(simulator.requests) == 1


async def test_an_event_source_that_reconnects_attaches_and_never_asks_again(
    address: str, gate: Gate, simulator: Simulator
) -> None:
    query = {"message": "hi", "key": "k-1"}
    async with listening(address, "/v1/chat", params=query) as first:
        await first.until("token")
        async with listening(address, "/v1/chat", params=query) as second:
            gate.open()
            await second.rest()
        await first.rest()
    assert first.fold().to_dict() == second.fold().to_dict()
    assert len(simulator.requests) == 1


async def test_a_repeated_key_attaches_over_websocket_too(
    address: str, gate: Gate, simulator: Simulator
) -> None:
    async with wired(address) as wire:
        ack = await wire.ask("send", content="hi", key="k-1")
        await gate.reached()
        async with chat(address, content="hi", key="k-1") as sse:
            gate.open()
            sent = await sse.rest()
        assert {event.data["turn"] for event in sent} == {ack["turn"]}
    assert len(simulator.requests) == 1


def told(answer: httpx2.Response) -> tuple[str, str]:
    """The turn's text, and the id of its last event."""
    assert answer.status_code == 200
    lines = answer.text.splitlines()
    events = [json.loads(line[5:]) for line in lines if line.startswith("data:")]
    text = "".join(event["text"] for event in events if event["type"] == "token")
    return text, [line for line in lines if line.startswith("id:")][-1]


async def test_the_idempotency_key_header_is_the_key(address: str, simulator: Simulator) -> None:
    async with asking(address) as http:
        http.headers["Idempotency-Key"] = "k-1"
        first = await http.post("/v1/chat", json={"content": "hi"})
        again = await http.post("/v1/chat", json={"content": "hi"})
        other = await http.post("/v1/chat", json={"content": "else"})
        differs = await http.post("/v1/chat", json={"content": "hi", "key": "k-2"})
    # How much of the text has merged tells only how fast it was read.
    assert told(first) == told(again)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "key_reused")
    assert differs.status_code == 400
    assert len(simulator.requests) == 1


async def test_a_second_turn_streams_only_its_own_events(address: str) -> None:
    async with chat(address, content="one") as first:
        conversation = (await first.rest())[0].data["conversation"]
    async with chat(address, content="two", conversation=conversation) as second:
        sent = await second.rest()
    assert sent[0].data["content"] == "two"
    assert {event.data["turn"] for event in sent} == {sent[0].data["turn"]}


async def test_a_comment_keeps_a_quiet_stream_alive(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, limits={"heartbeat_seconds": 0.05})
    async with serving(turnwire) as address, wired(address) as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        done = await wire.until("done")
        path = f"/v1/conversations/{conversation}/events?after={done['seq']}"
        async with listening(address, path) as sse:
            await sse.commented()
            await sse.commented()


async def test_a_live_tail_goes_on_with_the_next_turn_and_resumes(address: str) -> None:
    async with wired(address) as wire:
        conversation = (await wire.ask("send", content="one"))["conversation"]
        await wire.until("done")
        path = f"/v1/conversations/{conversation}/events"
        async with listening(address, path) as tail:
            first = await tail.until("done")
            await wire.send("send", content="two", conversation=conversation)
            await tail.until("done")
        async with listening(address, path, headers={"Last-Event-ID": first.id}) as resumed:
            await resumed.until("done")
        assert resumed.sent[0].data["seq"] == first.data["seq"] + 1
        await wire.until("done")
        assert tail.fold().to_dict() == wire.fold(conversation).to_dict()


async def test_a_cursor_of_another_epoch_gets_reset_with_an_id_at_the_start(address: str) -> None:
    async with wired(address) as wire:
        ack = await wire.ask("send", content="hi")
        done = await wire.until("done")
    conversation, epoch = ack["conversation"], ack["epoch"]
    path = f"/v1/conversations/{conversation}/events"
    for cursor in (f"{conversation}:other:3", f"{conversation}:{epoch}:{done['seq'] + 1}"):
        async with listening(address, path, headers={"Last-Event-ID": cursor}) as sse:
            reset = await sse.next()
            assert reset is not None
            assert (reset.type, reset.id) == ("reset", f"{conversation}:{epoch}:0")
            await sse.until("done")
        assert sse.fold().to_dict() == wire.fold(conversation).to_dict()


async def test_the_tail_of_a_deleted_conversation_ends_with_closed(
    address: str, http: httpx2.AsyncClient
) -> None:
    async with chat(address, content="hi") as sse:
        conversation = (await sse.rest())[0].data["conversation"]
    async with listening(address, f"/v1/conversations/{conversation}/events") as tail:
        await tail.until("done")
        await http.delete(f"/v1/conversations/{conversation}")
        sent = await tail.rest()
    assert (sent[-1].type, sent[-1].data["code"]) == ("closed", "unknown_conversation")


async def ending_of(address: str, conversation: str) -> str:
    """Why the conversation's turn ended, once it has."""
    async with listening(address, f"/v1/conversations/{conversation}/events") as tail:
        reason: str = (await tail.until("done")).data["stop_reason"]
        return reason


async def test_a_turn_whose_only_reader_is_gone_ends(
    address: str, gate: Gate, simulator: Simulator
) -> None:
    async with chat(address, content="hi") as sse:
        token = await sse.until("token")
    await upstream_left(simulator)
    assert await ending_of(address, token.data["conversation"]) == "cancelled"


async def test_a_turn_goes_on_while_another_reader_follows(
    address: str, gate: Gate, simulator: Simulator
) -> None:
    async with wired(address) as wire:
        async with chat(address, content="hi") as sse:
            conversation = (await sse.until("token")).data["conversation"]
            await wire.ask("subscribe", conversation=conversation)
        await wire.ask("ping")
        gate.open()
        assert (await wire.until("done"))["stop_reason"] == "end_turn"
    assert simulator.aborted_streams == 0


async def test_a_turn_goes_on_without_readers_when_told_to(
    address: str, gate: Gate, simulator: Simulator
) -> None:
    async with chat(address, content="hi", on_detach="continue") as sse:
        conversation = (await sse.until("token")).data["conversation"]
    async with wired(address) as wire:
        await wire.ask("ping")
    gate.open()
    assert await ending_of(address, conversation) == "end_turn"


async def test_a_turn_whose_reader_left_before_the_stream_began_ends(
    simulator: Simulator, gate: Gate
) -> None:
    store = HeldStore()
    async with serving(turnwire_over(simulator, store=store)) as address:
        async with asking(address) as http:
            request = http.build_request("POST", "/v1/chat", json={"content": "hi"})
            task = asyncio.create_task(http.send(request))
            await store.asked.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        store.released.set()
        async with asking(address) as http:
            listed = (await http.get("/v1/conversations")).json()["conversations"]
        assert await ending_of(address, listed[0]["conversation"]) == "cancelled"


async def test_who_waits_for_the_whole_answer_and_leaves_ends_the_turn_too(
    address: str, gate: Gate, simulator: Simulator
) -> None:
    async with asking(address, headers={"Accept": "application/json"}) as http:
        task = asyncio.create_task(http.post("/v1/chat", json={"content": "hi"}))
        await gate.reached()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await upstream_left(simulator)


async def test_a_position_that_is_refused_begins_nothing(
    address: str, http: httpx2.AsyncClient, simulator: Simulator
) -> None:
    simulator.program(Answer(HELLO))
    async with chat(address, message="hi", key="k") as sse:
        done = (await sse.rest())[-1]
    asked = len(simulator.requests)
    before = (await http.get("/v1/conversations")).json()
    headers = {"Last-Event-ID": done.id}
    refused = [
        await http.post("/v1/chat", json={"message": "again"}, headers=headers),
        await http.get("/v1/chat", params={"message": "x", "key": "other"}, headers=headers),
        await http.post("/v1/chat", json={"message": "x", "key": "other"}, headers=headers),
    ]
    assert [response.status_code for response in refused] == [400, 400, 400]
    assert (await http.get("/v1/conversations")).json() == before
    assert len(simulator.requests) == asked

"""Streams over real HTTP, read by the real SDK."""

import asyncio
import json
import re
import socket
from urllib.parse import urlsplit

import aiohttp
import anthropic
import pytest
from anthropic import AsyncAnthropic

from tests.kit.patience import patience
from tests.simulator.api_client import ask, pieces_of, raw_events, request, streaming, text_of
from turnwire_simulator import (
    Answer,
    Cut,
    ErrorEvent,
    Event,
    Gate,
    Pause,
    ProviderTool,
    Raw,
    RedactedThinking,
    Simulator,
    Stall,
    Text,
    Thinking,
    ToolUse,
    Unknown,
)


async def test_text_arrives_whole_and_counted(simulator: Simulator, claude: AsyncAnthropic) -> None:
    simulator.program(Answer(Text("One two three."), input_tokens=7))

    message = await ask(claude)

    assert [block.to_dict() for block in message.content] == [
        {"type": "text", "text": "One two three."}
    ]
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (7, 3)
    assert (simulator.open_streams, simulator.finished_streams) == (0, 1)


async def test_every_kind_of_block_reaches_the_sdk(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    found = [
        {"type": "web_search_result", "title": "T", "url": "http://t", "encrypted_content": "e"}
    ]
    simulator.program(
        Answer(
            Thinking("Hm, well."),
            RedactedThinking(),
            ProviderTool("web_search", {"query": "cats"}, found),
            Text("Cats.", citations=[{"type": "char_location", "cited_text": "c"}]),
            ToolUse("weather", {"city": "Berlin", "days": [1, 2]}, id="toolu_1"),
            stop_reason="tool_use",
        )
    )

    message = await ask(claude)

    kinds = [block.type for block in message.content]
    assert kinds == [
        "thinking",
        "redacted_thinking",
        "server_tool_use",
        "web_search_tool_result",
        "text",
        "tool_use",
    ]
    thinking, call = message.content[0], message.content[-1]
    assert thinking.type == "thinking"
    assert (thinking.thinking, bool(thinking.signature)) == ("Hm, well.", True)
    assert call.type == "tool_use"
    assert (call.id, call.input) == ("toolu_1", {"city": "Berlin", "days": [1, 2]})


async def test_a_plain_request_gets_what_the_stream_says(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    blocks = (Thinking("Hm."), Text("Hi you."), ToolUse("a", {"b": 1}, id="toolu_1"))
    simulator.program(
        Answer(*blocks, stop_reason="tool_use"), Answer(*blocks, stop_reason="tool_use")
    )

    streamed = await ask(claude)
    plain = await claude.messages.create(**request())

    assert plain.to_dict() | {"id": ""} == streamed.to_dict() | {"id": ""}


async def test_a_gate_holds_what_follows_it(simulator: Simulator, claude: AsyncAnthropic) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["before", gate, " after"])))
    seen = []

    async with patience():
        stream = await claude.messages.create(**request(), stream=True)
        async for event in stream:
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                seen.append(event.delta.text)
                if seen == ["before"]:
                    await gate.reached()
                    assert simulator.open_streams == 1
                    gate.open()

    assert seen == ["before", " after"]


async def test_a_client_that_closes_a_stalled_stream_is_counted_as_aborted(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    simulator.program(Answer(Text(["some", Stall()])))

    async with patience():
        stream = await claude.messages.create(**request(), stream=True)
        async for event in stream:
            if event.type == "content_block_delta":
                break
        await stream.close()
        await simulator.wait(lambda: simulator.aborted_streams == 1)

    assert (simulator.open_streams, simulator.finished_streams) == (0, 0)


async def test_a_client_that_leaves_as_a_write_is_due_is_no_fault_of_the_simulator(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["one", gate, "two three"]), chunk_bytes=8))
    loop = asyncio.get_running_loop()
    at, body = urlsplit(simulator.url), json.dumps(request(stream=True)).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: x\r\nContent-Length: {len(body)}"
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, (at.hostname, at.port))
        await loop.sock_sendall(client, head.encode() + b"\r\n\r\n" + body)
        read = b""
        while b'"one"}}\n\n' not in b"".join(re.split(rb"\r\n[0-9a-f]+\r\n", read)):
            read += await loop.sock_recv(client, 65536)
    # It has gone. The simulator writes a piece before it sees that, and the next one before what
    # it has seen ends the handler.
    gate.open()
    await simulator.wait(lambda: simulator.aborted_streams == 1)
    assert [entry for entry in caplog.records if entry.levelname == "ERROR"] == []


async def test_a_plain_request_given_up_is_counted_as_aborted(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    gate = Gate()
    simulator.program(Answer(gate, Text("late")))

    async with patience():
        asking = asyncio.create_task(claude.messages.create(**request()))
        await gate.reached()
        asking.cancel()
        await simulator.wait(lambda: simulator.aborted_streams == 1)


async def _read_into(received: bytearray, simulator: Simulator) -> None:
    async with streaming(simulator) as response:
        async for data in response.content.iter_any():
            received += data


@pytest.mark.parametrize("index", range(len(Answer(Text("a b")).events())))
async def test_a_cut_at_any_event_delivers_exactly_what_is_before_it(
    simulator: Simulator, index: int
) -> None:
    answer = Answer(Text("a b"))
    simulator.program(answer.at(index, Cut()))
    received = bytearray()

    async with patience():
        with pytest.raises(aiohttp.ClientError):
            await _read_into(received, simulator)
        await simulator.wait(lambda: simulator.open_streams == 0)

    kinds = [line[7:].decode() for line in received.splitlines() if line.startswith(b"event: ")]
    assert kinds == [event["type"] for event in answer.events()[:index]]
    assert (simulator.broken_streams, simulator.aborted_streams) == (1, 0)


async def test_a_cut_is_a_reset_and_no_orderly_end(simulator: Simulator) -> None:
    simulator.program(Answer(Text(["half", Cut()])))
    body = json.dumps(request(stream=True)).encode()
    head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: x\r\ncontent-length: {len(body)}"

    async with patience():
        address = urlsplit(simulator.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(head.encode() + b"\r\n\r\n" + body)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_an_error_event_ends_a_stream_that_began_well(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    simulator.program(Answer(Text(["half", ErrorEvent("overloaded_error", "Overloaded")])))

    with pytest.raises(anthropic.APIStatusError) as caught:
        await raw_events(claude)

    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == "overloaded_error"
    assert (simulator.broken_streams, simulator.finished_streams) == (1, 0)


async def test_an_error_event_is_the_status_of_a_plain_request(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    simulator.program(Answer(Text(["half", ErrorEvent("overloaded_error", "Overloaded")])))

    with pytest.raises(anthropic.APIStatusError) as caught:
        await claude.messages.create(**request())

    assert (caught.value.status_code, caught.value.type) == (529, "overloaded_error")


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1000])
async def test_chunks_regardless_of_events_leave_the_answer_whole(
    simulator: Simulator, claude: AsyncAnthropic, chunk_bytes: int
) -> None:
    simulator.program(Answer(Text("Grüße, 世界 🙂"), chunk_bytes=chunk_bytes))

    message = await ask(claude)

    assert text_of(message) == "Grüße, 世界 🙂"


async def test_chunks_leave_one_by_one(simulator: Simulator) -> None:
    simulator.program(Answer(Text("a b"), chunk_bytes=10))

    async with patience():
        pieces = await pieces_of(simulator)

    assert {len(piece) for piece in pieces[:-1]} == {10}


async def test_raw_bytes_and_unknown_events_are_sent_as_they_are(
    simulator: Simulator,
) -> None:
    odd = {"type": "aurora", "colour": "green"}
    simulator.program(Answer(Raw(b"event: broken\ndata: {\n\n"), Unknown(), Event(odd)))

    body = b"".join(await pieces_of(simulator))

    assert b"event: broken\ndata: {\n\n" in body
    assert b'event: aurora\ndata: {"type":"aurora","colour":"green"}\n\n' in body
    assert b'"type":"hologram"' in body
    assert b'"type":"hologram_delta"' in body


async def test_a_script_without_its_end_is_counted_as_broken(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    simulator.program(Answer.of(Answer(Text("a b")).events()[:4]))

    events = await raw_events(claude)

    # The SDK keeps pings to itself.
    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
    ]
    assert simulator.broken_streams == 1


async def test_paced_answers_are_one_write_per_event(simulator: Simulator) -> None:
    answer = Answer(Text("a b c"), Pause(0), tokens_per_second=10_000)
    simulator.program(answer)

    pieces = await pieces_of(simulator)

    assert len(pieces) == len(answer.events())


async def test_the_simulator_ends_with_streams_still_open() -> None:
    async with patience():
        async with Simulator() as simulator:
            simulator.program(Answer(Stall()))
            reading = asyncio.create_task(pieces_of(simulator))
            await simulator.wait(lambda: simulator.open_streams == 1)
        with pytest.raises(aiohttp.ClientError):
            await reading

    assert (simulator.aborted_streams, simulator.broken_streams) == (0, 1)

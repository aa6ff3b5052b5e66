"""Decoding from bytes: never stricter than the SDK's typed stream, the same answer, any cut."""

import asyncio
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from anthropic import AnthropicError, AsyncAnthropic
from anthropic.types import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.kit.patience import patience
from tests.server.model.streams_outside import Plain, bodies, our_answer, sdk_answer
from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.model.claude import Claude
from turnwire_server.model.clients import connect
from turnwire_server.model.decoder import Decoder
from turnwire_server.model.port import (
    BlockEnd,
    ModelRequest,
    Part,
    TextPart,
    ThinkingPart,
    ToolInputPart,
)
from turnwire_server.model.reader import Reader
from turnwire_server.model.sse import Splitter
from turnwire_simulator import (
    Answer,
    Event,
    ProviderTool,
    Raw,
    RedactedThinking,
    Simulator,
    Text,
    Thinking,
    ToolUse,
    Unknown,
)

REQUEST = ModelRequest(
    model="claude-simulated-opus",
    messages=[{"role": "user", "content": "Hi"}],
    max_tokens=3000,
    thinking={"type": "adaptive"},
    tools=[{"name": "store", "description": "", "input_schema": {"type": "object"}}],
)
CITATION = {
    "type": "char_location",
    "cited_text": "grün ☘ 🌳",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 8,
    "file_id": None,
}
FOUND = [{"type": "web_search_result", "title": "T", "url": "https://x.example", "page_age": None,
          "encrypted_content": "abc"}]  # fmt: skip
ANSWERS = {
    "text": Answer(Text("Grün ☘ 🌳, and\n\ndata: not a line of its own")),
    "thinking": Answer(Thinking("first"), Thinking(""), RedactedThinking(), Text("so")),
    "a large tool input": Answer(
        ToolUse("store", {"text": "x\n" * 400, "n": [1, {"a": None}]}), stop_reason="tool_use"
    ),
    "citations": Answer(Text("as it says", citations=[CITATION])),
    "provider tools": Answer(ProviderTool("web_search", {"query": "q"}, FOUND), Text("found")),
    "unknown types": Answer(
        Unknown(), Event({"type": "news", "index": 0, "text": "?"}), Text("known")
    ),
}
STREAMS = {
    path.stem: path.read_bytes()
    for path in sorted((Path(__file__).parent / "streams").glob("*.sse"))
}


class Upstream:
    """One server for many examples: what the SDK and what we make of the same body."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._sdk = AsyncAnthropic(base_url=simulator.url, api_key="test-key", max_retries=0)
        self._model = Claude(connect(simulator.url, "test-key"))

    async def close(self) -> None:
        await self._sdk.close()
        await self._model.close()

    async def sdk(self, body: bytes) -> Message | None:
        """The final message; None where the SDK cannot read the body."""
        self._simulator.program(Answer.of([Raw(body)]))
        try:
            async with (
                patience(),
                self._sdk.messages.stream(
                    model=REQUEST.model,
                    max_tokens=3000,
                    messages=[{"role": "user", "content": "Hi"}],
                ) as stream,
            ):
                return await stream.get_final_message()
        except (AnthropicError, AssertionError, TypeError, ValueError, LookupError):
            return None

    async def ours(self, *pieces: bytes) -> list[Part]:
        self._simulator.program(Answer.of([Raw(piece) for piece in pieces if piece]))
        parts: list[Part] = []
        async with patience(), self._model.stream(REQUEST) as stream:
            async for some in stream:
                parts += some
        return parts


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def upstream(runner: asyncio.Runner) -> Iterator[Upstream]:
    async def begin() -> tuple[Simulator, Upstream]:
        simulator = await Simulator().__aenter__()
        return simulator, Upstream(simulator)

    simulator, upstream = runner.run(begin())
    yield upstream
    runner.run(upstream.close())
    runner.run(simulator.__aexit__(None, None, None))


def decoded(*chunks: bytes) -> list[Part]:
    """The same as over HTTP, without it.

    Raises:
        ModelError: the answer has no end.
    """
    reader, decoder = Reader(lambda body, code: ModelError(code, str(body))), Decoder()
    parts: list[Part] = []
    for events in (*map(reader.feed, chunks), reader.finish()):
        for event in events:
            parts += decoder.feed(event)
        if reader.failure is not None and decoder.reason is None:
            raise reader.failure
    parts += decoder.finish()
    if not decoder.stopped:
        raise ModelError(Code.NETWORK_ERROR, "no end")
    return parts


def plain_of(*chunks: bytes) -> Plain | str:
    try:
        return our_answer(decoded(*chunks))
    except ModelError as error:
        return error.message


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=bodies(), data=st.data())
def test_the_same_bytes_give_the_same_answer_as_the_sdk_however_they_are_cut(
    runner: asyncio.Runner, upstream: Upstream, body: bytes, data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(body)))
    message = runner.run(upstream.sdk(body))
    assert message is not None, "these are the kinds that the SDK reads"
    if message.stop_reason is None:
        if b"message_stop" not in body:
            with pytest.raises(ModelError, match="ended before its end"):
                runner.run(upstream.ours(body))
            return
        # `message_stop` is an end as good as any.
        message.stop_reason = "end_turn"
    assert our_answer(runner.run(upstream.ours(body[:cut], body[cut:]))) == sdk_answer(message)
    assert plain_of(*(body[n : n + 1] for n in range(len(body)))) == sdk_answer(message)


@pytest.mark.parametrize("body", STREAMS.values(), ids=STREAMS)
def test_a_stream_from_outside_is_read_as_by_the_sdk_at_every_cut(
    runner: asyncio.Runner, upstream: Upstream, body: bytes
) -> None:
    message = runner.run(upstream.sdk(body))
    assert message is not None
    for crlf in (body, body.replace(b"\n", b"\r\n")):
        whole = plain_of(crlf)
        if message.stop_reason is not None:
            assert whole == sdk_answer(message)
        assert all(plain_of(crlf[:n], crlf[n:]) == whole for n in range(len(crlf)))


async def parts_of(answer: Answer, *, raw: bool) -> list[Part]:
    """What one call gives, in one of the two ways."""
    parts: list[Part] = []
    async with Simulator() as simulator:
        simulator.program(answer)
        model = Claude(connect(simulator.url, "test-key"), raw=raw)
        try:
            async with patience(), model.stream(REQUEST) as stream:
                async for some in stream:
                    parts += some
        finally:
            await model.close()
    return parts


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_both_ways_of_decoding_give_the_same_parts(answer: Answer) -> None:
    script = answer.events()
    typed = await parts_of(Answer.of(script), raw=False)
    raw = await parts_of(Answer.of(script), raw=True)
    cut = await parts_of(Answer.of(script, chunk_bytes=7), raw=True)
    assert raw == typed
    assert cut == typed
    kinds = (TextPart, ThinkingPart, ToolInputPart, BlockEnd)
    assert any(isinstance(part, kinds) for part in typed)


# More than the SDK reads

HELLO = Answer(Text("hello")).events()
FRAME = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": []}
HELLO[0]["message"] = {**FRAME, "usage": {"input_tokens": 1, "output_tokens": 1}}


def encoded(event: dict[str, Any]) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), json.dumps(event).encode())


WHOLE = b"".join(map(encoded, HELLO))
MESSAGE = {
    **FRAME,
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
LENIENT = {
    "no blank line at the very end": WHOLE.rstrip(b"\n"),
    "no names": WHOLE.replace(b"event: ", b": "),
    "a byte order mark": b"\xef\xbb\xbf" + WHOLE,
    "an event that is a list": b"event: x\ndata: [1]\n\n" + WHOLE,
    "an event that is no JSON": b"event: x\ndata: hello\n\n" + WHOLE,
    "no types in the data": b"".join(
        b"event: %s\ndata: %s\n\n" % (event.pop("type").encode(), json.dumps(event).encode())
        for event in [dict(event) for event in HELLO]
    ),
    "one index for all blocks, from one": WHOLE.replace(b'"index": 0', b'"index": 1'),
    "an error after the end": WHOLE.replace(encoded({"type": "message_stop"}), b"")
    + b"event: error\ndata: oops\n\n",
    "garbage after the end": WHOLE + b"event: message_stop\ndata: {bad\n\n",
    "a message in one piece": json.dumps(MESSAGE).encode(),
}


@pytest.mark.parametrize("body", LENIENT.values(), ids=LENIENT)
def test_what_tells_an_answer_in_some_other_way_is_read_all_the_same(body: bytes) -> None:
    plain = plain_of(body)
    assert isinstance(plain, Plain), plain
    assert [block["text"] for block in plain.blocks] == ["hello"]
    assert plain.stop_reason == "end_turn"


# Bounds


@pytest.mark.parametrize(
    "start", [b"data: ", b"", b"<html>", b'{"error": "', b"event: error\ndata: "]
)
def test_a_body_that_never_ends_is_kept_only_up_to_the_bound(start: bytes) -> None:
    fed = 0

    def judged(body: object, code: Code) -> ModelError:
        assert len(str(body)) <= 4096
        return ModelError(code, "too much")

    reader = Reader(judged, max_bytes=2048)
    reader.feed(start)
    while reader.failure is None:
        assert fed <= 4096
        assert reader.feed(b"x" * 64) == []
        fed += 64
    assert reader.feed(b"\n\n" + WHOLE) == []


def test_each_byte_of_a_long_event_is_looked_at_once() -> None:
    class Counting(bytearray):
        looked = 0

        def find(self, sought: bytes, start: int = 0) -> int:  # type: ignore[override]
            Counting.looked += len(self) - start
            return super().find(sought, start)

    splitter = Splitter(max_bytes=10_000)
    for piece in (b"da", b"ta: "):
        assert list(splitter.feed(piece)) == []
    splitter._open = Counting(splitter._open)
    for _ in range(1000):
        assert list(splitter.feed(b"abcd")) == []
    assert 4 * 1000 <= Counting.looked <= 6 * 1000
    assert list(splitter.feed(b"\n\n")) == [(b"", b"abcd" * 1000)]


# The splitter

STREAM = (
    b'event: a\ndata: {"x": "\xe2\x98\x98"}\n\n'
    b": a comment\n\n"
    b"event: b\r\ndata: 1\r\ndata:2\r\n\r\n"
    b"data: no name\n\n"
    b"event: no data\n\n"
    b"id: 7\nevent: c\ndata: [3]\nretry: 5\n\n"
    b"event:d\ndata:4\n"
)
EVENTS = [
    (b"a", b'{"x": "\xe2\x98\x98"}'),
    (b"", b""),
    (b"b", b"1\n2"),
    (b"", b"no name"),
    (b"no data", b""),
    (b"c", b"[3]"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_the_splitter_gives_the_same_for_every_cut(cuts: list[int]) -> None:
    splitter = Splitter(max_bytes=1000)
    edges = [0, *cuts, len(STREAM)]
    chunks = [STREAM[start:end] for start, end in pairwise(edges)]
    assert [event for chunk in chunks for event in splitter.feed(chunk)] == EVENTS
    assert splitter.finish() == (b"d", b"4")
    assert splitter.finish() == (b"", b"")


def test_the_splitter_gives_the_same_for_single_bytes() -> None:
    splitter = Splitter(max_bytes=1000)
    assert [event for byte in STREAM for event in splitter.feed(bytes([byte]))] == EVENTS


def test_an_event_that_is_not_complete_is_not_given() -> None:
    splitter = Splitter(max_bytes=1000)
    assert list(splitter.feed(b"event: a\ndata: 1\n")) == []
    assert list(splitter.feed(b"\n")) == [(b"a", b"1")]

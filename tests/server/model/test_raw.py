"""Decoding from bytes yields what the SDK's typed stream yields, however the bytes are cut."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnwire_server.model.claude import Claude, connect
from turnwire_server.model.port import (
    BlockEnd,
    ModelRequest,
    Part,
    TextPart,
    ThinkingPart,
    ToolInputPart,
)
from turnwire_server.model.sse import Splitter
from turnwire_simulator import (
    Answer,
    Event,
    ProviderTool,
    RedactedThinking,
    Simulator,
    Text,
    Thinking,
    ToolUse,
    Unknown,
)

PATIENCE_SECONDS = 20
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


async def parts_of(answer: Answer, *, raw: bool) -> list[Part]:
    """What one call gives, in one of the two ways."""
    parts: list[Part] = []
    async with Simulator() as simulator:
        simulator.program(answer)
        model = Claude(connect(simulator.url, "test-key"), raw=raw)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), model.stream(REQUEST) as stream:
                async for some in stream:
                    parts += some
        finally:
            await model.close()
    return parts


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_raw_decoding_gives_what_the_sdk_gives(answer: Answer) -> None:
    script = answer.events()
    typed = await parts_of(Answer.of(script), raw=False)
    raw = await parts_of(Answer.of(script), raw=True)
    cut = await parts_of(Answer.of(script, chunk_bytes=7), raw=True)
    assert raw == typed
    assert cut == typed
    kinds = (TextPart, ThinkingPart, ToolInputPart, BlockEnd)
    assert any(isinstance(part, kinds) for part in typed)


STREAM = (
    b'event: a\ndata: {"x": "\xe2\x98\x98"}\n\n'
    b": a comment\n\n"
    b"event: b\r\ndata: 1\r\ndata:2\r\n\r\n"
    b"data: no name\n\n"
    b"event: no data\n\n"
    b"id: 7\nevent: c\ndata: [3]\nretry: 5\n\n"
)
DATA = [b'{"x": "\xe2\x98\x98"}', b"1\n2", b"no name", b"[3]"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12).map(sorted))
def test_the_splitter_gives_the_same_for_every_cut(cuts: list[int]) -> None:
    splitter = Splitter()
    edges = [0, *cuts, len(STREAM)]
    chunks = [STREAM[start:end] for start, end in pairwise(edges)]
    assert [data for chunk in chunks for data in splitter.feed(chunk)] == DATA


def test_the_splitter_gives_the_same_for_single_bytes() -> None:
    splitter = Splitter()
    assert [data for byte in STREAM for data in splitter.feed(bytes([byte]))] == DATA


def test_an_event_that_is_not_complete_is_not_given() -> None:
    splitter = Splitter()
    assert list(splitter.feed(b"event: a\ndata: 1\n")) == []
    assert list(splitter.feed(b"\n")) == [b"1"]

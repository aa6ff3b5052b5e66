"""The decoder: API events in, parts out; what it does not know it passes over."""

from typing import Any

import pytest

from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.model.decoder import Decoder
from turnwire_server.model.port import (
    BlockEnd,
    Part,
    Stop,
    TextPart,
    ThinkingPart,
    ToolInputPart,
    ToolPart,
    ToolResultPart,
    UsagePart,
)
from turnwire_simulator import (
    Answer,
    Event,
    ProviderTool,
    RedactedThinking,
    Text,
    Thinking,
    ToolUse,
    Unknown,
)
from turnwire_simulator.blocks import BlockBuilder
from turnwire_simulator.signature import sign

Json = dict[str, Any]
CITATION = {"type": "char_location", "cited_text": "x", "document_index": 0, "file_id": None}
HALF = "\ud83d"
"""Half a surrogate pair: a string in Python and JSON, but no text."""


def decoded(*events: Json) -> list[Part]:
    decoder = Decoder()
    return [part for event in events for part in decoder.feed(event)]


def body_of(*items: BlockBuilder) -> list[Part]:
    """The parts of an answer's blocks."""
    return decoded(*Answer(*items).events()[2:-2])


def starting(block: Json, index: Any = 0) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(fields: Json, index: Any = 0) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": fields}


def usage(**counts: Any) -> Json:
    return {"type": "message_start", "message": {"usage": counts}}


TEXT = {"type": "text", "text": ""}
RESULTS = [{"type": "web_search_result", "title": "A page", "url": "https://a.example"}]

BLOCKS: dict[str, tuple[BlockBuilder, list[Part]]] = {
    "text": (Text(["Hel", "lo"]), [TextPart(0, "Hel"), TextPart(0, "lo"), BlockEnd(0, None)]),
    "citations": (
        Text(["Hi"], citations=[CITATION]),
        [TextPart(0, "Hi"), BlockEnd(0, {"type": "text", "citations": [CITATION]})],
    ),
    "thinking": (
        Thinking(["Hm", "."]),
        [
            ThinkingPart(0, "Hm"),
            ThinkingPart(0, "."),
            BlockEnd(0, {"type": "thinking", "signature": sign("Hm.")}),
        ],
    ),
    "omitted thinking": (
        Thinking(""),
        [BlockEnd(0, {"type": "thinking", "signature": sign("")})],
    ),
    "tool": (
        ToolUse("t", {}, id="toolu_1", deltas=["", '{"a"', ":1}"]),
        [
            ToolPart(0, "toolu_1", "t", "server"),
            ToolInputPart(0, "toolu_1", '{"a"'),
            ToolInputPart(0, "toolu_1", ":1}"),
            BlockEnd(0, None),
        ],
    ),
    "unknown block with an unknown delta": (Unknown(), [BlockEnd(0, None)]),
}


@pytest.mark.parametrize(("item", "parts"), BLOCKS.values(), ids=BLOCKS)
def test_a_block_becomes_its_parts(item: BlockBuilder, parts: list[Part]) -> None:
    assert body_of(item) == parts


def test_redacted_thinking_goes_back_whole() -> None:
    [end] = body_of(RedactedThinking())
    assert isinstance(end, BlockEnd)
    assert end.raw is not None
    assert (end.raw["type"], set(end.raw)) == ("redacted_thinking", {"type", "data"})


def test_a_providers_tool_is_shown_with_titles_and_addresses_and_goes_back_whole() -> None:
    call, piece, ended, result, kept = body_of(ProviderTool("web_search", {"q": 1}, RESULTS))
    assert isinstance(call, ToolPart)
    assert call == ToolPart(0, call.tool_id, "web_search", "provider")
    assert piece == ToolInputPart(0, call.tool_id, '{"q": 1}')
    assert ended == BlockEnd(0, {"type": "server_tool_use"})
    assert result == ToolResultPart(1, call.tool_id, "A page https://a.example", False)
    raw = {"type": "web_search_tool_result", "tool_use_id": call.tool_id, "content": RESULTS}
    assert kept == BlockEnd(1, raw)


def test_a_failed_tool_of_the_provider_is_shown_as_an_error() -> None:
    failure = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
    parts = body_of(ProviderTool("web_search", {}, failure))
    shown = next(part for part in parts if isinstance(part, ToolResultPart))
    assert (shown.text, shown.is_error) == ("max_uses_exceeded", True)


def test_a_whole_block_of_an_unknown_type_goes_back_as_it_came() -> None:
    block = {"type": "novelty", "payload": {"n": [None]}}
    parts = decoded(starting(block), {"type": "content_block_stop", "index": 0})
    assert parts == [BlockEnd(0, block)]


def test_unknown_events_and_deltas_are_passed_over() -> None:
    novelty = Event({"type": "novelty", "anything": 1})
    parts = decoded(
        *Answer(novelty, Text(["Hi"])).events()[1:4],
        starting(TEXT),
        delta({"type": "novelty_delta"}),
    )
    assert parts == []


def test_extra_fields_of_a_call_go_back_with_it() -> None:
    caller = {"type": "direct"}
    block = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}, "caller": caller}
    parts = decoded(starting(block), {"type": "content_block_stop", "index": 0})
    assert parts[-1] == BlockEnd(0, {"type": "tool_use", "caller": caller})


def test_counts_of_the_end_are_merged_over_those_of_the_start() -> None:
    final = {
        "type": "message_delta",
        "delta": {"stop_reason": "max_tokens", "container": {"id": "container_1"}},
        "usage": {"output_tokens": 9, "input_tokens": None},
    }
    parts = decoded(
        usage(input_tokens=5, output_tokens=1, cache_read_input_tokens=7),
        final,
        {"type": "message_stop"},
    )
    assert parts == [
        UsagePart(5, 1, 7, 0, final=False),
        UsagePart(5, 9, 7, 0, final=True, container="container_1"),
        Stop("max_tokens"),
    ]


MALFORMED: dict[str, list[Json]] = {
    "no type": [{}],
    "a delta without its block": [delta({"type": "text_delta", "text": "x"})],
    "a stop without its block": [{"type": "content_block_stop", "index": 0}],
    "text that is a number": [starting(TEXT), delta({"type": "text_delta", "text": 5})],
    "text that is null": [starting(TEXT), delta({"type": "text_delta", "text": None})],
    "half a surrogate pair": [starting(TEXT), delta({"type": "text_delta", "text": HALF})],
    "half a pair in thinking": [
        starting({"type": "thinking", "thinking": ""}),
        delta({"type": "thinking_delta", "thinking": HALF}),
    ],
    "half a pair in a citation": [
        starting(TEXT),
        delta({"type": "citations_delta", "citation": {"cited_text": HALF}}),
        {"type": "content_block_stop", "index": 0},
    ],
    "half a pair in a result": [
        starting(
            {"type": "x_tool_result", "tool_use_id": "s", "content": [{"type": "x", "text": HALF}]}
        )
    ],
    "an index that is no number": [starting(TEXT, index="0")],
    "a negative index": [starting(TEXT, index=-1)],
    "a call without an id": [starting({"type": "tool_use", "name": "t"})],
    "a call whose name is no text": [starting({"type": "tool_use", "id": "i", "name": None})],
    "a block that is no object": [starting([])],  # type: ignore[arg-type]
    "counts that are no numbers": [usage(input_tokens="many")],
    "negative counts": [usage(output_tokens=-1)],
    "a stop reason that is no text": [
        {"type": "message_delta", "delta": {"stop_reason": 1}, "usage": {}}
    ],
}


@pytest.mark.parametrize("events", MALFORMED.values(), ids=MALFORMED)
def test_garbage_is_a_network_error(events: list[Json]) -> None:
    with pytest.raises(ModelError) as caught:
        decoded(*events)
    assert caught.value.code is Code.NETWORK_ERROR
    assert caught.value.retryable

"""The decoder: API events in, parts out; what it does not know it passes over."""

from typing import Any

import pytest

from turnwire_protocol import Citation
from turnwire_server.model.decoder import Decoder
from turnwire_server.model.errors import Malformed
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
SHOWN = [Citation(cited_text="x", document=0)]
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
        [TextPart(0, "Hi"), BlockEnd(0, {"type": "text", "citations": [CITATION]}, SHOWN)],
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


RESULTS_SHOWN: dict[str, tuple[Json, ToolResultPart]] = {
    "a program": (
        {
            "type": "bash_code_execution_tool_result",
            "content": {
                "type": "bash_code_execution_result",
                "stdout": "42\n",
                "stderr": "",
                "return_code": 0,
                "content": [{"type": "bash_code_execution_output", "file_id": "file_1"}],
            },
        },
        ToolResultPart(0, "s", "42", False, ("file_1",)),
    ),
    "a program that failed": (
        {
            "type": "code_execution_tool_result",
            "content": {"stdout": "a", "stderr": "no\n", "return_code": 2, "content": []},
        },
        ToolResultPart(0, "s", "a\nno\n[exit code 2]", True),
    ),
    "a page": (
        {
            "type": "web_fetch_tool_result",
            "content": {
                "type": "web_fetch_result",
                "url": "https://a.example",
                "content": {"type": "document", "title": "A page", "source": {"data": "long"}},
            },
        },
        ToolResultPart(0, "s", "A page https://a.example", False),
    ),
    "tools": (
        {
            "type": "tool_search_tool_result",
            "content": {"tool_references": [{"tool_name": "a"}, {"tool_name": "b"}]},
        },
        ToolResultPart(0, "s", "a\nb", False),
    ),
    "advice": (
        {"type": "advisor_tool_result", "content": {"type": "advisor_result", "text": "Do."}},
        ToolResultPart(0, "s", "Do.", False),
    ),
    "an edit": (
        {"type": "text_editor_code_execution_tool_result", "content": {"lines": ["-a", "+b"]}},
        ToolResultPart(0, "s", "-a\n+b", False),
    ),
    "a failure of an MCP server": (
        {
            "type": "mcp_tool_result",
            "is_error": True,
            "content": [{"type": "text", "text": "no"}],
        },
        ToolResultPart(0, "s", "no", True),
    ),
    "an error with words": (
        {
            "type": "tool_search_tool_result",
            "content": {
                "type": "tool_search_tool_result_error",
                "error_code": "unavailable",
                "error_message": "later",
            },
        },
        ToolResultPart(0, "s", "unavailable: later", True),
    ),
    "what nobody knows yet": (
        {"type": "hologram_tool_result", "content": {"depth": 3}},
        ToolResultPart(0, "s", '{"depth":3}', False),
    ),
}


@pytest.mark.parametrize(("block", "shown"), RESULTS_SHOWN.values(), ids=RESULTS_SHOWN)
def test_a_result_is_shown_as_what_it_says(block: Json, shown: ToolResultPart) -> None:
    block = {**block, "tool_use_id": "s"}
    parts = decoded(starting(block), {"type": "content_block_stop", "index": 0})
    assert parts == [shown, BlockEnd(0, block)]


WEB = {"type": "web_search_result_location", "encrypted_index": "e", "cited_text": "x"}
CITED_PLACES: dict[str, tuple[Json, Citation]] = {
    "a page of the web": (
        {**WEB, "url": "HTTPS://a.example/b", "title": "A"},
        Citation(cited_text="x", title="A", url="https://a.example/b"),
    ),
    "an address that is none": ({**WEB, "url": "javascript:x"}, Citation(cited_text="x")),
    "an address with a line break": ({**WEB, "url": "https://a\n.b"}, Citation(cited_text="x")),
    "pages": (
        {
            "type": "page_location",
            "cited_text": "x",
            "document_index": 1,
            "document_title": "r.pdf",
            "start_page_number": 3,
            "end_page_number": 5,
        },
        Citation(cited_text="x", title="r.pdf", document=1, unit="page", start=3, end=5),
    ),
    "characters": (
        {"cited_text": "x", "document_index": 0, "start_char_index": 0, "end_char_index": 9},
        Citation(cited_text="x", document=0, unit="char", start=0, end=9),
    ),
    "blocks": (
        {"cited_text": "x", "document_index": 0, "start_block_index": 2, "end_block_index": 3},
        Citation(cited_text="x", document=0, unit="block", start=2, end=3),
    ),
    "a search result of one's own": (
        {
            "type": "search_result_location",
            "cited_text": "x",
            "source": "kb/7",
            "start_block_index": 0,
            "end_block_index": 1,
        },
        Citation(cited_text="x", title="kb/7", unit="block", start=0, end=1),
    ),
    "one with an address": (
        {"type": "search_result_location", "source": "https://a.example", "title": "A"},
        Citation(title="A", url="https://a.example"),
    ),
}


@pytest.mark.parametrize(("location", "citation"), CITED_PLACES.values(), ids=CITED_PLACES)
def test_readers_are_told_where_it_was_read(location: Json, citation: Citation) -> None:
    _, end = body_of(Text(["Hi"], citations=[location]))
    assert end == BlockEnd(0, {"type": "text", "citations": [location]}, [citation])


def test_a_page_that_was_fetched_has_its_address() -> None:
    page = {"type": "document", "title": "A page", "source": {"type": "text", "data": "…"}}
    fetched = {"type": "web_fetch_result", "url": "https://a.example", "content": page}
    cited = {"cited_text": "x", "document_index": 0, "document_title": "A page"}
    parts = body_of(ProviderTool("web_fetch", {}, fetched), Text(["Hi"], citations=[cited]))
    end = parts[-1]
    assert isinstance(end, BlockEnd)
    shown = Citation(cited_text="x", title="A page", url="https://a.example", document=0)
    assert end.citations == [shown]


def test_what_is_cited_is_bounded() -> None:
    cited = {
        **WEB,
        "cited_text": "x" * 10_000,
        "title": "y" * 10_000,
        "url": "https://a/" + "z" * 9000,
    }
    parts = body_of(Text(["Hi"], citations=[cited] * 1000))
    end = parts[-1]
    assert isinstance(end, BlockEnd)
    assert end.citations == [Citation(cited_text="x" * 1000, title="y" * 300)] * 50
    assert end.raw is not None
    assert len(end.raw["citations"]) == 1000


def test_a_whole_block_of_an_unknown_type_goes_back_as_it_came() -> None:
    block = {"type": "novelty", "payload": {"n": [None]}}
    parts = decoded(starting(block), {"type": "content_block_stop", "index": 0})
    assert parts == [BlockEnd(0, block)]


def test_unknown_events_and_deltas_are_passed_over() -> None:
    novelty = Event({"type": "novelty", "anything": 1})
    parts = decoded(
        *Answer(novelty, Text(["Hi"])).events()[1:4],
    )
    assert parts == []
    assert decoded(starting(TEXT), delta({"type": "novelty_delta"})) == []


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


STOP = {"type": "content_block_stop", "index": 0}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {}}
CALL = {"type": "tool_use", "id": "i", "name": "t", "input": {}}
CITED = {"cited_text": "\ufffd"}
FOUND = {"type": "x_tool_result", "tool_use_id": "s", "content": [{"type": "x", "text": HALF}]}
NO_COUNTS = UsagePart(0, 0, 0, 0, final=True)


def test_input_given_whole_in_the_start_of_a_call_is_its_input() -> None:
    call = {**CALL, "input": {"city": "Oslo"}}
    assert decoded(starting(call), STOP) == [
        ToolPart(0, "i", "t", "server"),
        ToolInputPart(0, "i", '{"city":"Oslo"}'),
        BlockEnd(0, None),
    ]


def test_deltas_of_an_input_win_over_what_its_start_says() -> None:
    piece = {"type": "input_json_delta", "partial_json": '{"city":"Rome"}'}
    parts = decoded(starting({**CALL, "input": {"city": "Oslo"}}), delta(piece), STOP)
    assert parts[1:-1] == [ToolInputPart(0, "i", '{"city":"Rome"}')]


def test_what_is_open_is_complete_once_the_model_says_why_it_stops() -> None:
    decoder = Decoder()
    parts = [
        part for event in (starting(TEXT), starting(CALL, 1), END) for part in decoder.feed(event)
    ]
    assert parts[-3:] == [BlockEnd(0, None), BlockEnd(1, None), NO_COUNTS]
    assert decoder.finish() == [Stop("end_turn")]
    assert decoder.feed({"type": "message_stop"}) == []
    assert decoder.finish() == []


def test_without_a_reason_the_end_of_the_response_is_no_end() -> None:
    decoder = Decoder()
    decoder.feed(starting(TEXT))
    assert decoder.finish() == []
    assert not decoder.stopped


def said(*texts: Any) -> list[Part]:
    deltas = [delta({"type": "text_delta", "text": text}) for text in texts]
    return decoded(starting(TEXT), *deltas, STOP)


PASSED_OVER: dict[str, tuple[list[Part], list[Part]]] = {
    "no type": (decoded({}), []),
    "a stop without its block": (decoded(STOP), []),
    "a second stop": (decoded(starting(TEXT), STOP, STOP), [BlockEnd(0, None)]),
    "text that is null": (said(None, "a"), [TextPart(0, "a"), BlockEnd(0, None)]),
    "a pair cut in two": (said("a" + HALF, "\udf89"), said("a", "\U0001f789")),
    "half a pair at the end": (said("a" + HALF), said("a", "\ufffd")),
    "the second half alone": (said("\udf89a"), said("\ufffda")),
    "half a pair in a citation": (
        decoded(
            starting(TEXT),
            delta({"type": "citations_delta", "citation": {"cited_text": HALF}}),
            STOP,
        ),
        [BlockEnd(0, {"type": "text", "citations": [CITED]}, [Citation(cited_text="\ufffd")])],
    ),
    "half a pair in a result": (
        decoded(starting(FOUND)),
        [ToolResultPart(0, "s", "\ufffd", False)],
    ),
    "an index that is no number": (decoded(starting(TEXT, index="0")), []),
    "a delta of another kind than its block": (
        decoded(starting(TEXT), delta({"type": "thinking_delta", "thinking": "x"})),
        [],
    ),
    "text after the end of its block": (
        decoded(starting(TEXT), STOP, delta({"type": "text_delta", "text": "x"})),
        [BlockEnd(0, None), TextPart(1, "x")],
    ),
    "a block that begins where another is open": (
        decoded(starting(TEXT), starting(TEXT), delta({"type": "text_delta", "text": "x"})),
        [BlockEnd(0, None), TextPart(1, "x")],
    ),
    "a call without an id": (
        decoded(starting({"type": "tool_use", "name": "t"})),
        [ToolPart(0, "call_0", "t", "server")],
    ),
    "counts that are no numbers": (
        decoded(usage(input_tokens="many", output_tokens=float("nan"))),
        [UsagePart(0, 0, 0, 0, final=False)],
    ),
    "counts in floats": (
        decoded(usage(input_tokens=5.0, output_tokens=-1)),
        [UsagePart(5, 0, 0, 0, final=False)],
    ),
    "usage that is no object": (
        decoded({"type": "message_delta", "delta": {}, "usage": [1]}),
        [NO_COUNTS],
    ),
}


@pytest.mark.parametrize(("parts", "expected"), PASSED_OVER.values(), ids=PASSED_OVER)
def test_what_cannot_be_used_is_passed_over(parts: list[Part], expected: list[Part]) -> None:
    assert parts == expected


MALFORMED: dict[str, list[Json]] = {
    "a delta without its block": [delta({"type": "text_delta", "text": "x"})],
    "a delta of a block that never began": [
        starting(TEXT),
        delta({"type": "text_delta", "text": "x"}, index=7),
    ],
    "a delta that is no object": [starting(TEXT), delta(None)],  # type: ignore[arg-type]
    "text that is a number": [starting(TEXT), delta({"type": "text_delta", "text": 5})],
    "a block that is no object": [starting([])],  # type: ignore[arg-type]
    "a block without a type": [starting({})],
}


@pytest.mark.parametrize("events", MALFORMED.values(), ids=MALFORMED)
def test_what_would_lose_something_said_is_malformed(events: list[Json]) -> None:
    with pytest.raises(Malformed):
        decoded(*events)

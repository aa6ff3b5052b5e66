"""Every content block, delta and stop reason that the SDK knows, through a whole turn.

Each block is streamed, shown to readers somehow, and sent back with the next message as it came.
A newer SDK that knows more fails the last tests here until the table has what is new.
"""

import typing
from typing import Any

import anthropic.types as api
import anthropic.types.beta as beta
import pytest

from tests.kit.chat import ended, of_type, talking
from tests.kit.oracle import check_log
from turnwire_protocol import BlockStop, Thinking, Token, ToolResult, ToolStart
from turnwire_simulator import Answer, ProviderTool, Simulator, Text, Whole
from turnwire_simulator.signature import seal, sign

Json = dict[str, Any]
CALLERS: list[Json] = [
    {"type": "direct"},
    {"type": "code_execution_20250825", "tool_id": "srvtoolu_0"},
    {"type": "code_execution_20260120", "tool_id": "srvtoolu_0"},
]


CALLED: list[Json] = [{}, {"toolset_name": "computer"}, *({"caller": each} for each in CALLERS)]


def use(name: str, kind: str = "server_tool_use", **fields: Any) -> Json:
    return {"type": kind, "id": "srvtoolu_1", "name": name, "input": {"q": [1, None]}, **fields}


def result(name: str, content: Any, **fields: Any) -> Json:
    return {"type": name, "tool_use_id": "srvtoolu_1", "content": content, **fields}


def ran(kind: str, **fields: Any) -> Json:
    made = [{"type": f"{kind}_output", "file_id": "file_1"}]
    told = {"return_code": 0, "stderr": "", "stdout": "42\n", "content": made}
    return {"type": f"{kind}_result", **told, **fields}


FOUND = {
    "type": "web_search_result",
    "title": "A",
    "url": "https://a.example",
    "encrypted_content": "e",
    "page_age": None,
}
PAGE = {
    "type": "web_fetch_result",
    "url": "https://a.example",
    "retrieved_at": None,
    "content": {
        "type": "document",
        "title": "A",
        "citations": {"enabled": True},
        "source": {"type": "text", "media_type": "text/plain", "data": "…"},
    },
}
RUN = use("bash_code_execution")
REFERENCES = [{"type": "tool_reference", "tool_name": "later"}]

BLOCKS: dict[str, list[tuple[list[Json], str]]] = {
    "text": [([{"type": "text", "text": "Said."}], "Said.")],
    "thinking": [
        ([{"type": "thinking", "thinking": "Hm.", "signature": sign("Hm.")}], "Hm."),
        ([{"type": "thinking", "thinking": "", "signature": sign("")}], ""),
    ],
    "redacted_thinking": [([{"type": "redacted_thinking", "data": seal()}], "")],
    "tool_use": [
        ([{**use("weather", "tool_use"), "id": "toolu_1", **more}], "There is no tool 'weather'.")
        for more in CALLED
    ],
    "server_tool_use": [
        ([use(name), result("web_search_tool_result", [FOUND])], "A https://a.example")
        for name in typing.get_args(beta.BetaServerToolUseBlock.model_fields["name"].annotation)
    ],
    "web_search_tool_result": [
        (
            [
                use("web_search", caller=caller),
                result("web_search_tool_result", [FOUND], caller=caller),
            ],
            "A https://a.example",
        )
        for caller in CALLERS
    ],
    "web_fetch_tool_result": [
        ([use("web_fetch"), result("web_fetch_tool_result", PAGE)], "A https://a.example")
    ],
    "advisor_tool_result": [
        (
            [
                use("advisor"),
                result("advisor_tool_result", {"type": "advisor_result", "text": "Do."}),
            ],
            "Do.",
        ),
        (
            [
                use("advisor"),
                result(
                    "advisor_tool_result",
                    {"type": "advisor_redacted_result", "encrypted_content": "e"},
                ),
            ],
            '{"type":"advisor_redacted_result","encrypted_content":"e"}',
        ),
    ],
    "code_execution_tool_result": [
        (
            [
                use("code_execution"),
                result("code_execution_tool_result", ran("code_execution")),
            ],
            "42",
        ),
        (
            [
                use("code_execution"),
                result(
                    "code_execution_tool_result",
                    {
                        "type": "encrypted_code_execution_result",
                        "encrypted_stdout": "e",
                        "return_code": 0,
                        "stderr": "",
                        "content": [],
                    },
                ),
            ],
            "",
        ),
    ],
    "bash_code_execution_tool_result": [
        ([RUN, result("bash_code_execution_tool_result", ran("bash_code_execution"))], "42")
    ],
    "text_editor_code_execution_tool_result": [
        (
            [
                use("text_editor_code_execution"),
                result("text_editor_code_execution_tool_result", content),
            ],
            shown,
        )
        for content, shown in (
            (
                {
                    "type": "text_editor_code_execution_view_result",
                    "content": "a = 1",
                    "file_type": "text",
                    "num_lines": 1,
                    "start_line": None,
                    "total_lines": 1,
                },
                "a = 1",
            ),
            (
                {"type": "text_editor_code_execution_create_result", "is_file_update": False},
                '{"type":"text_editor_code_execution_create_result","is_file_update":false}',
            ),
            (
                {
                    "type": "text_editor_code_execution_str_replace_result",
                    "lines": ["-a", "+b"],
                    "new_lines": 1,
                    "new_start": 1,
                    "old_lines": 1,
                    "old_start": 1,
                },
                "-a\n+b",
            ),
        )
    ],
    "tool_search_tool_result": [
        (
            [
                use("tool_search_tool_bm25"),
                result(
                    "tool_search_tool_result",
                    {"type": "tool_search_tool_search_result", "tool_references": REFERENCES},
                ),
            ],
            "later",
        )
    ],
    "mcp_tool_use": [
        (
            [
                use("ask", "mcp_tool_use", server_name="files"),
                result("mcp_tool_result", "told", is_error=False),
            ],
            "told",
        )
    ],
    "mcp_tool_result": [
        (
            [
                use("ask", "mcp_tool_use", server_name="files"),
                result("mcp_tool_result", [{"type": "text", "text": "no"}], is_error=True),
            ],
            "no",
        )
    ],
    "container_upload": [([{"type": "container_upload", "file_id": "file_1"}], "")],
    "mcp_tool_listing": [
        (
            [
                {
                    "type": "mcp_tool_listing",
                    "mcp_server_name": "files",
                    "tools": [{"name": "ask", "input_schema": {"type": "object"}}],
                }
            ],
            "",
        )
    ],
    "fallback": [
        (
            [
                {
                    "type": "fallback",
                    "from": {"model": "claude-a"},
                    "to": {"model": "claude-b"},
                    "trigger": {"type": "refusal", "category": "cyber"},
                }
            ],
            "",
        )
    ],
}
"""By type: the blocks of an answer, of which one is of it, and the words that readers see."""

ELSEWHERE = {"compaction"}
"""It does not go back where it came: tests of long conversations have it."""

CITATIONS: dict[str, Json] = {
    "char_location": {
        "cited_text": "x",
        "document_index": 0,
        "document_title": None,
        "end_char_index": 2,
        "file_id": None,
        "start_char_index": 1,
    },
    "page_location": {
        "cited_text": "x",
        "document_index": 0,
        "document_title": "r.pdf",
        "end_page_number": 2,
        "file_id": "file_1",
        "start_page_number": 1,
    },
    "content_block_location": {
        "cited_text": "x",
        "document_index": 0,
        "document_title": None,
        "end_block_index": 2,
        "file_id": None,
        "start_block_index": 1,
    },
    "web_search_result_location": {
        "cited_text": "x",
        "encrypted_index": "e",
        "title": None,
        "url": "https://a.example",
    },
    "search_result_location": {
        "cited_text": "x",
        "end_block_index": 2,
        "search_result_index": 0,
        "source": "kb",
        "start_block_index": 1,
        "title": None,
    },
}

DELTAS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "thinking",
    "citations_delta": "citations",
    "input_json_delta": "tool_use",
    "compaction_delta": "compaction",
}
"""By type: of which of the above it is a delta."""

REASONS = {
    "end_turn": "end_turn",
    "max_tokens": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "end_turn",
    "pause_turn": "end_turn",
    "compaction": "compaction",
    "refusal": "refusal",
    "model_context_window_exceeded": "model_context_window_exceeded",
}
"""By the model's: the turn's, where the answer is nothing but text."""


def streamed(block: Json) -> Whole:
    """As the API streams it: what grows comes in deltas."""
    start: Json
    deltas: list[Json]
    match block["type"]:
        case "text":
            start = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": part} for part in block["text"]]
            cited = block.get("citations", ())
            deltas += [{"type": "citations_delta", "citation": each} for each in cited]
        case "thinking":
            start = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": part} for part in block["thinking"]]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case kind if kind.endswith("tool_use"):
            start = {**block, "input": {}}
            pieces = ["", '{"q":', " [1, null]}"]
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
        case _:
            start, deltas = block, []
    return Whole(start, tuple(deltas))


CASES = [
    pytest.param(blocks, shown, id=f"{kind} {number}")
    for kind, cases in BLOCKS.items()
    for number, (blocks, shown) in enumerate(cases)
] + [
    pytest.param(
        [{"type": "text", "text": "x", "citations": [{"type": kind, **place}]}],
        "x",
        id=f"citations {kind}",
    )
    for kind, place in CITATIONS.items()
]


@pytest.mark.parametrize(("blocks", "shown"), CASES)
async def test_a_block_is_shown_and_goes_back_as_it_came(
    simulator: Simulator, blocks: list[Json], shown: str
) -> None:
    calls = any(block["type"] == "tool_use" for block in blocks)
    reason = "tool_use" if calls else "end_turn"
    answer = Answer(*map(streamed, blocks), Text("End."), stop_reason=reason)
    following = [Answer(Text("Bye.")) for _ in range(2 if calls else 1)]
    async with talking(simulator, answer, *following) as wire:
        done = await ended(wire)
        assert done["stop_reason"] == "end_turn"
        await ended(wire, conversation=done["conversation"])
    check_log(wire.events)
    back = simulator.requests[-1]["messages"][1]["content"]
    assert without_marks(back) == [*bound(blocks, back), {"type": "text", "text": "End."}]
    assert simulator.rejections == []
    # Whatever it is, readers are told that it is there, and what it says.
    assert len(of_type(wire, BlockStop)) >= len(blocks) + 1
    said = [event.text for event in of_type(wire, Thinking)]
    said += [event.text for event in of_type(wire, Token)]
    results = [str(event.content) for event in of_type(wire, ToolResult)]
    assert shown in "".join(said) or shown in results
    called = [block["name"] for block in blocks if block["type"].endswith("tool_use")]
    assert [start.tool_name for start in of_type(wire, ToolStart)] == called


def without_marks(blocks: list[Json]) -> list[Json]:
    return [{name: block[name] for name in block if name != "cache_control"} for block in blocks]


def bound(blocks: list[Json], back: list[Json]) -> list[Json]:
    """The blocks with the signatures that the simulator has bound to the request."""
    signatures = [block["signature"] for block in back if block["type"] == "thinking"]
    return [
        {**block, "signature": signatures.pop(0)} if block["type"] == "thinking" else block
        for block in blocks
    ]


@pytest.mark.parametrize(("reason", "expected"), REASONS.items())
async def test_a_reason_ends_the_turn_and_the_next_message_works(
    simulator: Simulator, reason: str, expected: str
) -> None:
    # What the API pauses is a call of its own tool.
    paused = reason == "pause_turn"
    call = [ProviderTool("web_search", {}, None)] if paused else []
    answer = Answer(Text("Said."), *call, stop_reason=reason)
    goes_on = [Answer(Text("On."))] if paused else []
    simulator.answer_with(lambda body: Answer(Text("Ok.")))
    async with talking(simulator, answer, *goes_on) as wire:
        done = await ended(wire)
        following = await ended(wire, conversation=done["conversation"])
    assert following["stop_reason"] == "end_turn"
    assert done["stop_reason"] == expected


# Is there anything that the installed SDK knows and this table does not?


def members(union: Any) -> set[str]:
    """The `type`s of the models of a union, however deep."""
    found: set[str] = set()
    for part in typing.get_args(union):
        fields = getattr(part, "model_fields", {})
        if "type" in fields:
            found |= set(typing.get_args(fields["type"].annotation))
        else:
            found |= members(part)
    return found


@pytest.mark.parametrize("union", [api.ContentBlock, beta.BetaContentBlock], ids=["api", "beta"])
def test_the_table_has_every_block(union: Any) -> None:
    assert members(union) - set(BLOCKS) - ELSEWHERE == set()


@pytest.mark.parametrize(
    "union", [api.RawContentBlockDelta, beta.BetaRawContentBlockDelta], ids=["api", "beta"]
)
def test_the_table_has_every_delta(union: Any) -> None:
    assert members(union) - set(DELTAS) == set()


@pytest.mark.parametrize("union", [api.TextCitation, beta.BetaTextCitation], ids=["api", "beta"])
def test_the_table_has_every_citation(union: Any) -> None:
    assert members(union) == set(CITATIONS)


@pytest.mark.parametrize("union", [api.StopReason, beta.BetaStopReason], ids=["api", "beta"])
def test_the_table_has_every_stop_reason(union: Any) -> None:
    assert set(typing.get_args(union)) - set(REASONS) == set()


def test_the_deltas_are_those_of_blocks_that_are_here() -> None:
    assert set(DELTAS.values()) - {"citations"} <= set(BLOCKS) | ELSEWHERE

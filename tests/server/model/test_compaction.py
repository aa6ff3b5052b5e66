"""Summaries at the edge to the API: how they are asked for, carried, decoded and refused."""

from datetime import UTC, datetime
from typing import Any

import pytest

from turnwire_protocol import Code, Iteration
from turnwire_server.model.decoder import Decoder
from turnwire_server.model.errors import judge
from turnwire_server.model.families import ModelOptions, context_of
from turnwire_server.model.port import (
    ApiMessage,
    CompactionPart,
    Context,
    ModelRequest,
    Part,
    Stop,
    TextPart,
    UsagePart,
)
from turnwire_server.model.request import RequestForm
from turnwire_server.model.words import words_of

Json = dict[str, Any]
MODEL = "claude-sonnet-5-5"
SIGNED = {"type": "compaction", "content": "They greeted.", "signature": "s"}
PLAIN = {"type": "compaction", "content": "They greeted."}
CLEAR = {"type": "clear_tool_uses_20250919"}


def decoded(*blocks: Json, usage: Json, stop_reason: str = "end_turn") -> list[Part]:
    """The parts of an answer of these starts and deltas."""
    decoder = Decoder()
    start = {"input_tokens": 9, "output_tokens": 0}
    events: list[Json] = [{"type": "message_start", "message": {"usage": start}}]
    index = -1
    for block in blocks:
        if block["type"].endswith("_delta"):
            events.append({"type": "content_block_delta", "index": index, "delta": block})
        else:
            index += 1
            events.append({"type": "content_block_start", "index": index, "content_block": block})
    delta = {"stop_reason": stop_reason}
    events.append({"type": "message_delta", "delta": delta, "usage": usage})
    events.append({"type": "message_stop"})
    return [part for event in events for part in decoder.feed(event)]


def counted(read: int, wrote: int, cached: int) -> Iteration:
    return Iteration(
        type="compaction",
        input_tokens=read,
        output_tokens=wrote,
        cache_read_input_tokens=cached,
        cache_creation_input_tokens=0,
    )


def test_a_block_that_comes_whole_is_kept_as_it_came_and_its_tokens_are_counted() -> None:
    used = {"type": "compaction", "input_tokens": 50, "cache_read_input_tokens": 400}
    usage = {"input_tokens": 0, "output_tokens": 0, "iterations": [{**used, "output_tokens": 7}]}
    parts = decoded(SIGNED, usage=usage, stop_reason="compaction")
    assert parts[1:] == [
        CompactionPart(0, "They greeted.", SIGNED),
        UsagePart(50, 7, 400, 0, final=True, iterations=(counted(50, 7, 400),)),
        Stop("compaction"),
    ]


def test_a_block_that_comes_in_a_delta_stands_before_the_answer_whose_context_is_told() -> None:
    delta = {"type": "compaction_delta", "content": "They greeted.", "encrypted_content": None}
    summarising = {"type": "compaction", "input_tokens": 500, "output_tokens": 30}
    messages = [
        {"type": "message", "input_tokens": 20, "output_tokens": 3},
        {"type": "message", "input_tokens": 26, "output_tokens": 4},
    ]
    iterations = [summarising, *messages]
    parts = decoded(
        {"type": "compaction", "content": None},
        delta,
        {"type": "text", "text": "Yes."},
        usage={"input_tokens": 46, "output_tokens": 7, "iterations": iterations},
    )
    raw = {**PLAIN, "encrypted_content": None}
    assert parts[1:3] == [TextPart(1, "Yes."), CompactionPart(0, "They greeted.", raw)]
    others = (counted(500, 30, 0),)
    assert parts[-2] == UsagePart(546, 37, 0, 0, final=True, context_tokens=30, iterations=others)


@pytest.mark.parametrize("content", [None, "", " \n", 7])
def test_a_block_without_a_summary_is_nothing(content: object) -> None:
    parts = decoded({"type": "compaction", "content": content}, usage={"output_tokens": 0})
    assert [type(part) for part in parts] == [UsagePart, UsagePart, Stop]


def asked(first: Json | None, *, kind: Any, compacts: bool = False, edits: Any = ()) -> Json:
    """What the request needs beyond that of others: betas and fields without a parameter."""
    options = {MODEL: ModelOptions(compaction=kind)}
    form = RequestForm(model_options=options, context_edits=edits)
    messages: list[ApiMessage] = [{"role": "user", "content": "More"}]
    if first is not None:
        messages.insert(0, {"role": "assistant", "content": [first]})
    parameters = form.parameters(ModelRequest(MODEL, messages, 100, compacts=compacts))
    headers = parameters.get("extra_headers", {})
    betas = {"betas": headers["anthropic-beta"].split(",")} if headers else {}
    return {**betas, **parameters.get("extra_body", {})}


NEVER: Json = {
    "type": "compact_20260112",
    "trigger": {"type": "input_tokens", "value": 100_000_000},
}
NOW: Json = {
    "type": "compact_20260112",
    "trigger": {"type": "input_tokens", "value": 50_000},
    "pause_after_compaction": True,
}
ON_DEMAND = {"betas": ["compact-2026-09-04"]}
AT_A_THRESHOLD = {"betas": ["compact-2026-01-12"]}
SUMMARISE = {"compaction": {"type": "summarize"}}


def test_a_request_says_no_more_of_summaries_than_it_needs() -> None:
    assert asked(None, kind="on_demand") == {}
    assert asked(None, kind="none", compacts=False) == {}
    assert asked(None, kind="on_demand", compacts=True) == {**ON_DEMAND, **SUMMARISE}
    assert asked(SIGNED, kind="on_demand") == ON_DEMAND
    assert asked(SIGNED, kind="none") == ON_DEMAND
    edits = {"context_management": {"edits": [NOW]}}
    assert asked(None, kind="threshold", compacts=True) == {**AT_A_THRESHOLD, **edits}
    edits = {"context_management": {"edits": [NEVER]}}
    assert asked(PLAIN, kind="threshold") == {**AT_A_THRESHOLD, **edits}


def test_what_a_request_carries_says_how_it_is_summarised_again() -> None:
    assert asked(SIGNED, kind="threshold", compacts=True) == {**ON_DEMAND, **SUMMARISE}
    edits = {"context_management": {"edits": [NOW]}}
    assert asked(PLAIN, kind="on_demand", compacts=True) == {**AT_A_THRESHOLD, **edits}


def test_the_operators_edits_stand_beside_a_summary_and_not_where_one_is_made() -> None:
    beta = "context-management-2025-06-27"
    body = {"context_management": {"edits": [CLEAR]}}
    assert asked(None, kind="on_demand", edits=[CLEAR]) == {"betas": [beta], **body}
    betas = ["compact-2026-09-04", beta]
    assert asked(SIGNED, kind="on_demand", edits=[CLEAR]) == {"betas": betas, **body}
    summarising = asked(None, kind="on_demand", compacts=True, edits=[CLEAR])
    assert summarising == {**ON_DEMAND, **SUMMARISE}
    edits = {"context_management": {"edits": [CLEAR, NEVER]}}
    betas = ["compact-2026-01-12", beta]
    assert asked(PLAIN, kind="threshold", edits=[CLEAR]) == {"betas": betas, **edits}


CONTEXTS: dict[str, tuple[str, dict[str, ModelOptions], bool, Context]] = {
    "a new family": (MODEL, {}, True, Context(1_000_000, 0)),
    "an older one": ("claude-haiku-4-5", {}, True, Context(200_000, None)),
    "the first that can": ("claude-opus-4-6", {}, True, Context(1_000_000, 0)),
    "the same elsewhere": (MODEL, {}, False, Context(1_000_000, None)),
    "elsewhere by another name": (
        "us.anthropic.claude-opus-4-8-v1:0",
        {"us.anthropic.claude-opus-4-8-v1:0": ModelOptions(compaction="threshold")},
        False,
        Context(1_000_000, 50_000),
    ),
    "unknown": ("llama", {}, True, Context(None, None)),
    "unknown, but told of": (
        "llama",
        {"llama": ModelOptions(window=8000, compaction="on_demand")},
        False,
        Context(8000, 0),
    ),
    "told not to": (MODEL, {MODEL: ModelOptions(compaction="none")}, True, Context(1_000_000)),
}


@pytest.mark.parametrize(("model", "options", "is_own", "context"), CONTEXTS.values(), ids=CONTEXTS)
def test_a_model_takes_in_what_its_family_does_unless_told_otherwise(
    model: str, options: dict[str, ModelOptions], is_own: bool, context: Context
) -> None:
    assert context_of(model, options, is_own=is_own) == context


REFUSALS: dict[str, tuple[int, str | None, str, str | None]] = {
    "by its code": (400, "compaction_signature_invalid", "The signature is wrong.", "compaction"),
    "by its words": (
        400,
        None,
        "messages.0.content.0: Input tag 'compaction' found using 'type' does not match",
        "compaction",
    ),
    "by the words of a tool": (400, None, "tools.0.name: compaction is a bad name", None),
    "for now": (529, "compaction_unavailable", "Busy", None),
}


@pytest.mark.parametrize(("status", "code", "said", "cause"), REFUSALS.values(), ids=REFUSALS)
def test_a_refused_summary_is_told_from_what_else_is_refused(
    status: int, code: str | None, said: str, cause: str | None
) -> None:
    kind = "overloaded_error" if status == 529 else "invalid_request_error"
    error = {"type": kind, "message": said, "details": {"error_code": code}}
    words = words_of({"type": "error", "error": error}, status=status)
    judged = judge(words, expose=True, now=datetime.now(UTC))
    assert judged.cause == cause
    assert judged.code is (Code.OVERLOADED if status == 529 else Code.INVALID_REQUEST)

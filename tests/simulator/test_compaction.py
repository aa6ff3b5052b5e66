"""Summaries of older messages, by the API's rules: both kinds, and what is refused of them."""

from typing import Any

import pytest
from anthropic import AsyncAnthropic, BadRequestError
from anthropic.types import CompactionBlockMisplacedError, CompactionUnavailableError

from turnwire_simulator import Answer, Compaction, Fault, Rejected, Simulator, Text, Thinking
from turnwire_simulator.binding import signed
from turnwire_simulator.strict import judge

Json = dict[str, Any]
ON_DEMAND = "compact-2026-09-04"
THRESHOLD = "compact-2026-01-12"
EDIT = {"type": "compact_20260112"}
TOOL = {"name": "note", "input_schema": {"type": "object"}}


def request(*messages: Json, **fields: Any) -> Json:
    asked = list(messages) or [user("Hello")]
    return {"model": "claude-simulated-opus", "max_tokens": 1000, "messages": asked, **fields}


def user(*content: Json | str) -> Json:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else [*content]}


def assistant(*blocks: Json) -> Json:
    return {"role": "assistant", "content": list(blocks)}


TEXT = {"type": "text", "text": "Yes."}
SUMMARY = "They greeted."
SIGNED = {"type": "compaction", "content": SUMMARY, "signature": signed(SUMMARY, request())}
PLAIN = {"type": "compaction", "content": SUMMARY}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "note", "input": {}}
SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}
SUMMARISE: Json = {"compaction": {"type": "summarize"}}
EDITED: Json = {"context_management": {"edits": [EDIT]}}


ACCEPTED: dict[str, tuple[Json, str]] = {
    "to summarise behind a question": (request(**SUMMARISE), ON_DEMAND),
    "to summarise behind an answer": (
        request(user("Hello"), assistant(TEXT), **SUMMARISE),
        ON_DEMAND,
    ),
    "to summarise again": (
        request(assistant(SIGNED), assistant(TEXT), user("More"), **SUMMARISE),
        ON_DEMAND,
    ),
    "a signed block of the assistant": (request(assistant(SIGNED), user("More")), ON_DEMAND),
    "a signed block of the user": (request(user(SIGNED, TEXT)), ON_DEMAND),
    "a signed block alone": (request(assistant(SIGNED)), ON_DEMAND),
    "a block behind what it stands for": (
        request(user("Hello"), assistant(PLAIN, TEXT), user("More"), **EDITED),
        THRESHOLD,
    ),
    "a block without it": (request(assistant(PLAIN), user("More"), **EDITED), THRESHOLD),
    "a block that failed": (
        request(user("Hello"), assistant({**PLAIN, "content": None}, TEXT), user("More"), **EDITED),
        THRESHOLD,
    ),
    "other edits": (
        request(context_management={"edits": [{"type": "clear_tool_uses_20250919"}]}),
        "context-management-2025-06-27",
    ),
}

REFUSED: dict[str, tuple[Json, str, str | None, str]] = {
    "to summarise without the beta": (
        request(**SUMMARISE),
        THRESHOLD,
        None,
        "compaction: requires",
    ),
    "to summarise and to edit": (
        request(**SUMMARISE, context_management={"edits": []}),
        ON_DEMAND,
        None,
        "context_management: ",
    ),
    "to summarise with stop sequences": (
        request(**SUMMARISE, stop_sequences=["x"]),
        ON_DEMAND,
        None,
        "stop_sequences: ",
    ),
    "to summarise with a forced tool": (
        request(**SUMMARISE, tools=[TOOL], tool_choice={"type": "any"}),
        ON_DEMAND,
        None,
        "tool_choice: ",
    ),
    "to summarise in a form": (
        request(**SUMMARISE, output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
        ON_DEMAND,
        None,
        "output_config.format: ",
    ),
    "to summarise nothing but a summary": (
        request(assistant(SIGNED), **SUMMARISE),
        ON_DEMAND,
        "compaction_nothing_to_summarize",
        "messages: ",
    ),
    "to summarise a call without its result": (
        request(user("Hello"), assistant(CALL), tools=[TOOL], **SUMMARISE),
        ON_DEMAND,
        "compaction_incomplete_turn",
        "messages: ",
    ),
    "to summarise by a model that cannot": (
        request(**SUMMARISE, model="claude-haiku-4-5"),
        ON_DEMAND,
        None,
        "compaction is not supported",
    ),
    "a block without the beta": (
        request(assistant(SIGNED), user("More")),
        "",
        None,
        "messages.0.content.0: Input tag 'compaction'",
    ),
    "a block without its edit": (
        request(assistant(PLAIN), user("More")),
        THRESHOLD,
        None,
        "messages.0.content.0: ",
    ),
    "a signed block behind what it stands for": (
        request(user("Hello"), assistant(SIGNED), user("More")),
        ON_DEMAND,
        "compaction_block_misplaced",
        "messages.1.content.0: ",
    ),
    "two blocks": (
        request(assistant(SIGNED), assistant(SIGNED), user("More")),
        ON_DEMAND,
        "compaction_block_ambiguous",
        "messages.1.content.0: ",
    ),
    "another summary": (
        request(assistant({**SIGNED, "content": "They fought."}), user("More")),
        ON_DEMAND,
        "compaction_content_mismatch",
        "messages.0.content.0: ",
    ),
    "another signature": (
        request(assistant({**SIGNED, "signature": "a.b.c.d"}), user("More")),
        ON_DEMAND,
        "compaction_signature_invalid",
        "messages.0.content.0: ",
    ),
    "a signed block with the edit": (
        request(assistant(SIGNED), user("More"), **EDITED),
        f"{ON_DEMAND},{THRESHOLD}",
        None,
        "messages.0.content.0: ",
    ),
    "a field that the API did not give": (
        request(assistant({**SIGNED, "citations": None}), user("More")),
        ON_DEMAND,
        None,
        "messages.0.content.0.compaction.citations: Extra",
    ),
    "no summary": (
        request(assistant({**PLAIN, "content": ""}), user("More"), **EDITED),
        THRESHOLD,
        None,
        "messages.0.content.0.compaction.content: ",
    ),
    "a low threshold": (
        request(
            context_management={
                "edits": [{**EDIT, "trigger": {"type": "input_tokens", "value": 49_999}}]
            }
        ),
        THRESHOLD,
        None,
        "context_management.edits.0.trigger.value: ",
    ),
    "an edit without its beta": (
        request(**EDITED),
        ON_DEMAND,
        None,
        "context_management.edits.0: ",
    ),
    "an edit that nobody knows": (
        request(context_management={"edits": [{"type": "shrink"}]}),
        "context-management-2025-06-27",
        None,
        "context_management.edits.0.type: ",
    ),
}


@pytest.mark.parametrize(("body", "betas"), ACCEPTED.values(), ids=ACCEPTED)
def test_what_the_api_takes_is_taken(body: Json, betas: str) -> None:
    judge(body, set(betas.split(",")))


@pytest.mark.parametrize(("body", "betas", "code", "start"), REFUSED.values(), ids=REFUSED)
def test_what_the_api_refuses_is_refused_by_its_code(
    body: Json, betas: str, code: str | None, start: str
) -> None:
    with pytest.raises(Rejected) as caught:
        judge(body, set(betas.split(",")))
    assert (caught.value.status, caught.value.code) == (400, code)
    assert caught.value.message.startswith(start)


async def test_on_demand_the_answer_is_one_signed_block_and_its_tokens_are_those_of_no_answer(
    claude: AsyncAnthropic,
) -> None:
    asked: Any = {"betas": [ON_DEMAND], **request(user("Hello"), **SUMMARISE)}
    answer = await claude.beta.messages.create(**asked)
    [block] = answer.content
    assert (answer.stop_reason, block.type) == ("compaction", "compaction")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (0, 0)
    assert [each.type for each in answer.usage.iterations or []] == ["compaction"]
    async with claude.beta.messages.stream(**asked) as stream:
        kinds = [event.type async for event in stream if event.type.startswith("content_block")]
    assert kinds == ["content_block_start", "content_block_stop"]
    said = [assistant(block.to_dict()), user("More")]
    more = await claude.beta.messages.create(**{**asked, **request(*said), "compaction": None})
    assert more.stop_reason == "end_turn"


@pytest.mark.parametrize("pauses", [False, True])
async def test_at_a_threshold_the_answer_begins_with_a_block_or_is_nothing_else(
    simulator: Simulator, claude: AsyncAnthropic, pauses: bool
) -> None:
    edit = {**EDIT, "trigger": {"type": "input_tokens", "value": 50_000}}
    edits = {"edits": [{**edit, "pause_after_compaction": pauses}]}
    long: Any = {**request(user("word " * 41_000), context_management=edits), "betas": [THRESHOLD]}
    simulator.program(Answer(Thinking("Hm."), Text("Yes.")))
    answer = await claude.beta.messages.create(**long)
    kinds = [block.type for block in answer.content]
    assert kinds == (["compaction"] if pauses else ["compaction", "thinking", "text"])
    assert answer.stop_reason == ("compaction" if pauses else "end_turn")
    first, *others = answer.usage.iterations or []
    assert (first.type, len(others)) == ("compaction", 0 if pauses else 1)
    assert first.input_tokens > 50_000 > answer.usage.input_tokens
    # What stands before the block is ignored, thinking behind it is valid.
    said = [user("Never seen"), assistant(*(block.to_dict() for block in answer.content))]
    more = {**long, "messages": [*said, user("More")]}
    assert (await claude.beta.messages.create(**more)).stop_reason == "end_turn"


async def test_a_summary_may_fail_and_thinking_stays_valid_behind_a_signed_one(
    simulator: Simulator, claude: AsyncAnthropic
) -> None:
    thinking: Any = {"thinking": {"type": "adaptive"}, "betas": [ON_DEMAND]}
    simulator.program(Answer(Thinking("Hm."), Text("Yes.")))
    first: Any = {**request(), **thinking}
    said = (await claude.beta.messages.create(**first)).to_dict()["content"]
    simulator.program_summaries(
        None, Fault(529, message="Busy", code="compaction_unavailable"), "They greeted."
    )
    assert (await claude.beta.messages.create(**first, **SUMMARISE)).content == []
    with pytest.raises(CompactionUnavailableError):
        await claude.beta.messages.create(**first, **SUMMARISE)
    [block] = (await claude.beta.messages.create(**first, **SUMMARISE)).content
    kept: Any = [assistant(block.to_dict()), {"role": "assistant", "content": said}, user("More")]
    await claude.beta.messages.create(**{**first, "messages": kept})
    with pytest.raises(BadRequestError, match="bound to a different conversation"):
        await claude.beta.messages.create(**{**first, "messages": kept, "system": "Other."})
    with pytest.raises(CompactionBlockMisplacedError):
        await claude.beta.messages.create(**{**first, "messages": [user("Hello"), *kept]})


async def test_what_is_longer_than_the_window_is_refused_in_the_apis_words() -> None:
    async with Simulator(windows={"claude-simulated": 100}) as simulator:
        asked: Any = request(user("word " * 100))
        fits: Any = request()
        async with AsyncAnthropic(base_url=simulator.url, api_key="key", max_retries=0) as claude:
            with pytest.raises(BadRequestError, match=r"too long: \d+ tokens > 100 maximum"):
                await claude.messages.create(**asked)
            await claude.messages.create(**fits)


def test_a_block_is_written_as_the_api_streams_it() -> None:
    start, delta, stop = Answer(Compaction("They greeted.")).events()[2:5]
    assert start["content_block"] == {"type": "compaction", "content": None}
    assert delta["delta"] == {"type": "compaction_delta", "content": "They greeted."}
    assert stop["type"] == "content_block_stop"

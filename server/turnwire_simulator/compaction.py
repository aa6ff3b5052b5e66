"""Summaries in place of older messages, by the rules of the API; pure, keeps no state.

There are two kinds. On demand (the parameter `compaction`) the answer is one signed block, which
comes back first in `messages`. At a threshold (the edit `compact_20260112`) an ordinary answer
begins with a block, or is nothing else where it is to pause there; what comes back before such a
block is ignored.

https://platform.claude.com/docs/en/build-with-claude/compaction-on-demand and
https://platform.claude.com/docs/en/build-with-claude/compaction-threshold
"""

from collections.abc import Iterator, Set

from turnwire_simulator.answer import Answer, Step
from turnwire_simulator.blocks import ApiObject, Compaction
from turnwire_simulator.errors import Rejected
from turnwire_simulator.prompt_cache import blocks_of, tokens_of
from turnwire_simulator.shapes import expect
from turnwire_simulator.signature import SummaryFault, fault_of_summary

__all__ = [
    "BETAS",
    "behind",
    "is_over",
    "judge_compaction",
    "pauses",
    "shown",
    "summarised",
    "summary_of",
    "summary_text",
]

ON_DEMAND = "compact-2026-09-04"
THRESHOLD = "compact-2026-01-12"
BETAS = frozenset((ON_DEMAND, THRESHOLD))
EDITING = "context-management-2025-06-27"
EDIT = "compact_20260112"
LEAST_TRIGGER = 50_000
USUAL_TRIGGER = 150_000
_OTHER_EDITS = ("clear_thinking_20251015", "clear_tool_uses_20250919")


def judge_compaction(body: ApiObject, betas: Set[str]) -> None:
    """Raises `Rejected` unless the API would take what the request says of summaries and edits."""
    _judge_edits(body, betas)
    _judge_blocks(body, betas)
    compaction = body.get("compaction")
    if compaction is None:
        return
    expect(ON_DEMAND in betas, "compaction", f"requires anthropic-beta: {ON_DEMAND}")
    fits = compaction.get("type") == "summarize" and not compaction.keys() - {
        "type",
        "instructions",
    }
    expect(fits, "compaction", "Input should be {'type': 'summarize'}")
    for name in ("context_management", "stop_sequences"):
        expect(body.get(name) is None, name, "cannot be combined with `compaction`")
    formats = "format" in (body.get("output_config") or {})
    expect(not formats, "output_config.format", "cannot be combined with `compaction`")
    forced = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
    expect(not forced, "tool_choice", "cannot be combined with `compaction`")
    if all(block["type"] == "compaction" for _, block in _blocks(body)):
        raise Rejected(
            "messages: there is nothing to summarize", code="compaction_nothing_to_summarize"
        )
    last = body["messages"][-1]
    calls = [block for block in blocks_of(last["content"]) if block["type"] == "tool_use"]
    if last["role"] == "assistant" and calls:
        raise Rejected(
            "messages: the last assistant turn is not finished", code="compaction_incomplete_turn"
        )


def _judge_edits(body: ApiObject, betas: Set[str]) -> None:
    edits = (body.get("context_management") or {}).get("edits") or []
    for number, edit in enumerate(edits):
        expect(isinstance(edit, dict), "context_management.edits", "Input should be a dictionary")
        path = f"context_management.edits.{number}"
        kind = edit.get("type")
        if kind == EDIT:
            expect(THRESHOLD in betas, path, f"requires anthropic-beta: {THRESHOLD}")
            trigger = edit.get("trigger") or {"type": "input_tokens", "value": USUAL_TRIGGER}
            value = trigger.get("value")
            fits = isinstance(value, int) and value >= LEAST_TRIGGER
            wanted = f"Input should be greater than or equal to {LEAST_TRIGGER}"
            expect(fits, f"{path}.trigger.value", wanted)
        else:
            expect(kind in _OTHER_EDITS, f"{path}.type", "Input should be a known edit")
            expect(EDITING in betas, path, f"requires anthropic-beta: {EDITING}")


def _judge_blocks(body: ApiObject, betas: Set[str]) -> None:
    found = [(path, block) for path, block in _blocks(body) if block["type"] == "compaction"]
    signed = [(path, block) for path, block in found if block.get("signature")]
    for path, block in found:
        known = ON_DEMAND in betas if block.get("signature") else THRESHOLD in betas
        if not known:
            raise Rejected(
                f"{path}: Input tag 'compaction' found using 'type' does not match any of the "
                "expected tags"
            )
        if not block.get("signature"):
            declared = _trigger(body) is not None
            expect(declared, path, f"`compaction` blocks need the edit `{EDIT}`")
    if signed and len([block for _, block in found if block.get("content")]) > 1:
        raise Rejected(
            f"{found[1][0]}: send only one `compaction` block", code="compaction_block_ambiguous"
        )
    for path, block in signed:
        expect(_trigger(body) is None, path, f"`{EDIT}` cannot be used with a signed block")
        if path != "messages.0.content.0":
            raise Rejected(
                f"{path}: `compaction` block must be sent first, in place of the messages it "
                "summarizes; remove those messages",
                code="compaction_block_misplaced",
            )
        match fault_of_summary(block.get("content") or "", block["signature"]):
            case SummaryFault.SIGNATURE:
                raise Rejected(
                    f"{path}: Invalid `signature` in `compaction` block",
                    code="compaction_signature_invalid",
                )
            case SummaryFault.CONTENT:
                raise Rejected(
                    f"{path}: `content` of the `compaction` block was changed",
                    code="compaction_content_mismatch",
                )


def _blocks(body: ApiObject) -> Iterator[tuple[str, ApiObject]]:
    """Path and block of all messages that have the form of such."""
    for number, message in enumerate(body["messages"]):
        content = message.get("content") if isinstance(message, dict) else None
        for position, block in enumerate(blocks_of(content) if content else ()):
            if isinstance(block, dict) and "type" in block:
                yield f"messages.{number}.content.{position}", block


def is_over(body: ApiObject) -> bool:
    """Whether the request has reached the threshold at which it is summarised."""
    trigger = _trigger(body)
    return trigger is not None and tokens_of(body) >= trigger


def _trigger(body: ApiObject) -> int | None:
    for edit in (body.get("context_management") or {}).get("edits") or []:
        if edit.get("type") == EDIT:
            value: int = (edit.get("trigger") or {}).get("value", USUAL_TRIGGER)
            return value
    return None


def pauses(body: ApiObject) -> bool:
    """Whether the answer ends behind its summary."""
    edits = (body.get("context_management") or {}).get("edits") or []
    return any(edit.get("pause_after_compaction") for edit in edits)


def shown(body: ApiObject) -> ApiObject:
    """The request without what stands before a summary of the threshold kind."""
    messages: list[ApiObject] = body["messages"]
    for number in reversed(range(len(messages))):
        blocks = blocks_of(messages[number]["content"])
        for position in reversed(range(len(blocks))):
            block = blocks[position]
            if block["type"] == "compaction" and block.get("content"):
                rest = {**messages[number], "content": blocks[position:]}
                return {**body, "messages": [rest, *messages[number + 1 :]]}
    return body


def summary_text(body: ApiObject) -> str:
    """What the simulator writes of a request: how much there was, and how the last words began."""
    texts = [block["text"] for _, block in _blocks(body) if block["type"] == "text"]
    last = " ".join(texts[-1].split()[:12]) if texts else "nothing"
    return f"Summary of {len(body['messages'])} messages. The last words were: {last}"


def summary_of(answer: Answer) -> str | None:
    """The summary of the threshold kind that an answer begins with, if it does."""
    deltas = (event["delta"] for event in answer.events() if "delta" in event)
    told = (delta["content"] for delta in deltas if delta.get("type") == "compaction_delta")
    return next(told, None)


def behind(body: ApiObject, summary: str) -> ApiObject:
    """The request as the model sees it behind a summary of the threshold kind."""
    block = {"type": "compaction", "content": summary}
    return {**body, "messages": [{"role": "assistant", "content": [block]}]}


def summarised(answer: Answer, summary: Compaction) -> Answer:
    """The answer, beginning with a summary of the threshold kind."""
    block = [step for step in Answer(summary).script if _has_index(step)]
    moved = [
        {**step, "index": step["index"] + 1} if isinstance(step, dict) and "index" in step else step
        for step in answer.script
    ]
    first = next((number for number, step in enumerate(moved) if _has_index(step)), 1)
    return Answer.of(
        [*moved[:first], *block, *moved[first:]],
        chunk_bytes=answer.chunk_bytes,
        tokens_per_second=answer.tokens_per_second,
    )


def _has_index(step: Step) -> bool:
    return isinstance(step, dict) and "index" in step

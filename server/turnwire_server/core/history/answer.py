"""One turn's answer, gathered from the log and given back in the form of the Messages API. Pure."""

import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic_core import from_json

from turnwire_protocol import (
    Attachment,
    Content,
    ContentBlock,
    DocumentBlock,
    DocumentLink,
    Link,
    TextBlock,
    ToolResult,
    ToolStart,
)
from turnwire_server.core.log.items import Private
from turnwire_server.model.port import ApiBlock

__all__ = [
    "Answer",
    "BlockParts",
    "Segment",
    "api_content",
    "parse_input",
    "without_attachments",
    "without_thinking",
]

_THINKING = ("thinking", "redacted_thinking")
_NO_RESULT = "The tool gave no result."


@dataclass(slots=True)
class BlockParts:
    """A block of the answer, as far as it has come."""

    step: int
    texts: list[str] = field(default_factory=list)
    thinks: bool = False
    tool: ToolStart | None = None
    complete: bool = False
    raw: Private | None = None

    @property
    def text(self) -> str:
        """All its deltas."""
        return "".join(self.texts)


class Segment(NamedTuple):
    """What one side says in one step of a turn."""

    role: Literal["user", "assistant"]
    step: int
    """0 for the user's message itself."""
    content: str | list[ApiBlock]


@dataclass(slots=True)
class Answer:
    """All blocks and tool results of one turn."""

    blocks: dict[int, BlockParts] = field(default_factory=dict)
    results: dict[str, ToolResult] = field(default_factory=dict)

    def segments(self, *, before_step: int | None) -> list[Segment]:
        """What the model said and, between that, the results of its calls.

        For a turn that goes on, those of the steps before `before_step`: everything the API accepts
        is kept, because it wants its own blocks back. None: the turn has ended, and they are valid
        however it ended.
        """
        ended = before_step is None
        segments: list[Segment] = []
        for step in sorted({block.step for block in self.blocks.values()}):
            if before_step is not None and step >= before_step:
                break
            blocks = self._step(step, ended=ended)
            results = [self._result(block) for block in blocks if block["type"] == "tool_use"]
            segments.append(Segment("assistant", step, blocks))
            if results:
                segments.append(Segment("user", step, results))
        return _without_trailing_thinking(segments) if ended else segments

    def leave_out_thinking(self) -> None:
        """Forget what was thought so far: it cannot go back."""
        self.blocks = {
            number: block
            for number, block in self.blocks.items()
            if not block.thinks and (block.raw or {}).get("type") not in _THINKING
        }

    def _step(self, step: int, *, ended: bool) -> list[ApiBlock]:
        parts = [block for _, block in sorted(self.blocks.items()) if block.step == step]
        blocks = [block for part in parts if (block := _api_block(part)) is not None]
        blocks = _after_fallback(blocks)
        if not ended:
            return blocks
        provided = {
            block.raw.get("tool_use_id")
            for block in self.blocks.values()
            if block.complete and block.raw is not None
        }
        return [
            block for block in blocks if not _is_provider_call(block) or block["id"] in provided
        ]

    def _result(self, call: ApiBlock) -> ApiBlock:
        result = self.results.get(call["id"])
        content = api_content(_NO_RESULT if result is None else result.content)
        form: ApiBlock = {"type": "tool_result", "tool_use_id": call["id"], "content": content}
        if result is None or result.is_error:
            form["is_error"] = True
        return form


def parse_input(text: str) -> dict[str, Any] | None:
    """The input of a tool call from its whole JSON text; None if it is not an object."""
    if not text:
        return {}
    try:
        value = from_json(text)
        # JSON's grammar allows 1e999 and this parser NaN: neither could go back to the model.
        json.dumps(value, allow_nan=False)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def api_content(content: Content) -> str | list[ApiBlock]:
    """Content for the model. An attachment's `source` is a reference, of type `blob`."""
    if isinstance(content, str):
        return content
    return [_content_block(block) for block in content]


def _content_block(block: ContentBlock) -> ApiBlock:
    if isinstance(block, TextBlock):
        return block.model_dump()
    form: ApiBlock = {"type": block.type, "source": _source(block)}
    if isinstance(block, DocumentBlock | DocumentLink):
        if block.name.strip():
            form["title"] = block.name
        if block.citations:
            form["citations"] = {"enabled": True}
    return form


def _source(block: Attachment | Link) -> dict[str, Any]:
    if isinstance(block, Attachment):
        return {"type": "blob", "blob": block.blob, "bytes": block.bytes}
    if block.url is not None:
        return {"type": "url", "url": block.url}
    return {"type": "file", "file_id": block.file}


def _without_trailing_thinking(segments: list[Segment]) -> list[Segment]:
    """The API refuses a message of the assistant that ends in thinking."""
    kept: list[Segment] = []
    is_last = True
    for segment in reversed(segments):
        blocks = segment.content
        if segment.role == "assistant" and is_last and isinstance(blocks, list):
            while blocks and blocks[-1]["type"] in _THINKING:
                blocks = blocks[:-1]
        if blocks:
            kept.append(segment._replace(content=blocks))
            # A step after `pause_turn` goes on with the message of the step before.
            is_last = segment.role == "user"
    return kept[::-1]


def without_thinking(content: str | list[ApiBlock]) -> str | list[ApiBlock]:
    """The content without its thinking, readable or not."""
    if isinstance(content, str):
        return content
    return [block for block in content if block["type"] not in _THINKING]


def without_attachments(content: str | list[ApiBlock]) -> str | list[ApiBlock]:
    """A copy of the content that only names its images and documents, also in tool results."""
    if isinstance(content, str):
        return content
    blocks: list[ApiBlock] = []
    for block in content:
        if block["type"] == "tool_result":
            block = {**block, "content": without_attachments(block["content"])}
        elif block["type"] in ("image", "document"):
            block = {"type": "text", "text": f"[{block['type']}: it could not be used]"}
        blocks.append(block)
    return blocks


def _api_block(part: BlockParts) -> ApiBlock | None:
    """The block as the API wants it back, or None if it cannot or must not go back."""
    raw = part.raw or {}
    if part.tool is not None:
        if not part.complete:
            return None
        call = {"id": part.tool.tool_id, "name": _api_name(part.tool.tool_name)}
        return {"type": "tool_use", **raw, **call, "input": parse_input(part.text) or {}}
    if part.thinks or raw.get("type") == "thinking":
        # Without its signature it was cut: the API would refuse it.
        return {**raw, "thinking": part.text} if raw.get("signature") else None
    if part.texts:
        text = part.text
        return {**raw, "type": "text", "text": text} if text.strip() else None
    return part.raw if part.complete else None


def _api_name(name: str) -> str:
    """The name as the API takes it back: models invent others, which readers see as they are.

    https://docs.claude.com/en/api/messages, `tool_use.name`.
    """
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:128] or "_"


def _after_fallback(blocks: list[ApiBlock]) -> list[ApiBlock]:
    """Without what the API refuses where one model has given way to another: what stands before the
    last `fallback` block goes back only where the second model was shown it, or it has a result.

    https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback, "Continuing the
    conversation".
    """
    last = max((at for at, block in enumerate(blocks) if block["type"] == "fallback"), default=None)
    if last is None:
        return blocks
    answered = {block.get("tool_use_id") for block in blocks}
    kept = [
        block
        for block in blocks[:last]
        if block["type"] in ("text", "fallback")
        or block.get("tool_use_id")
        or (_is_provider_call(block) and block["id"] in answered)
    ]
    return [*kept, *blocks[last:]]


def _is_provider_call(block: ApiBlock) -> bool:
    kind: str = block["type"]
    return kind != "tool_use" and kind.endswith("tool_use")

"""One turn's answer, gathered from the log and given back in the form of the Messages API. Pure."""

import json
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from pydantic_core import from_json

from turnwire_protocol import Content, ContentBlock, DocumentBlock, TextBlock, ToolResult, ToolStart
from turnwire_server.core.log.items import Private
from turnwire_server.model.port import ApiBlock, ApiMessage

__all__ = ["Answer", "BlockParts", "api_content", "parse_input", "without_attachments"]


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


class _Said(NamedTuple):
    role: Literal["user", "assistant"]
    content: list[ApiBlock]


@dataclass(slots=True)
class Answer:
    """All blocks and tool results of one turn."""

    blocks: dict[int, BlockParts] = field(default_factory=dict)
    results: dict[str, ToolResult] = field(default_factory=dict)

    def messages(self, *, before_step: int | None) -> list[ApiMessage]:
        """Assistant messages and, between them, the user messages with tool results.

        For a turn that goes on, those of the steps before `before_step`: everything the API accepts
        is kept, because it wants its own blocks back. None: the turn has ended, and they are valid
        however it ended.
        """
        ended = before_step is None
        messages: list[_Said] = []
        for step in sorted({block.step for block in self.blocks.values()}):
            if before_step is not None and step >= before_step:
                break
            blocks = self._step(step, ended=ended)
            if messages and messages[-1].role == "assistant":
                # The step before ended in `pause_turn`: this one goes on with the same message.
                messages[-1].content.extend(blocks)
            else:
                messages.append(_Said("assistant", blocks))
            results = [self._result(block) for block in blocks if block["type"] == "tool_use"]
            if results:
                messages.append(_Said("user", results))
        if ended:
            for message in messages:
                while message.content and message.content[-1]["type"] in _THINKING:
                    message.content.pop()
        return [{"role": said.role, "content": said.content} for said in messages if said.content]

    def _step(self, step: int, *, ended: bool) -> list[ApiBlock]:
        parts = [block for _, block in sorted(self.blocks.items()) if block.step == step]
        blocks = [block for part in parts if (block := _api_block(part)) is not None]
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
    source = {"type": "blob", "blob": block.blob, "bytes": block.bytes}
    form: ApiBlock = {"type": block.type, "source": source}
    if isinstance(block, DocumentBlock) and block.name.strip():
        form["title"] = block.name
    return form


def without_attachments(message: ApiMessage) -> ApiMessage:
    """A copy of the message that only names its images and documents, also in tool results."""
    return {"role": message["role"], "content": _without_attachments(message["content"])}


def _without_attachments(content: str | list[ApiBlock]) -> str | list[ApiBlock]:
    if isinstance(content, str):
        return content
    blocks: list[ApiBlock] = []
    for block in content:
        if block["type"] == "tool_result":
            block = {**block, "content": _without_attachments(block["content"])}
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
        call = {"id": part.tool.tool_id, "name": part.tool.tool_name}
        return {"type": "tool_use", **raw, **call, "input": parse_input(part.text) or {}}
    if part.thinks or raw.get("type") == "thinking":
        # Without its signature it was cut: the API would refuse it.
        return {**raw, "thinking": part.text} if raw.get("signature") else None
    if part.texts:
        text = part.text
        return {**raw, "type": "text", "text": text} if text.strip() else None
    return part.raw if part.complete else None


def _is_provider_call(block: ApiBlock) -> bool:
    kind: str = block["type"]
    return kind != "tool_use" and kind.endswith("tool_use")

"""What was said, as attributes of spans: only where the operator wants it (`--trace-content`).

The form is that of OpenTelemetry's conventions for generative AI ("messages"). Images and documents
are named and not shown.
"""

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from turnwire_server.model.port import ApiBlock, ApiMessage

__all__ = [
    "MAX_BYTES",
    "asked_message",
    "input_messages",
    "instructions",
    "output_messages",
    "tool_text",
]

MAX_BYTES = 64 * 1024
"""Of one attribute."""
_CUT = "… [cut]"


def input_messages(messages: Sequence[ApiMessage]) -> str:
    """The messages of a request: the last ones, where they are too many."""
    shown: list[bytes] = []
    left = MAX_BYTES
    for message in reversed(messages):
        form = to_json({"role": _role(message), "parts": _parts(message["content"])})
        left -= len(form) + 1
        if left < 0 and shown:
            break
        shown.append(form)
    return _cut("[" + b",".join(reversed(shown)).decode() + "]")


def asked_message(messages: Sequence[ApiMessage]) -> str | None:
    """What the turn was asked, of the messages of a request; None: it goes on after its tools."""
    last = messages[-1:]
    return input_messages(last) if last and _role(last[0]) == "user" else None


def instructions(system: str) -> str:
    """The system prompt: parts, and no message, as nobody says it."""
    return _cut(to_json(_parts(system)).decode())


def output_messages(messages: Sequence[ApiMessage], finish_reason: str) -> str:
    """The model's answer."""
    parts = [
        part
        for message in messages
        if message["role"] == "assistant"
        for part in _parts(message["content"])
    ]
    shown = {"role": "assistant", "parts": parts, "finish_reason": finish_reason}
    return _cut(to_json([shown]).decode())


def tool_text(value: object) -> str:
    """The input of a tool, or its result."""
    return _cut(value if isinstance(value, str) else to_json(value).decode())


def _role(message: ApiMessage) -> str:
    """The conventions have a role of their own for what tools give, the API has not."""
    content = message["content"]
    is_of_tools = not isinstance(content, str) and all(
        block.get("type") == "tool_result" for block in content
    )
    return "tool" if is_of_tools else message["role"]


def _parts(content: str | list[ApiBlock]) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "content": content}]
    return [_part(block) for block in content]


def _part(block: ApiBlock) -> dict[str, Any]:
    match block.get("type"):
        case "text":
            return {"type": "text", "content": block.get("text")}
        case "thinking":
            return {"type": "reasoning", "content": block.get("thinking")}
        case "tool_use":
            return {
                "type": "tool_call",
                "id": block.get("id"),
                "name": block.get("name"),
                "arguments": block.get("input"),
            }
        case "tool_result":
            content = block.get("content")
            shown = _parts(content) if isinstance(content, list) else content
            return {
                "type": "tool_call_response",
                "id": block.get("tool_use_id"),
                "response": shown,
            }
        case kind:
            return {"type": str(kind)}


def _cut(text: str) -> str:
    form = text.encode()
    if len(form) <= MAX_BYTES:
        return text
    return form[: MAX_BYTES - len(_CUT.encode())].decode(errors="ignore") + _CUT

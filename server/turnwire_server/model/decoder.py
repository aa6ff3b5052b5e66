"""The Messages API's stream events, decoded into parts. Pure: dicts in, parts out; knows no SDK.

Shapes: https://docs.claude.com/en/docs/build-with-claude/streaming. Block and delta types this file
does not know are passed over for readers; a block that is known whole goes back to the model as it
came, one that had an unknown delta does not (it cannot be rebuilt).
"""

from typing import Any

from pydantic_core import to_json

from turnwire_protocol import Code
from turnwire_server.errors import ModelError
from turnwire_server.model.port import (
    BlockEnd,
    Part,
    RunsOn,
    Stop,
    TextPart,
    ThinkingPart,
    ToolInputPart,
    ToolPart,
    ToolResultPart,
    UsagePart,
)

__all__ = ["Decoder"]

_RESULT_TEXT_CHARS = 2000


class Decoder:
    """Reduces the events of one response. Feed them in order; `stopped` tells a whole answer."""

    def __init__(self) -> None:
        self.stopped = False
        self._blocks: dict[int, dict[str, Any]] = {}
        self._usage: dict[str, Any] = {}
        self._container: str | None = None
        self._broken: set[int] = set()
        self._reason: str | None = None

    def feed(self, event: dict[str, Any]) -> list[Part]:
        """The parts that the next event brings, possibly none.

        Raises:
            ModelError: the event is malformed where it must not be.
        """
        try:
            return self._feed(event)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ModelError(Code.NETWORK_ERROR, "the model's answer was malformed") from error

    def _feed(self, event: dict[str, Any]) -> list[Part]:
        match event["type"]:
            case "content_block_delta":
                return self._delta(event["index"], event["delta"])
            case "content_block_start":
                return self._start(event["index"], event["content_block"])
            case "content_block_stop":
                return self._stop(event["index"])
            case "message_start":
                return [self._count(event["message"].get("usage"), final=False)]
            case "message_delta":
                delta = event["delta"]
                self._reason = _string(delta.get("stop_reason") or self._reason or "")
                self._container = (delta.get("container") or {}).get("id") or self._container
                return [self._count(event.get("usage"), final=True)]
            case "message_stop":
                self.stopped = True
                return [Stop(self._reason or "end_turn")]
            case _:
                return []

    def _start(self, index: int, block: dict[str, Any]) -> list[Part]:
        self._blocks[_count(index)] = block = dict(block)
        kind = block["type"]
        if kind.endswith("tool_use"):
            runs_on: RunsOn = "server" if kind == "tool_use" else "provider"
            return [ToolPart(index, _string(block["id"]), _string(block["name"]), runs_on)]
        if kind.endswith("tool_result"):
            text, is_error = _shown(block)
            return [ToolResultPart(index, _string(block["tool_use_id"]), text, is_error)]
        if kind == "text" and block.get("text"):
            return [TextPart(index, _string(block["text"]))]
        if kind == "thinking" and block.get("thinking"):
            return [ThinkingPart(index, _string(block["thinking"]))]
        return []

    def _delta(self, index: int, delta: dict[str, Any]) -> list[Part]:
        block = self._blocks[index]
        match delta["type"]:
            case "text_delta":
                return [TextPart(index, text)] if (text := _string(delta["text"])) else []
            case "thinking_delta":
                text = _string(delta["thinking"])
                return [ThinkingPart(index, text)] if text else []
            case "input_json_delta":
                piece = _string(delta["partial_json"])
                return [ToolInputPart(index, block["id"], piece)] if piece else []
            case "signature_delta":
                block["signature"] = (block.get("signature") or "") + delta["signature"]
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
            case _:
                self._broken.add(index)
        return []

    def _stop(self, index: int) -> list[Part]:
        block = self._blocks.pop(index)
        kind = block["type"]
        if kind == "text":
            raw = {"type": kind, "citations": block.get("citations")}
            return [BlockEnd(index, _storable(raw) if raw["citations"] else None)]
        if kind == "thinking":
            signature = _string(block.get("signature") or "")
            return [BlockEnd(index, {"type": kind, "signature": signature})]
        if kind.endswith("tool_use"):
            told = ("id", "name", "input")
            raw = {name: value for name, value in block.items() if name not in told}
            return [BlockEnd(index, _storable(raw) if raw != {"type": "tool_use"} else None)]
        return [BlockEnd(index, None if index in self._broken else _storable(block))]

    def _count(self, usage: dict[str, Any] | None, *, final: bool) -> UsagePart:
        # Input counts are optional in message_delta: what message_start said stays.
        self._usage |= {name: count for name, count in (usage or {}).items() if count is not None}
        return UsagePart(
            input_tokens=_count(self._usage.get("input_tokens", 0)),
            output_tokens=_count(self._usage.get("output_tokens", 0)),
            cache_read_input_tokens=_count(self._usage.get("cache_read_input_tokens", 0)),
            cache_creation_input_tokens=_count(self._usage.get("cache_creation_input_tokens", 0)),
            final=final,
            container=self._container,
        )


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a string")
    # Half a surrogate pair is a Python string but no text: it could not be stored or sent.
    value.encode()
    return value


def _count(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("not a count")
    return value


def _storable(raw: dict[str, Any]) -> dict[str, Any]:
    to_json(raw)
    return raw


def _shown(block: dict[str, Any]) -> tuple[str, bool]:
    """What readers see of a provider's tool result: titles and addresses, or its JSON, cut."""
    content = block.get("content")
    if isinstance(content, list):
        lines = [_line(item) for item in content]
        return _string("\n".join(line for line in lines if line))[:_RESULT_TEXT_CHARS], False
    is_error = isinstance(content, dict) and str(content.get("type", "")).endswith("_error")
    if isinstance(content, dict) and is_error:
        return _string(content.get("error_code", "error")), True
    return to_json(content).decode()[:_RESULT_TEXT_CHARS], bool(block.get("is_error"))


def _line(item: Any) -> str:
    if not isinstance(item, dict):
        return ""
    told = (item.get("title"), item.get("url"), item.get("text"))
    return " ".join(str(part) for part in told if part)

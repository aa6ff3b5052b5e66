"""The events of a turn as chunks of a chat completion, and those chunks as a whole one. Pure."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from turnwire_protocol import (
    BlockStop,
    Code,
    Done,
    Error,
    Event,
    Message,
    Start,
    Step,
    StopReason,
    Thinking,
    Token,
    ToolExecuting,
    ToolResult,
    Usage,
)
from turnwire_server.wires.chunk_stream import Chunk
from turnwire_server.wires.openai.errors import error_of
from turnwire_server.wires.openai.request import RUNNER
from turnwire_server.wires.turn_reader import Ending

__all__ = ["Chunks", "whole"]

_FINISHES: dict[str, str] = {
    StopReason.END_TURN: "stop",
    StopReason.STOP_SEQUENCE: "stop",
    StopReason.MAX_TOKENS: "length",
    StopReason.MODEL_CONTEXT_WINDOW_EXCEEDED: "length",
    StopReason.MAX_STEPS: "length",
    StopReason.REFUSAL: "content_filter",
}
_CUTS: dict[str, str] = {
    StopReason.CANCELLED: "The answer was stopped.",
    StopReason.INTERRUPTED: "The answer was interrupted: the server stopped.",
    StopReason.FAILED: "The answer failed.",
}
_BREAK = "\n\n"


class Chunks:
    """One response. Events that the client has had are to be taken too, with `is_new` False.

    `suffix` goes behind the ids of calls: it says where their results belong.
    """

    def __init__(self, turn: str, *, model: str, includes_usage: bool, suffix: str = "") -> None:
        self._head: Chunk = {
            "id": f"chatcmpl-{turn}",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": model,
        }
        self._includes_usage = includes_usage
        self._suffix = suffix
        self._has_role = False
        self._has_text = False
        self._length = 0
        """Of the text that was said."""
        self._begin = (-1, 0)
        """The last text block, and where it begins."""
        self._breaks = False
        """Whether what comes next does not go on with the text that was shown."""
        self._calls: dict[str, ToolExecuting] = {}
        self._usages: dict[tuple[int, int], Usage] = {}
        self.failure: tuple[str, str] | None = None
        """Code and message, where the end is an error; valid after `end`."""
        self._error: Error | None = None
        self._done: Done | None = None

    def take(self, event: Event, *, is_new: bool = True) -> list[Chunk]:
        """The chunks of the next event."""
        match event:
            case Token() if is_new:
                return [self._delta(content=self._text(event))]
            case BlockStop() if is_new and event.citations:
                return self._cited(event)
            case Thinking() if is_new:
                return [self._delta(reasoning_content=event.text)]
            case Message():
                self._head["created"] = int(datetime.fromisoformat(event.at).timestamp())
            case Start() | Step():
                self._head["model"] = event.model
                # Another attempt, too: what the last one said cannot be taken back.
                self._breaks = self._has_text
            case ToolExecuting() if event.runner == RUNNER:
                self._calls[event.tool_id] = event
            case ToolResult():
                self._calls.pop(event.tool_id, None)
            case Usage() if is_new:
                self._usages[event.step, event.attempt] = event
            case Error():
                self._error = event
            case Done():
                self._done = event
        return []

    def end(self, ending: Ending) -> list[Chunk]:
        """The last chunks."""
        if ending is Ending.CUT:
            return self._fail(Code.DRAINING, "The server stopped before the answer was complete.")
        if ending is Ending.RESTING:
            calls = [self._call(at, call) for at, call in enumerate(self._calls.values())]
            return [*calls, *self._finish("tool_calls" if calls else "stop")]
        reason = self._done.stop_reason if self._done is not None else ""
        if self._error is not None:
            return self._fail(self._error.code, self._error.message)
        if reason in _CUTS:
            return self._fail(reason, _CUTS[reason])
        return self._finish(_FINISHES.get(reason, "stop"))

    def _fail(self, code: str, message: str) -> list[Chunk]:
        self.failure = (code, message)
        return [error_of(code, message)]

    def _text(self, event: Token) -> str:
        breaks, self._breaks, self._has_text = self._breaks, False, True
        before = _BREAK if breaks else ""
        if self._begin[0] != event.block:
            self._begin = (event.block, self._length + len(before))
        self._length += len(before) + len(event.text)
        return before + event.text

    def _cited(self, stop: BlockStop) -> list[Chunk]:
        """What the block cites of the web, as OpenAI's own searches tell it."""
        block, begin = self._begin
        if block != stop.block:
            return []
        place = {"start_index": begin, "end_index": self._length}
        pages = {each.url: each.title or each.url for each in stop.citations or () if each.url}
        annotations = [
            {"type": "url_citation", "url_citation": {**place, "url": url, "title": title}}
            for url, title in pages.items()
        ]
        return [self._delta(annotations=annotations)] if annotations else []

    def _call(self, at: int, call: ToolExecuting) -> Chunk:
        function = {"name": call.tool_name, "arguments": to_json(call.input).decode()}
        id = call.tool_id + self._suffix
        return self._delta(
            tool_calls=[{"index": at, "id": id, "type": "function", "function": function}]
        )

    def _finish(self, reason: str) -> list[Chunk]:
        chunks = [self._chunk([{"index": 0, "delta": {}, "finish_reason": reason}])]
        if self._includes_usage:
            chunks.append(self._chunk([]) | {"usage": self._usage()})
        return chunks

    def _delta(self, **delta: Any) -> Chunk:
        if not self._has_role:
            self._has_role = True
            delta = {"role": "assistant", **delta}
        return self._chunk([{"index": 0, "delta": delta, "finish_reason": None}])

    def _chunk(self, choices: list[Any]) -> Chunk:
        return {**self._head, "choices": choices}

    def _usage(self) -> dict[str, Any]:
        """Of this response alone: a turn that waited for results of tools has more of them."""
        used = self._usages.values()
        cached = sum(usage.cache_read_input_tokens for usage in used)
        written = sum(usage.cache_creation_input_tokens for usage in used)
        prompt = sum(usage.input_tokens for usage in used) + cached + written
        completion = sum(usage.output_tokens for usage in used)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }


def whole(chunks: Iterable[Chunk]) -> Chunk:
    """The completion that the chunks make; none of them is an error."""
    texts: dict[str, list[str]] = {"content": [], "reasoning_content": []}
    calls: list[Any] = []
    annotations: list[Any] = []
    completion: Chunk = {}
    finish: str | None = None
    for chunk in chunks:
        completion |= {**chunk, "object": "chat.completion"}
        for choice in chunk["choices"]:
            finish = choice["finish_reason"] or finish
            for name, pieces in texts.items():
                if name in choice["delta"]:
                    pieces.append(choice["delta"][name])
            calls += choice["delta"].get("tool_calls", ())
            annotations += choice["delta"].get("annotations", ())
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts["content"])}
    if texts["reasoning_content"]:
        message["reasoning_content"] = "".join(texts["reasoning_content"])
    if annotations:
        message["annotations"] = annotations
    if calls:
        message["tool_calls"] = [
            {name: value for name, value in call.items() if name != "index"} for call in calls
        ]
        message["content"] = message["content"] or None
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    return completion | {"choices": [choice]}

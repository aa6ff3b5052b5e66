"""An answer of the model as a script of API events and controls; pure, sends nothing itself."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from turnwire_simulator.blocks import ApiObject, BlockBuilder
from turnwire_simulator.controls import Control
from turnwire_simulator.errors import ScriptError

__all__ = ["Answer", "Event", "Step", "encode", "is_token", "message_of"]

Step = ApiObject | Control

_TOKEN_FIELDS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "partial_json",
}


@dataclass(frozen=True)
class Event:
    """Any API event, sent exactly as it is written here."""

    fields: ApiObject


class Answer:
    """What one request gets: the frame `message_start` … `message_stop` around the given items.

    `script` is the sequence of API events and controls. `message_start` lacks its id, model and
    the token counts that were not given: they are filled in for the request that gets the answer.
    `output_tokens` is counted when it is not given: one for each delta of text, thinking or input.
    `usage` and `end_usage` are more fields of the usage at the beginning and at the end, and
    `stop_details` says why it stops. `model`: another one than was asked answers.
    `chunk_bytes` cuts the body into writes of that size, regardless of the borders of events.
    `tokens_per_second` paces this answer alone; None leaves it to the simulator.
    """

    def __init__(
        self,
        *items: BlockBuilder | Event | Control,
        stop_reason: str = "end_turn",
        stop_sequence: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cache_read_input_tokens: int | None = None,
        cache_creation_input_tokens: int | None = None,
        usage: ApiObject | None = None,
        end_usage: ApiObject | None = None,
        stop_details: ApiObject | None = None,
        model: str | None = None,
        chunk_bytes: int | None = None,
        tokens_per_second: float | None = None,
    ) -> None:
        counts = {
            "input_tokens": input_tokens,
            "cache_read_input_tokens": cache_read_input_tokens,
            "cache_creation_input_tokens": cache_creation_input_tokens,
        }
        given = {name: count for name, count in counts.items() if count is not None}
        named = {} if model is None else {"model": model}
        why = {} if stop_details is None else {"stop_details": stop_details}
        body = _body(items)
        if output_tokens is None:
            output_tokens = max(1, sum(is_token(step) for step in body))
        self.chunk_bytes = chunk_bytes
        self.tokens_per_second = tokens_per_second
        self.script: tuple[Step, ...] = (
            {"type": "message_start", "message": {**named, "usage": {**given, **(usage or {})}}},
            {"type": "ping"},
            *body,
            {
                "type": "message_delta",
                "delta": {"stop_reason": stop_reason, "stop_sequence": stop_sequence, **why},
                "usage": {"output_tokens": output_tokens, **(end_usage or {})},
            },
            {"type": "message_stop"},
        )

    @classmethod
    def of(
        cls,
        script: Iterable[Step],
        *,
        chunk_bytes: int | None = None,
        tokens_per_second: float | None = None,
    ) -> Self:
        """An answer that is exactly this sequence of API events and controls, without a frame."""
        answer = cls(chunk_bytes=chunk_bytes, tokens_per_second=tokens_per_second)
        answer.script = tuple(script)
        return answer

    def events(self) -> list[ApiObject]:
        """The API events in order, without the controls."""
        return [step for step in self.script if isinstance(step, dict)]

    def at(self, index: int, *controls: Control) -> "Answer":
        """This answer with controls before the API event number `index`; the count means the end.

        Raises:
            ScriptError: there is no such event.
        """
        events = len(self.events())
        if not 0 <= index <= events:
            raise ScriptError(index, events)
        script: list[Step] = []
        seen = 0
        for step in self.script:
            if isinstance(step, dict):
                if seen == index:
                    script.extend(controls)
                seen += 1
            script.append(step)
        if index == events:
            script.extend(controls)
        return Answer.of(
            script, chunk_bytes=self.chunk_bytes, tokens_per_second=self.tokens_per_second
        )

    def filled_in(self, head: ApiObject, usage: ApiObject) -> "Answer":
        """This answer with what its `message_start` lacks taken from `head` and `usage`."""

        def fill(step: Step) -> Step:
            if not isinstance(step, dict) or step["type"] != "message_start":
                return step
            message = step["message"]
            filled = {**head, **message, "usage": {**usage, **message.get("usage", {})}}
            return {**step, "message": filled}

        return Answer.of(
            map(fill, self.script),
            chunk_bytes=self.chunk_bytes,
            tokens_per_second=self.tokens_per_second,
        )

    @property
    def stop_reason(self) -> str | None:
        """The stop reason the answer ends with; None when it has no `message_delta`."""
        for event in reversed(self.events()):
            if event["type"] == "message_delta":
                reason: str | None = event["delta"].get("stop_reason")
                return reason
        return None


def _body(items: Iterable[BlockBuilder | Event | Control]) -> list[Step]:
    body: list[Step] = []
    index = 0
    for item in items:
        if isinstance(item, Event):
            body.append(item.fields)
        elif isinstance(item, Control):
            body.append(item)
        else:
            for block in item.blocks():
                start = {
                    "type": "content_block_start",
                    "index": index,
                    "content_block": block.start,
                }
                body.append(start)
                for delta in block.deltas:
                    if isinstance(delta, dict):
                        delta = {"type": "content_block_delta", "index": index, "delta": delta}
                    body.append(delta)
                body.append({"type": "content_block_stop", "index": index})
                index += 1
    return body


def is_token(step: Step) -> bool:
    """Whether the step is a delta that stands for one token of the model."""
    if not isinstance(step, dict) or step["type"] != "content_block_delta":
        return False
    field = _TOKEN_FIELDS.get(step["delta"]["type"])
    return field is not None and bool(step["delta"][field])


def encode(event: ApiObject) -> bytes:
    """The event as the API puts it on the wire: a server-sent event named after its type."""
    data = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    return f"event: {event['type']}\ndata: {data}\n\n".encode()


def message_of(events: Iterable[ApiObject]) -> ApiObject:
    """Folds a stream, its `message_start` filled in, into the message a plain request gets."""
    message: ApiObject = {}
    inputs: dict[int, str] = {}
    blocks: dict[int, ApiObject] = {}
    for event in events:
        match event["type"]:
            case "message_start":
                message = {**event["message"], "usage": dict(event["message"]["usage"])}
            case "content_block_start":
                blocks[event["index"]] = dict(event["content_block"])
            case "content_block_delta":
                _apply(blocks[event["index"]], event["delta"], inputs, event["index"])
            case "content_block_stop":
                if text := inputs.get(event["index"]):
                    blocks[event["index"]]["input"] = json.loads(text)
            case "message_delta":
                message.update(event["delta"])
                message["usage"].update(event["usage"])
    return {**message, "content": list(blocks.values())}


def _apply(block: ApiObject, delta: ApiObject, inputs: dict[int, str], index: int) -> None:
    match delta["type"]:
        case "text_delta" | "thinking_delta" as kind:
            block[_TOKEN_FIELDS[kind]] += delta[_TOKEN_FIELDS[kind]]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "compaction_delta":
            block["content"] = delta["content"]
        case "citations_delta":
            block["citations"] = [*block.get("citations", []), delta["citation"]]
        case "input_json_delta":
            inputs[index] = inputs.get(index, "") + delta["partial_json"]

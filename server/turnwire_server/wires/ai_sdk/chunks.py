"""A turn's events as chunks of the UI message stream. Pure: events in, chunks out.

The client folds the chunks into a message, and stumbles: over a chunk of a type it does not know, a
null, a delta without its start. Texts have ids of the turn's blocks, so that none comes twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from turnwire_protocol import (
    BlockStop,
    Done,
    Error,
    Event,
    Retry,
    Rewind,
    Sources,
    Step,
    StopReason,
    Thinking,
    Token,
    ToolApproval,
    ToolDecision,
    ToolExecuting,
    ToolInput,
    ToolProgress,
    ToolResult,
    ToolStart,
    Usage,
    text_of,
)
from turnwire_server.core.history.answer import parse_input
from turnwire_server.wires.ai_sdk.values import (
    NO_OBJECT,
    UNFINISHED,
    Json,
    Version,
    approval_data,
    metadata_of_end,
    output_of,
    source_url,
    usage_of,
)
from turnwire_server.wires.turn_reader import Ending, Heard

__all__ = ["Chunks"]

_FINISH_REASONS: dict[str, str] = {
    StopReason.END_TURN: "stop",
    StopReason.STOP_SEQUENCE: "stop",
    StopReason.MAX_TOKENS: "length",
    StopReason.MODEL_CONTEXT_WINDOW_EXCEEDED: "length",
    StopReason.REFUSAL: "content-filter",
}
_TOO_LATE = "The answer had ended before this arrived."
_CUT = "The answer cannot be read on now. It may go on: load the conversation again."


@dataclass(slots=True)
class _Call:
    name: str
    runs_on: str
    step: int
    pieces: list[str] = field(default_factory=list)
    input: Json | None = None
    """Set once it is complete, if it is one."""
    approval: ToolApproval | None = None
    is_decided: bool = False
    is_denied: bool = False
    has_result: bool = False

    @property
    def is_asked(self) -> bool:
        """Whether somebody was asked about it who has not answered."""
        return self.approval is not None and not self.is_decided


class Chunks:
    """The chunks of one request; feed it the events of its turn from the first one on.

    Of what the client had by an earlier request nothing is said again, but it is known.
    """

    def __init__(self, version: Version, conversation: str, turn: str) -> None:
        self._version = version
        self._conversation = conversation
        self._turn = turn
        self._open: dict[int, str] = {}
        """Texts without their end: block → the id of its part."""
        self._flowing: int | None = None
        """The text block that is complete, and whose part is open: where the model cites, a
        sentence is made of several blocks, and a page shows each part as a paragraph."""
        self._sources = Sources()
        self._cited: dict[int, int] = {}
        """The sources that the client has: number → step."""
        self._calls: dict[str, _Call] = {}
        """By tool_id."""
        self._inputs: dict[int, str] = {}
        """Calls whose input is not complete: block → tool_id."""
        self._to_run: dict[str, Json] = {}
        """Calls that the client is to run, of which it has not been told yet."""
        self._step = 0
        """How many steps the client sees."""
        self._has_begun = False
        self._is_continuation = False
        self._goes_on = False
        """Whether a step was told by this request."""
        self._error: Error | None = None

    def of(self, heard: Heard) -> list[Json]:
        """The chunks of the next event."""
        if not heard.is_new:
            self._is_continuation = True
            self._of(heard.event)
            # The client was told to run them, by the request before.
            self._to_run.clear()
            return []
        chunks = [] if self._has_begun else [self._start()]
        self._has_begun = True
        if isinstance(heard.event, Step):
            self._goes_on = True
        return chunks + self._of(heard.event)

    def caught_up(self) -> list[Json]:
        """Call when there is nothing more to read for now: which tools the client is to run.

        Not before: a page runs them when it is told, and in a replay they may have run already.
        """
        chunks = [self._input_available(id, input) for id, input in self._to_run.items()]
        self._to_run.clear()
        return chunks

    def end(self, ending: Ending) -> list[Json]:
        """The chunks behind the last event."""
        if ending is Ending.DONE:
            return []
        start = [] if self._has_begun else [self._start()]
        if ending is Ending.RESTING:
            finish = {"type": "finish", "finishReason": "tool-calls"}
            return [*start, *self.caught_up(), {"type": "finish-step"}, finish]
        return [*start, *self._closed(self._inputs.values()), {"type": "error", "errorText": _CUT}]

    def _start(self) -> Json:
        metadata = {"turnwire": {"conversation": self._conversation, "turn": self._turn}}
        return {"type": "start", "messageId": self._turn, "messageMetadata": metadata}

    def _of(self, event: Event) -> list[Json]:
        if self._flowing is not None and not isinstance(event, Token | BlockStop):
            return [self._text_end(self._flowing), *self._of(event)]
        match event:
            case Token():
                return self._text(event.block, "text", event.text)
            case Thinking():
                return self._text(event.block, "reasoning", event.text)
            case ToolInput():
                return self._tool_input(event)
            case Step():
                return self._next_step() if event.attempt == 1 else []
            case ToolStart():
                self._inputs[event.block] = event.tool_id
                self._calls[event.tool_id] = _Call(event.tool_name, event.runs_on, self._step)
                return [self._tool_chunk("tool-input-start", event.tool_id)]
            case BlockStop():
                return self._block_stop(event)
            case (
                ToolApproval() | ToolDecision() | ToolExecuting() | ToolProgress() | ToolResult()
            ) if event.tool_id not in self._calls:
                return []  # It is void.
            case ToolApproval():
                return self._approval(event)
            case ToolDecision():
                return self._decision(event)
            case ToolExecuting():
                return self._executing(event)
            case ToolProgress():
                data = {"toolCallId": event.tool_id, "message": event.message}
                told = data if event.fraction is None else {**data, "fraction": event.fraction}
                return [{"type": "data-tool-progress", "data": told, "transient": True}]
            case ToolResult():
                return self._result(event)
            case Usage():
                return [_metadata({"usage": usage_of(event)})]
            case Retry():
                return [_retry(event)]
            case Rewind():
                return self._rewind()
            case Error():
                self._error = event
                return []
            case Done():
                return self._done(event)
        return []

    # Texts

    def _text(self, block: int, kind: str, text: str) -> list[Json]:
        # The path of every token.
        if not text:
            return []
        id = self._open.get(block)
        if id is not None:
            return [{"type": f"{kind}-delta", "id": id, "delta": text}]
        if self._flowing is not None:
            id = self._open[block] = self._open.pop(self._flowing)
            self._flowing = None
            return [{"type": f"{kind}-delta", "id": id, "delta": text}]
        id = self._open[block] = f"{kind[0]}{block}"
        delta = {"type": f"{kind}-delta", "id": id, "delta": text}
        return [{"type": f"{kind}-start", "id": id}, delta]

    def _text_end(self, block: int) -> Json:
        id = self._open.pop(block)
        if block == self._flowing:
            self._flowing = None
        return {"type": "text-end" if id.startswith("t") else "reasoning-end", "id": id}

    def _block_stop(self, event: BlockStop) -> list[Json]:
        block = event.block
        if block in self._open and self._open[block].startswith("t"):
            self._flowing = block
            return self._source_chunks(event)
        if block in self._open:
            return [self._text_end(block)]
        id = self._inputs.pop(block, None)
        return [] if id is None else self._complete(id, self._calls[id])

    def _source_chunks(self, event: BlockStop) -> list[Json]:
        """Those that the client does not have. Documents without an address are told nowhere."""
        new = [each for each in self._sources.numbers(event.citations) if each not in self._cited]
        self._cited |= dict.fromkeys(new, self._step)
        return [source_url(each) for each in self._sources if each.number in new and each.url]

    # Tools

    def _tool_chunk(self, type: str, id: str) -> Json:
        call = self._calls[id]
        chunk: Json = {"type": type, "toolCallId": id, "toolName": call.name}
        if call.runs_on == "provider":
            chunk["providerExecuted"] = True
        return chunk

    def _input_available(self, id: str, input: Json) -> Json:
        return {**self._tool_chunk("tool-input-available", id), "input": input}

    def _tool_input(self, event: ToolInput) -> list[Json]:
        if not event.partial_json:
            return []
        if (call := self._calls.get(event.tool_id)) is not None:
            call.pieces.append(event.partial_json)
        delta = event.partial_json
        return [{"type": "tool-input-delta", "toolCallId": event.tool_id, "inputTextDelta": delta}]

    def _complete(self, id: str, call: _Call) -> list[Json]:
        call.input = parse_input("".join(call.pieces))
        if call.input is None:
            chunk = self._tool_chunk("tool-input-error", id)
            return [{**chunk, "input": "".join(call.pieces), "errorText": NO_OBJECT}]
        # The client runs it once the log says that it may.
        return [] if call.runs_on == "client" else [self._input_available(id, call.input)]

    def _approval(self, event: ToolApproval) -> list[Json]:
        self._calls[event.tool_id].approval = event
        if not self._version.has_approvals:
            return [approval_data(event, None)]
        id = event.tool_id
        return [{"type": "tool-approval-request", "approvalId": id, "toolCallId": id}]

    def _decision(self, event: ToolDecision) -> list[Json]:
        call = self._calls[event.tool_id]
        call.is_decided, call.is_denied = True, event.decision == "deny"
        if not self._version.has_approvals:
            return [] if call.approval is None else [approval_data(call.approval, event.decision)]
        return self._approval_response(event.tool_id, event.reason)

    def _approval_response(self, id: str, reason: str | None) -> list[Json]:
        if not self._version.has_resets:
            return []
        chunk: Json = {"type": "tool-approval-response", "approvalId": id}
        chunk["approved"] = not self._calls[id].is_denied
        return [chunk if reason is None else {**chunk, "reason": reason}]

    def _executing(self, event: ToolExecuting) -> list[Json]:
        call = self._calls[event.tool_id]
        if event.runs_on == "client":
            self._to_run[event.tool_id] = event.input
            return []
        is_edited, call.input = event.input != call.input, event.input
        return [self._input_available(event.tool_id, event.input)] if is_edited else []

    def _result(self, event: ToolResult) -> list[Json]:
        id, call = event.tool_id, self._calls[event.tool_id]
        call.has_result = True
        self._to_run.pop(id, None)
        answered: list[Json] = []
        if call.is_asked and event.is_error and self._version.has_resets:
            # Nobody answered, and it did not run. Without a no, a page goes on asking.
            call.is_denied = True
            answered = self._approval_response(id, text_of(event.content))
        if call.is_denied and self._version.has_approvals:
            return [*answered, {"type": "tool-output-denied", "toolCallId": id}]
        chunk: Json = {"toolCallId": id}
        if call.runs_on == "provider":
            chunk["providerExecuted"] = True
        if not event.is_error:
            output = output_of(event.content)
            return [{"type": "tool-output-available", **chunk, "output": output}]
        return [{"type": "tool-output-error", **chunk, "errorText": text_of(event.content)}]

    # Steps and ends

    def _next_step(self) -> list[Json]:
        finished = [{"type": "finish-step"}] if self._step else []
        self._step += 1
        return [*finished, {"type": "start-step"}]

    def _rewind(self) -> list[Json]:
        """The blocks of this step are void: a rewind goes back to the first of them."""
        if not self._version.has_resets:
            # Nothing can be taken back. It stays as a step of its own, whose calls are over.
            rewind: Json = {"type": "data-rewind", "data": {}, "transient": True}
            return [*self._closed(self._present()), *self._next_step(), rewind]
        for id in self._present():
            del self._calls[id]
        self._open, self._inputs, self._to_run, self._flowing = {}, {}, {}, None
        self._cited = {each: step for each, step in self._cited.items() if step != self._step}
        return [{"type": "reset-step"}]

    def _present(self) -> list[str]:
        """The calls of this step."""
        return [id for id, call in self._calls.items() if call.step == self._step]

    def _closed(self, calls: Iterable[str]) -> list[Json]:
        """What is open gets its end, and of these calls those that have no result."""
        texts = [self._text_end(block) for block in list(self._open)]
        open_calls = [id for id in calls if not self._calls[id].has_result]
        self._inputs, self._to_run = {}, {}
        return texts + [
            {"type": "tool-output-error", "toolCallId": id, "errorText": UNFINISHED}
            for id in open_calls
        ]

    def _done(self, event: Done) -> list[Json]:
        chunks = self._closed(self._present())
        metadata = metadata_of_end(event, self._error)
        if self._step:
            chunks.append({"type": "finish-step"})
        if event.stop_reason == StopReason.FAILED:
            text = "The answer failed." if self._error is None else self._error.message
            return [*chunks, _metadata(metadata), {"type": "error", "errorText": text}]
        if self._is_continuation and not self._goes_on:
            # A page that sees its calls complete and nothing else sends them again, for ever.
            return [*chunks, _metadata(metadata), {"type": "error", "errorText": _TOO_LATE}]
        if self._present():
            # The same page, where the answer ended at its tools: an empty step has none.
            chunks += [{"type": "start-step"}, {"type": "finish-step"}]
        if event.stop_reason == StopReason.CANCELLED:
            return [*chunks, _metadata(metadata), {"type": "abort", "reason": "cancelled"}]
        reason = _FINISH_REASONS.get(event.stop_reason, "other")
        if event.stop_reason == StopReason.INTERRUPTED and self._version.has_resets:
            reason = "interrupted"
        told = {"messageMetadata": {"turnwire": metadata}}
        return [*chunks, {"type": "finish", "finishReason": reason, **told}]


def _metadata(metadata: Json) -> Json:
    return {"type": "message-metadata", "messageMetadata": {"turnwire": metadata}}


def _retry(event: Retry) -> Json:
    data = {
        "attempt": event.attempt,
        "delaySeconds": event.delay_seconds,
        "code": event.code,
        "message": event.message,
    }
    return {"type": "data-retry", "data": data, "transient": True}

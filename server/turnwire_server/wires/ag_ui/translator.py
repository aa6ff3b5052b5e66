"""A turn's events as AG-UI's events (https://docs.ag-ui.com/concepts/events). Pure.

One translator for one request: AG-UI has a run for each, so that a turn which waits for a person
ends one run and goes on in the next. Within a run the clients check that all that was opened is
closed, and that nothing is opened twice.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from turnwire_protocol import (
    BlockStop,
    Event,
    FoldedTurn,
    Retry,
    Rewind,
    Step,
    StopReason,
    Thinking,
    Token,
    ToolDecision,
    ToolInput,
    ToolProgress,
    ToolResult,
    ToolStart,
    text_of,
)
from turnwire_server.wires.ag_ui.messages import (
    CUT_OFF,
    answer_messages,
    message_id,
    reasoning_id,
    result_id,
)
from turnwire_server.wires.ag_ui.run import Run, interrupt_of, usage_of
from turnwire_server.wires.chunk_stream import Chunk
from turnwire_server.wires.turn_reader import Ending, Heard

__all__ = ["Translator"]

_INTERRUPTED = "The answer was interrupted: ask again."


class Translator:
    """Feed it the events of one turn, from the first one on.

    `before` are the messages that the page has without those of this turn's answer. `given` are the
    calls whose results the page has given itself: it has these messages already.
    """

    def __init__(
        self, run: Run, turn: str, *, before: Sequence[Chunk], given: Iterable[str] = ()
    ) -> None:
        self._run = run
        self._folded = FoldedTurn(turn)
        # As JSON, a tenth of what the objects take: it is kept as long as the run, and rarely read.
        self._before = to_json(before)
        self._given = set(given)
        self._open: dict[int, ToolStart | type[Token] | type[Thinking]] = {}
        """The blocks that have begun in this run and are not complete."""
        self._texts: dict[int, int] = {}
        """By open text block: the first block of its message."""
        self._flowing: int | None = None
        """The first block of the message whose last block is complete. The next one goes on with
        it, if it is text, too: where the model cites, it splits sentences."""
        self._step: str | None = None

    def begin(self) -> list[Chunk]:
        """The run begins, where the page has nothing of the answer, or all up to here."""
        return [self._run.started()]

    def begin_anew(self, *, has_thought: bool) -> list[Chunk]:
        """The run begins, and all of the answer follows: what the page had of it goes first.

        `has_thought`: there is reasoning among that.
        """
        return [self._run.started(), self._snapshot(without_reasoning=has_thought)]

    def apply(self, heard: Heard) -> list[Chunk]:
        """What the page is told of the next event. The path of every token."""
        event = heard.event
        if heard.is_new and isinstance(event, Rewind):
            return self._rewind(event)
        self._folded.apply(event)
        return self._chunks(event) if heard.is_new else []

    def end(self, ending: Ending) -> list[Chunk]:
        """The run ends."""
        chunks = [chunk for block in list(self._open) for chunk in self._cut_off(block)]
        chunks += self._finish_text()
        chunks += self._finish_step()
        match ending:
            case Ending.CUT:
                chunks.append(_failed(StopReason.INTERRUPTED, _INTERRUPTED))
            case Ending.RESTING:
                chunks.append(self._run.finished(outcome=self._waits_for()))
            case Ending.DONE:
                chunks.append(self._done())
        return chunks

    def _chunks(self, event: Event) -> list[Chunk]:
        if self._flowing is not None and not isinstance(event, Token | BlockStop):
            return [*self._finish_text(), *self._chunks(event)]
        match event:
            case Token():
                return self._text(event)
            case Thinking():
                return self._thinking(event)
            case ToolInput():
                return self._input(event.block, event.tool_id, event.partial_json)
            case ToolStart():
                self._open[event.block] = event
                return [
                    {
                        "type": "TOOL_CALL_START",
                        "toolCallId": event.tool_id,
                        "toolCallName": event.tool_name,
                        "parentMessageId": message_id(event.turn, event.block),
                    }
                ]
            case BlockStop():
                return self._close(event.block)
            case ToolResult() if event.tool_id in self._results - self._given:
                return [_result(event.tool_id, text_of(event.content))]
            case Step():
                return self._begin_step(f"step {event.step}")
            case ToolDecision() | ToolProgress() | Retry():
                value = event.model_dump(
                    exclude={"conversation", "seq", "turn", "type"}, exclude_none=True
                )
                return [{"type": "CUSTOM", "name": f"turnwire.{event.type}", "value": value}]
            case _:
                return []

    # Blocks

    def _text(self, token: Token) -> list[Chunk]:
        # What is empty some clients of 0.x refuse.
        if not token.text:
            return []
        is_begun = token.block in self._open or self._flowing is not None
        if token.block not in self._open:
            self._open[token.block] = Token
            self._texts[token.block] = token.block if self._flowing is None else self._flowing
            self._flowing = None
        id = message_id(token.turn, self._texts[token.block])
        content = {"type": "TEXT_MESSAGE_CONTENT", "messageId": id, "delta": token.text}
        if is_begun:
            return [content]
        return [{"type": "TEXT_MESSAGE_START", "messageId": id, "role": "assistant"}, content]

    def _thinking(self, thinking: Thinking) -> list[Chunk]:
        if not thinking.text:
            return []
        id = reasoning_id(thinking.turn, thinking.block)
        content = {"type": "REASONING_MESSAGE_CONTENT", "messageId": id, "delta": thinking.text}
        if thinking.block in self._open:
            return [content]
        self._open[thinking.block] = Thinking
        return [
            {"type": "REASONING_START", "messageId": id},
            {"type": "REASONING_MESSAGE_START", "messageId": id, "role": "reasoning"},
            content,
        ]

    def _input(self, block: int, tool_id: str, delta: str) -> list[Chunk]:
        if not delta:
            return []
        return [{"type": "TOOL_CALL_ARGS", "toolCallId": tool_id, "delta": delta}]

    def _close(self, block: int) -> list[Chunk]:
        """Nothing more comes of the block. One of which nothing had come is none to the page."""
        match self._open.pop(block, None):
            case ToolStart() as call:
                has_input = any(one.text for one in self._folded.blocks if one.block == block)
                # The pages parse it, and nothing is no JSON.
                empty = [] if has_input else self._input(block, call.tool_id, "{}")
                return [*empty, {"type": "TOOL_CALL_END", "toolCallId": call.tool_id}]
            case None:
                return []
            case kind if kind is Token:
                self._flowing = self._texts.pop(block)
                return []
            case _:
                id = reasoning_id(self._folded.turn, block)
                return [
                    {"type": "REASONING_MESSAGE_END", "messageId": id},
                    {"type": "REASONING_END", "messageId": id},
                ]

    def _finish_text(self) -> list[Chunk]:
        first, self._flowing = self._flowing, None
        if first is None:
            return []
        return [{"type": "TEXT_MESSAGE_END", "messageId": message_id(self._folded.turn, first)}]

    def _cut_off(self, block: int) -> list[Chunk]:
        """The run ends before the block does."""
        call = self._open[block]
        chunks = self._close(block)
        if isinstance(call, ToolStart) and call.tool_id not in self._results:
            # CopilotKit runs every call of its tools that has no result when a run has ended.
            chunks.append(_result(call.tool_id, CUT_OFF))
        return chunks

    @property
    def _results(self) -> set[str]:
        """The calls that have one, and are not void."""
        calls = [block.tool for block in self._folded.blocks]
        return {call.tool_id for call in calls if call is not None and call.result is not None}

    def _rewind(self, rewind: Rewind) -> list[Chunk]:
        void = [block for block in self._folded.blocks if block.block >= rewind.block]
        chunks = [chunk for block in list(self._open) for chunk in self._close(block)]
        chunks += self._finish_text()
        self._folded.apply(rewind)
        has_thought = any(block.type == "thinking" and block.text for block in void)
        return [*chunks, self._snapshot(without_reasoning=has_thought)]

    def _snapshot(self, *, without_reasoning: bool) -> Chunk:
        """All messages as they are now; `without_reasoning`: some that the page has is void."""
        messages = [*from_json(self._before), *answer_messages(self._folded)]
        if without_reasoning and all(message.get("role") != "reasoning" for message in messages):
            # The clients keep all the reasoning they have where a snapshot has none.
            id = f"{self._folded.turn}.thinking"
            messages.append({"id": id, "role": "reasoning", "content": ""})
        return {"type": "MESSAGES_SNAPSHOT", "messages": messages}

    # Steps and ends

    def _begin_step(self, name: str) -> list[Chunk]:
        if name == self._step:
            return []  # Another attempt.
        finished = self._finish_step()
        self._step = name
        return [*finished, {"type": "STEP_STARTED", "stepName": name}]

    def _finish_step(self) -> list[Chunk]:
        name, self._step = self._step, None
        return [] if name is None else [{"type": "STEP_FINISHED", "stepName": name}]

    def _waits_for(self) -> Chunk:
        """Whose move it is: a person's, who is asked, or the page's, whose tools are to run."""
        calls = [block.tool for block in self._folded.blocks if block.tool is not None]
        interrupts = [interrupt_of(call) for call in calls if call.state == "waiting"]
        if interrupts:
            return {"type": "interrupt", "interrupts": interrupts}
        if self._run.version is None:
            return {"type": "success"}
        pending = [call.tool_id for call in calls if call.state == "executing"]
        return {"type": "success", "pendingToolCallIds": pending}

    def _done(self) -> Chunk:
        done, error = self._folded.done, self._folded.error
        if done is None:
            return _failed(StopReason.INTERRUPTED, _INTERRUPTED)
        usage = usage_of(done.usage, self._folded.model)
        summed = {} if self._run.version is None else {"usage": [usage]}
        if done.stop_reason == StopReason.INTERRUPTED:
            return _failed(StopReason.INTERRUPTED, _INTERRUPTED, **summed)
        if done.stop_reason == StopReason.FAILED:
            code, message = (error.code, error.message) if error else ("failed", "It failed.")
            return _failed(code, message, **summed)
        result: Chunk = {
            "conversation": done.conversation,
            "turn": done.turn,
            "stopReason": done.stop_reason,
            "usage": usage,
        }
        if done.cost_usd is not None:
            result["costUsd"] = done.cost_usd
        outcome = {"outcome": {"type": "success"}}
        if done.stop_reason == StopReason.CANCELLED:
            outcome = {} if self._run.version is None else {"outcome": {"type": "cancelled"}}
        return self._run.finished(result=result, **outcome, **summed)


def _result(tool_id: str, content: str) -> Chunk:
    return {
        "type": "TOOL_CALL_RESULT",
        "messageId": result_id(tool_id),
        "toolCallId": tool_id,
        "content": content,
        "role": "tool",
    }


def _failed(code: str, message: str, **more: Any) -> Chunk:
    return {"type": "RUN_ERROR", "message": message, "code": code, **more}

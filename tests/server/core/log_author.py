"""Writes logs for tests as turns would, from the simulator's scripts; knows no turn and no loop."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from turnwire_protocol import (
    BlockStop,
    Done,
    Message,
    Retract,
    Rewind,
    Start,
    Step,
    Thinking,
    Token,
    ToolInput,
    ToolResult,
    ToolStart,
    TotalUsage,
    Usage,
)
from turnwire_server.core.log.items import DeltaType, Item
from turnwire_server.core.log.memory_log import MemoryLog
from turnwire_server.model.decoder import Decoder
from turnwire_server.model.port import (
    BlockEnd,
    Part,
    TextPart,
    ThinkingPart,
    ToolInputPart,
    ToolPart,
    ToolResultPart,
    UsagePart,
)
from turnwire_simulator import Answer

__all__ = ["Author", "parts_of"]

CONVERSATION = "c_1"
AT = "2026-11-20T12:00:00Z"


def parts_of(events: Iterable[dict[str, Any]]) -> list[Part]:
    """What the decoder makes of API events that may end early."""
    decoder = Decoder()
    parts: list[Part] = []
    for event in events:
        if event["type"] == "message_start":
            event = {**event, "message": {"usage": {}, **event["message"]}}
        parts += decoder.feed(event)
    return parts


@dataclass
class Author:
    """One log; every method appends to it."""

    log: MemoryLog
    turn: str = ""
    step_number: int = 0
    attempt: int = 0
    first_block: int = 0
    next_block: int = 0
    is_void: bool = False
    """The attempt failed: the next one rewinds before it speaks."""

    @classmethod
    def new(cls) -> "Author":
        """An author of an empty log."""
        return cls(MemoryLog(CONVERSATION))

    def write(
        self, type: type[Any], *, private: dict[str, Any] | None = None, **fields: Any
    ) -> None:
        """Any event of the turn."""
        head = {"conversation": CONVERSATION, "seq": self.log.head + 1, "turn": self.turn}
        self.log.append(type(**head, at=AT, **fields), private)

    def ask(self, turn: str, content: Any = "Hello") -> None:
        """A user's message whose turn begins."""
        fresh = replace(Author(self.log), turn=turn)
        self.__dict__.update(fresh.__dict__)
        self.write(Message, content=content)
        self.write(Start, model="claude-simulated-opus")

    def step(self, *, private: dict[str, Any] | None = None) -> None:
        """The next call of the model begins."""
        self.step_number, self.attempt, self.first_block = self.step_number + 1, 1, self.next_block
        self._step(private)

    def retry(self) -> None:
        """The attempt has failed; the next one begins."""
        self.attempt += 1
        self.is_void = self.next_block > self.first_block
        self._step()

    def _step(self, private: dict[str, Any] | None = None) -> None:
        self.write(
            Step,
            private=private,
            step=self.step_number,
            attempt=self.attempt,
            model="claude-simulated-opus",
        )

    def answer(self, answer: Answer, *, events: int | None = None) -> None:
        """The answer of this attempt, or only the first so many API events of it."""
        for part in parts_of(answer.events()[:events]):
            self._take(part)

    def _take(self, part: Part) -> None:
        if isinstance(part, UsagePart):
            self.write(
                Usage,
                private={"container": part.container} if part.container else None,
                step=self.step_number,
                attempt=self.attempt,
                input_tokens=part.input_tokens,
                output_tokens=part.output_tokens,
                cache_read_input_tokens=part.cache_read_input_tokens,
                cache_creation_input_tokens=part.cache_creation_input_tokens,
            )
            return
        if self.is_void:
            self.write(Rewind, block=self.first_block)
            self.is_void, self.next_block = False, self.first_block
        block = self.first_block + getattr(part, "index", -1)
        self.next_block = max(self.next_block, block + 1)
        match part:
            case TextPart():
                self._delta(Token, block, part.text)
            case ThinkingPart():
                self._delta(Thinking, block, part.text)
            case ToolInputPart():
                self._delta(ToolInput, block, part.partial_json, tool_id=part.tool_id)
            case ToolPart():
                named: dict[str, Any] = {"tool_id": part.tool_id, "tool_name": part.name}
                self.write(ToolStart, block=block, **named, runs_on=part.runs_on)
            case ToolResultPart():
                self.result(part.tool_id, part.text, is_error=part.is_error)
            case BlockEnd():
                self.write(BlockStop, private=part.raw, block=block)

    def _delta(self, type: DeltaType, block: int, text: str, *, tool_id: str | None = None) -> None:
        self.log.append_delta(type, self.turn, block, text, tool_id=tool_id)

    def result(self, tool_id: str, content: Any = "ok", *, is_error: bool = False) -> None:
        """A tool's result."""
        self.write(ToolResult, tool_id=tool_id, content=content, is_error=is_error, duration_ms=1)

    def done(self, stop_reason: str = "end_turn") -> None:
        """The turn's end."""
        usage = TotalUsage()
        self.write(
            Done, stop_reason=stop_reason, usage=usage, steps=self.step_number, duration_ms=1
        )

    def retract(self, from_turn: str) -> None:
        """That turn and all after it are void."""
        self.write(Retract, from_turn=from_turn)

    def items(self, upto: int | None = None) -> list[Item]:
        """The log, merged, up to that seq."""
        return self.log.read(0, self.log.head if upto is None else upto)

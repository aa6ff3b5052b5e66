"""Writes the model's answer into the log, part by part, over the steps and attempts of one turn."""

import time

from turnwire_protocol import BlockStop, Compaction, Rewind, Thinking, Token, ToolInput, Usage
from turnwire_server.core.log.items import DeltaType, Private
from turnwire_server.core.telemetry import Tally, TurnWatch
from turnwire_server.core.turn.tool_calls import ToolCalls
from turnwire_server.core.turn.usage import UsageMeter
from turnwire_server.core.turn.writer import TurnWriter
from turnwire_server.model.port import (
    BlockEnd,
    CompactionPart,
    FallbackPart,
    Part,
    Stop,
    TextPart,
    ThinkingPart,
    ToolInputPart,
    ToolPart,
    ToolResultPart,
    UsagePart,
)

__all__ = ["AnswerWriter"]


class AnswerWriter:
    """Numbers the blocks of a turn, and rewinds those of an attempt that failed."""

    def __init__(
        self,
        writer: TurnWriter,
        calls: ToolCalls,
        meter: UsageMeter,
        watch: TurnWatch,
        tally: Tally,
    ) -> None:
        self.first_delta: float | None = None
        """When the first text came (monotonic seconds)."""
        self._writer = writer
        self._calls = calls
        self._meter = meter
        self._watch = watch
        self._tally = tally
        self._is_silent = True
        """Whether the attempt has brought no delta yet."""
        self._step = 0
        self._attempt = 0
        self._first_block = 0
        """Of the step."""
        self._next_block = 0
        self._is_void = False
        """Whether blocks of the failed attempt are to be rewound before the next one is written."""
        self._window: int | None = None
        self._compacts = False

    def begin(self, *, step: int, attempt: int, window: int | None, compacts: bool = False) -> None:
        """The next attempt begins: of this step, or of a new one.

        `window`: of its model, where known; `compacts`: it only summarises older messages.
        """
        if step != self._step:
            self._first_block = self._next_block
        self._step, self._attempt, self._is_silent = step, attempt, True
        self._window, self._compacts = window, compacts
        self._is_void = not self.is_empty

    @property
    def is_empty(self) -> bool:
        """Whether the step has brought no block so far."""
        return self._next_block == self._first_block

    def take(self, part: Part) -> None:
        """Write the event of the next part of the answer. The path of every token."""
        if isinstance(part, UsagePart):
            self._count(part)
            return
        if self._is_void:
            # Not before: the text of the failed attempt stays visible until the new one speaks.
            self._rewind()
        if isinstance(part, Stop):
            return
        block = self._first_block + part.index
        if block >= self._next_block:
            self._next_block = block + 1
        match part:
            case TextPart():
                self._write_delta(Token, block, part.text)
            case ThinkingPart():
                self._write_delta(Thinking, block, part.text)
            case ToolInputPart():
                tool_id = self._calls.append_input(part, block)
                self._write_delta(ToolInput, block, part.partial_json, tool_id=tool_id)
            case ToolPart():
                self._calls.announce(part, block)
            case ToolResultPart():
                self._calls.provide(part)
            case FallbackPart():
                self._calls.give_up(self._first_block)
            case BlockEnd():
                self._calls.complete(block)
                stop = BlockStop(**self._writer.place(), block=block, citations=part.citations)
                self._writer.write(stop, part.raw)
            case CompactionPart():
                self._compact(part, block, {"raw": part.raw})

    def summarise(self, part: CompactionPart, private: Private) -> None:
        """Write what a step gave that only summarises; `private`: see `History.older`."""
        block, self._next_block = self._next_block, self._next_block + 1
        self._compact(part, block, {"raw": part.raw, **private})

    def _compact(self, part: CompactionPart, block: int, private: Private) -> None:
        event = Compaction(**self._writer.place(), block=block, summary=part.summary)
        self._writer.write(event, private)

    def _rewind(self) -> None:
        block = self._first_block
        self._writer.write(Rewind(**self._writer.place(), block=block))
        self._next_block, self._is_void = block, False
        self._calls.rewind(block)

    def _write_delta(
        self, type: DeltaType, block: int, text: str, *, tool_id: str | None = None
    ) -> None:
        if self._is_silent:
            self._is_silent = False
            self._watch.speak()
            if self.first_delta is None:
                self.first_delta = time.monotonic()
        length = len(text)
        self._meter.stream(length)
        self._tally.output_chars += length
        self._writer.write_delta(type, block, text, tool_id=tool_id)

    def _count(self, counts: UsagePart) -> None:
        self._meter.count(counts)
        if counts.response is not None:
            self._watch.respond(counts.response)
        usage = Usage(
            **self._writer.place(),
            step=self._step,
            attempt=self._attempt,
            input_tokens=counts.input_tokens,
            output_tokens=counts.output_tokens,
            cache_read_input_tokens=counts.cache_read_input_tokens,
            cache_creation_input_tokens=counts.cache_creation_input_tokens,
            cache_creation_1h_input_tokens=counts.cache_creation_1h_input_tokens or None,
            thinking_tokens=counts.thinking_tokens or None,
            web_fetch_requests=counts.web_fetch_requests or None,
            web_search_requests=counts.web_search_requests or None,
            model=counts.model,
            service_tier=counts.service_tier,
            iterations=list(counts.iterations) or None,
            context_tokens=None if self._compacts else counts.context_tokens,
            context_window=None if self._compacts else self._window,
        )
        self._writer.write(usage, {"container": counts.container} if counts.container else None)

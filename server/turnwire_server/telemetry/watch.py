"""The watch of a turn: its events, folded into attempts and runs of tools, for all observers.

An observer that fails is left out of the rest of the turn, which must not suffer for it.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from turnwire_protocol import (
    Done,
    Error,
    Event,
    Retry,
    Rewind,
    Step,
    ToolApproval,
    ToolDecision,
    ToolExecuting,
    ToolResult,
    ToolStart,
    Usage,
)
from turnwire_server.core.telemetry import NO_TELEMETRY, Aside, TurnNames, TurnWatch
from turnwire_server.errors import ModelError
from turnwire_server.model.port import ApiMessage, ModelRequest, ResponseNames
from turnwire_server.telemetry.observer import Attempt, Observer, ToolRun, TurnObserver, Words

__all__ = ["Watching"]

logger = logging.getLogger(__name__)


class Watching:
    """`Telemetry` for any number of observers; a turn that none observes is not watched."""

    def __init__(self) -> None:
        self._observers: list[Observer] = []

    def add(self, observer: Observer) -> None:
        """Have it observe the turns that come."""
        self._observers.append(observer)

    def turn(self, names: TurnNames) -> TurnWatch:
        """See `Telemetry.turn`."""
        observers = []
        for observer in self._observers:
            try:
                of_turn = observer.turn(names)
            except Exception:
                # Boundary: see above.
                logger.exception("an observer fails")
                continue
            if of_turn is not None:
                observers.append(of_turn)
        return _Watch(observers) if observers else NO_TELEMETRY.turn(names)

    def aside(self, aside: Aside) -> None:
        """See `Telemetry.aside`."""
        attempt = Attempt(
            step=1,
            attempt=1,
            model=aside.model,
            began=aside.began,
            usage=aside.usage,
            output_tokens=0 if aside.usage is None else aside.usage.output_tokens,
            stop_reason=aside.stop_reason,
            code=aside.code,
            ended=time.monotonic(),
        )
        for observer in self._observers:
            try:
                observer.aside(aside.conversation, attempt)
            except Exception:
                # Boundary: see above.
                logger.exception("an observer fails")


class _Watch:
    """See `TurnWatch`."""

    def __init__(self, observers: list[TurnObserver]) -> None:
        self._observers = observers
        self._attempt: Attempt | None = None
        """The one that is under way."""
        self._tools: dict[str, ToolRun] = {}
        """Those without a result."""
        self._output_tokens = 0
        """Of the attempts that are over."""
        self._is_rough = False
        """Whether one of them failed before its counts were final."""
        self._failure: tuple[str, Words | None] | None = None

    def _tell(self, tell: Callable[[TurnObserver], None]) -> None:
        for observer in list(self._observers):
            try:
                tell(observer)
            except Exception:
                # Boundary: see above.
                logger.exception("an observer fails")
                self._observers.remove(observer)

    def see(self, event: Event, private: Mapping[str, object] | None) -> None:
        """See `TurnWatch.see`."""
        match event:
            case Step():
                attempt = Attempt(
                    step=event.step,
                    attempt=event.attempt,
                    model=event.model,
                    began=time.monotonic(),
                )
                self._attempt = attempt
                self._tell(lambda observer: observer.begin_attempt(attempt))
            case Usage():
                if self._attempt is not None:
                    self._attempt.usage = event
                    self._attempt.output_tokens = event.output_tokens
            case Retry():
                if (failed := self._attempt) is not None:
                    failed.code, failed.words = event.code, _words(private)
                    self._is_rough |= failed.usage is not None
                    self._end_attempt(failed)
                    self._tell(lambda observer: observer.retry(failed, event.delay_seconds))
            case Rewind():
                self._tell(lambda observer: observer.rewind())
            case ToolStart():
                self._tools[event.tool_id] = ToolRun(
                    tool_id=event.tool_id, name=event.tool_name, runs_on=event.runs_on
                )
            case ToolApproval() | ToolDecision() | ToolExecuting() | ToolResult():
                if (tool := self._tools.get(event.tool_id)) is not None:
                    self._see_tool(tool, event)
            case Error():
                self._failure = event.code, _words(private)
            case Done():
                self._end(event)

    def _see_tool(
        self, tool: ToolRun, event: ToolApproval | ToolDecision | ToolExecuting | ToolResult
    ) -> None:
        match event:
            case ToolApproval():
                tool.asked = time.monotonic()
                self._tell(lambda observer: observer.ask_for_tool(tool))
            case ToolDecision():
                tool.decision = event.decision
                self._decided(tool)
            case ToolExecuting():
                tool.input, tool.began = event.input, time.monotonic()
                self._tell(lambda observer: observer.begin_tool(tool))
            case ToolResult():
                del self._tools[tool.tool_id]
                if tool.asked is not None:
                    self._decided(tool)
                tool.ended, tool.is_error = time.monotonic(), event.is_error
                tool.content = event.content
                self._tell(lambda observer: observer.end_tool(tool))

    def _decided(self, tool: ToolRun) -> None:
        assert tool.asked is not None, "the log asks before it decides"
        waited, tool.asked = time.monotonic() - tool.asked, None
        self._tell(lambda observer: observer.decide(tool, waited))

    def _end_attempt(self, attempt: Attempt) -> None:
        self._attempt = None
        self._output_tokens += attempt.output_tokens
        attempt.ended = time.monotonic()
        self._tell(lambda observer: observer.end_attempt(attempt))

    def _end(self, done: Done) -> None:
        code, words = self._failure or (None, None)
        if (attempt := self._attempt) is not None:
            attempt.code, attempt.words = code, words
            # The turn's own estimate, as far as it is this attempt's.
            more = done.usage.output_tokens - self._output_tokens
            if more > attempt.output_tokens and not self._is_rough:
                attempt.output_tokens, attempt.is_estimate = more, True
            self._end_attempt(attempt)
        seconds = done.duration_ms / 1000  # Of one that is recovered, too.
        self._tell(lambda observer: observer.end(done, code, seconds))

    def ask(self, request: ModelRequest) -> AbstractContextManager[None]:
        """See `TurnWatch.ask`."""
        if (attempt := self._attempt) is None:
            return nullcontext()
        attempt.request = request
        return self._within(lambda observer: observer.attempt_context(attempt))

    def respond(self, response: ResponseNames) -> None:
        """See `TurnWatch.respond`."""
        if self._attempt is not None:
            self._attempt.response = response

    def speak(self) -> None:
        """See `TurnWatch.speak`."""
        if self._attempt is not None:
            self._attempt.first_delta = time.monotonic()

    def answer(self, stop_reason: str, said: Callable[[], list[ApiMessage]]) -> None:
        """See `TurnWatch.answer`."""
        if (attempt := self._attempt) is not None:
            attempt.stop_reason, attempt.said = stop_reason, said
            self._end_attempt(attempt)
            attempt.said = None  # It holds the turn.

    def fail(self, error: ModelError) -> None:
        """See `TurnWatch.fail`."""
        if (attempt := self._attempt) is not None:
            attempt.code, attempt.words = error.code, _words(error.private)
            self._is_rough |= attempt.usage is not None
            self._end_attempt(attempt)

    def detach(self) -> None:
        """See `TurnWatch.detach`."""
        self._tell(lambda observer: observer.detach())

    def run(self, tool_id: str) -> AbstractContextManager[None]:
        """See `TurnWatch.run`."""
        if (tool := self._tools.get(tool_id)) is None:
            return nullcontext()
        return self._within(lambda observer: observer.tool_context(tool))

    @contextmanager
    def _within(
        self, context: Callable[[TurnObserver], AbstractContextManager[None]]
    ) -> Iterator[None]:
        with ExitStack() as stack:
            self._tell(lambda observer: stack.enter_context(context(observer)))
            yield

    def ids(self) -> Mapping[str, str]:
        """See `TurnWatch.ids`."""
        found: dict[str, str] = {}
        self._tell(lambda observer: found.update(observer.ids()))
        return found


def _words(private: Mapping[str, object] | None) -> Words | None:
    words = private.get("provider") if private is not None else None
    return words if isinstance(words, dict) else None

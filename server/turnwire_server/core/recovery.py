"""Recovery: the events that a log lacks because its process died. A pure fold over its items."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from turnwire_protocol import (
    BlockStop,
    Done,
    Event,
    Message,
    Rewind,
    Step,
    StopReason,
    ToolResult,
    ToolStart,
    Usage,
)
from turnwire_server.core.log.items import DeltaRun, Item, Place
from turnwire_server.core.turn.tool_calls import unfinished_result
from turnwire_server.core.turn.usage import PriceOf, UsageMeter, counts_of

__all__ = ["Recovery"]


@dataclass(slots=True)
class _Trace:
    """What `missing` needs to know of an unfinished turn."""

    began: str
    last: str
    step: int = 0
    counted: tuple[int, int, str | None] | None = None
    meter: UsageMeter = field(default_factory=UsageMeter)
    calls: dict[str, int] = field(default_factory=dict)
    """Block of each call without a result."""
    complete: set[int] = field(default_factory=set)

    def apply(self, item: Item) -> None:
        if isinstance(item, DeltaRun):
            self.meter.stream(sum(map(len, item.texts)))
            return
        event = item.event
        self.last = getattr(event, "at", self.last)
        match event:
            case Step():
                self.step = event.step
                self.meter.begin(event.model)
            case Usage():
                # An attempt counts twice: at its start, and finally at its end. In between it
                # does where another model goes on.
                attempt = (event.step, event.attempt, event.model)
                self.meter.count(counts_of(event, final=self.counted == attempt))
                self.counted = attempt
            case ToolStart():
                self.calls[event.tool_id] = event.block
            case ToolResult():
                self.calls.pop(event.tool_id, None)
            case BlockStop():
                self.complete.add(event.block)
            case Rewind():
                self.calls = {id: b for id, b in self.calls.items() if b < event.block}
                self.complete = {block for block in self.complete if block < event.block}


class Recovery:
    """Feed it a whole log; then `missing` says what to append."""

    def __init__(self, price_of: PriceOf = lambda model: None) -> None:
        self._price_of = price_of
        self._traces: dict[str, _Trace] = {}

    def apply(self, item: Item) -> None:
        """Take in the next item of the log."""
        if not isinstance(item, DeltaRun) and isinstance(item.event, Message):
            self._traces[item.turn] = _Trace(began=item.event.at, last=item.event.at)
        elif not isinstance(item, DeltaRun) and isinstance(item.event, Done):
            self._traces.pop(item.turn, None)
        elif trace := self._traces.get(item.turn):
            trace.apply(item)

    def missing(self, place: Callable[[str], Place]) -> Iterator[Event]:
        """The events that end the unfinished turns, in order.

        `place` gives where the next event of a turn stands: write each before asking for the next.
        """
        for turn, trace in self._traces.items():
            for tool_id, block in trace.calls.items():
                if block in trace.complete:
                    yield ToolResult(
                        **place(turn),
                        tool_id=tool_id,
                        content=unfinished_result(StopReason.INTERRUPTED),
                        is_error=True,
                        duration_ms=0,
                    )
            yield Done(
                **place(turn),
                stop_reason=StopReason.INTERRUPTED,
                usage=trace.meter.total(),
                steps=trace.step,
                duration_ms=_milliseconds(trace.began, trace.last),
                cost_usd=trace.meter.cost_usd(self._price_of),
            )


def _milliseconds(began: str, last: str) -> int:
    # The wall clock may have been set back in between.
    between = datetime.fromisoformat(last) - datetime.fromisoformat(began)
    return max(round(between.total_seconds() * 1000), 0)

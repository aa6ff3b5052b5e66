"""The tool calls of one turn: announced, completed, run, answered.

Every complete call gets exactly one result, whatever happens to its turn.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from turnwire_protocol import ToolExecuting, ToolProgress, ToolResult, ToolStart
from turnwire_server.core.answer import parse_input
from turnwire_server.core.endings import unfinished_result
from turnwire_server.model.port import ToolInputPart, ToolPart, ToolResultPart
from turnwire_server.tools.tool import ToolContext
from turnwire_server.tools.toolset import Outcome, Toolset

__all__ = ["Calls", "Write"]

_PROGRESS_INTERVAL_SECONDS = 0.1
_PROGRESS_CHARS = 1000


class Write(Protocol):
    """Append an event of the turn to the log; nothing happens once the turn is done."""

    def __call__(
        self, type: type[Any], *, private: dict[str, Any] | None = None, **fields: Any
    ) -> None: ...


@dataclass(slots=True)
class _Call:
    block: int
    tool_id: str
    name: str
    runs_on: str
    started: float
    pieces: list[str] = field(default_factory=list)
    is_complete: bool = False
    has_result: bool = False
    reported: float = float("-inf")
    """When it last reported progress."""


class Calls:
    """Keeps the calls of a turn and runs those that run in the server."""

    def __init__(
        self,
        write: Write,
        *,
        toolset: Toolset,
        context: Callable[[str, Callable[[str, float | None], None]], ToolContext],
    ) -> None:
        self._write = write
        self._toolset = toolset
        self._context = context
        """(tool_id, report) → what the tool is told of its call."""
        self._calls: dict[str, _Call] = {}

    def announce(self, part: ToolPart, block: int) -> None:
        """The model named a tool."""
        call = _Call(block, part.tool_id, part.name, part.runs_on, started=time.monotonic())
        self._calls[part.tool_id] = call
        self._write(
            ToolStart,
            block=block,
            tool_id=part.tool_id,
            tool_name=part.name,
            runs_on=part.runs_on,
        )

    def append_input(self, part: ToolInputPart) -> None:
        """A piece of a call's input."""
        if call := self._calls.get(part.tool_id):
            call.pieces.append(part.partial_json)

    def complete(self, block: int) -> None:
        """The block is complete; if it is a call, so is its input."""
        for call in self._calls.values():
            if call.block == block:
                call.is_complete = True

    def provide(self, part: ToolResultPart) -> None:
        """The provider ran its own tool."""
        if call := self._calls.get(part.tool_id):
            self._result(call, Outcome(part.text, is_error=part.is_error))

    def rewind(self, block: int) -> None:
        """The calls from `block` on are void."""
        self._calls = {id: call for id, call in self._calls.items() if call.block < block}

    def end(self, stop_reason: str) -> None:
        """The turn ends: what is unfinished gets an error result."""
        for call in self._calls.values():
            if call.is_complete:
                self._result(call, Outcome(unfinished_result(stop_reason), is_error=True))

    async def run(self) -> None:
        """Run all calls that wait, at once, and return when each has its result."""
        waiting = [
            call
            for call in self._calls.values()
            if call.is_complete and not call.has_result and call.runs_on != "provider"
        ]
        async with asyncio.TaskGroup() as group:
            for call in waiting:
                group.create_task(self._run(call), name=f"tool {call.name}")

    async def _run(self, call: _Call) -> None:
        input = parse_input("".join(call.pieces))
        call.started = time.monotonic()
        problem = self._toolset.problem(call.name, input)
        if problem is not None or input is None:
            self._result(call, Outcome(problem or "", is_error=True))
            return
        self._write(
            ToolExecuting,
            tool_id=call.tool_id,
            tool_name=call.name,
            input=input,
            runs_on="server",
        )
        context = self._context(call.tool_id, self._reporter(call))
        self._result(call, await self._toolset.run(call.name, input, context))

    def _reporter(self, call: _Call) -> Callable[[str, float | None], None]:
        loop = asyncio.get_running_loop()

        def report(message: str, fraction: float | None) -> None:
            # Tools report from threads of their own, too.
            loop.call_soon_threadsafe(self._progress, call, message, fraction)

        return report

    def _progress(self, call: _Call, message: str, fraction: float | None) -> None:
        now = time.monotonic()
        if call.has_result or now - call.reported < _PROGRESS_INTERVAL_SECONDS:
            return
        call.reported = now
        # Tools are foreign code: what they say may be no text, no number, or out of range.
        text = str(message)[:_PROGRESS_CHARS].encode(errors="replace").decode()
        is_number = isinstance(fraction, int | float) and math.isfinite(fraction)
        bounded = min(max(fraction, 0.0), 1.0) if fraction is not None and is_number else None
        self._write(ToolProgress, tool_id=call.tool_id, message=text, fraction=bounded)

    def _result(self, call: _Call, outcome: Outcome) -> None:
        if call.has_result:
            return
        call.has_result = True
        self._write(
            ToolResult,
            tool_id=call.tool_id,
            content=outcome.content,
            is_error=outcome.is_error,
            duration_ms=round((time.monotonic() - call.started) * 1000),
        )

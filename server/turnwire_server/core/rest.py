"""Rest: whether a turn waits for somebody outside, and for nothing else. A pure fold over events.

A turn rests while each tool call of its step waits for a decision, runs in a client, or is done,
and at least one is not done. Nothing of it happens in the server then: that nobody reads does not
count, and a client that cannot stay connected may go away and come back with the answer.
"""

from enum import Enum, auto

from turnwire_protocol import (
    BlockStop,
    Done,
    Event,
    Rewind,
    ToolApproval,
    ToolDecision,
    ToolExecuting,
    ToolResult,
    ToolStart,
)

__all__ = ["Rest"]


class _Waits(Enum):
    FOR_US = auto()
    FOR_THEM = auto()


class Rest:
    """Feed it the events of one turn, in order; deltas may be left out."""

    def __init__(self) -> None:
        self._announced: dict[int, str] = {}
        """Calls whose input is not complete: block → tool_id. The model still speaks."""
        self._calls: dict[str, _Waits] = {}
        """Complete calls without a result."""
        self._blocks: dict[str, int] = {}

    def apply(self, event: Event) -> None:
        """Take in the next event of the turn."""
        match event:
            case ToolStart() if event.runs_on != "provider":
                self._announced[event.block] = event.tool_id
                self._blocks[event.tool_id] = event.block
            case BlockStop() if (tool_id := self._announced.pop(event.block, None)) is not None:
                self._calls[tool_id] = _Waits.FOR_US
            case ToolApproval():
                self._calls[event.tool_id] = _Waits.FOR_THEM
            case ToolDecision():
                self._calls[event.tool_id] = _Waits.FOR_US
            case ToolExecuting():
                is_theirs = event.runs_on == "client"
                self._calls[event.tool_id] = _Waits.FOR_THEM if is_theirs else _Waits.FOR_US
            case ToolResult():
                self._calls.pop(event.tool_id, None)
            case Rewind():
                self._announced = {b: id for b, id in self._announced.items() if b < event.block}
                self._calls = {
                    id: waits for id, waits in self._calls.items() if self._blocks[id] < event.block
                }
            case Done():
                self._calls.clear()

    @property
    def is_resting(self) -> bool:
        """Whether everything that is left to do is up to somebody outside."""
        waits = self._calls.values()
        return bool(waits) and not self._announced and _Waits.FOR_US not in waits

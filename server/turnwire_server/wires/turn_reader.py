"""Reading one turn for one request: until it is done, or until it is the other end's move."""

from collections.abc import AsyncIterator, Collection, Sequence
from enum import Enum, auto
from typing import NamedTuple

from turnwire_protocol import Done, Event, ToolDecision, ToolResult
from turnwire_server.core.log.follower import Follower
from turnwire_server.core.rest import Rest

__all__ = ["Ending", "Heard", "TurnReader"]


class Ending(Enum):
    """Why there is nothing more to read."""

    DONE = auto()
    """The turn's `done` was the last event."""
    RESTING = auto()
    """It waits for decisions and for tools that run in the client: the next request brings them."""
    CUT = auto()
    """The log ended before the turn did: the service stops, or the conversation was deleted."""


class Heard(NamedTuple):
    """An event of the turn."""

    event: Event
    is_new: bool
    """Whether the client is to be told; it has had the others by an earlier request."""


class TurnReader:
    """The events of a turn, from its first one on.

    `answered` are the tool calls that this request answers: the client has had all that came before
    the log says so. None: it has had nothing.
    """

    def __init__(
        self, follower: Follower, turn: str, *, answered: Collection[str] | None = None
    ) -> None:
        self.ending = Ending.CUT
        """Valid once `read` has ended."""
        self._follower = follower
        self._turn = turn
        self._answered = answered
        self._is_new = answered is None
        self._rest = Rest()

    async def read(self, *, idle_seconds: float) -> AsyncIterator[Sequence[Heard]]:
        """All events as they come, in groups; an empty one about every `idle_seconds`.

        Closes the follower.
        """
        stream = self._follower.stream(idle_seconds=idle_seconds)
        try:
            async for frames in stream:
                heard = [self._hear(frame.event) for frame in frames if frame.turn == self._turn]
                # What comes is read in one go: a rest that is over already is none.
                if heard or not frames:
                    yield heard
                if heard and isinstance(heard[-1].event, Done):
                    self.ending = Ending.DONE
                    return
                if self._rests():
                    self.ending = Ending.RESTING
                    return
        finally:
            await stream.aclose()
            self._follower.close()

    def _hear(self, event: Event) -> Heard:
        self._rest.apply(event)
        if not self._is_new:
            self._is_new = self._answers(event)
        return Heard(event, self._is_new)

    def _answers(self, event: Event) -> bool:
        answered = self._answered or ()
        if isinstance(event, ToolDecision | ToolResult):
            return event.tool_id in answered
        return isinstance(event, Done)

    def _rests(self) -> bool:
        return self._rest.is_resting and self._is_new and not self._follower.is_behind

"""The queue of a conversation's turns: one runs, the others wait. It begins and ends none."""

from collections.abc import Collection
from typing import Literal

from turnwire_protocol import Code
from turnwire_server.core.turn.turn import Turn
from turnwire_server.errors import Rejected

__all__ = ["IfBusy", "TurnQueue"]

IfBusy = Literal["reject", "queue", "interrupt"]
"""What a message wants to become of the turns there are; see PROTOCOL.md "send"."""


class TurnQueue:
    """Its unfinished turns."""

    def __init__(self, *, max_waiting: int) -> None:
        self.running: Turn | None = None
        """The one whose time it is, or comes as soon as its message is durable."""
        self._waiting: list[Turn] = []
        self._max_waiting = max_waiting

    def unfinished(self) -> list[Turn]:
        """All, in the order in which they run."""
        return [*self._waiting] if self.running is None else [self.running, *self._waiting]

    def displaced(self, victims: Collection[str], if_busy: IfBusy) -> list[Turn]:
        """The turns that a new message ends: those among the victims, and whom it interrupts.

        Raises:
            Rejected: something runs or waits, and the message does not say that it may be ended.
        """
        turns = self.unfinished()
        staying = [turn for turn in turns if turn.id not in victims]
        if staying and if_busy == "reject":
            raise Rejected(Code.BUSY, "a turn is running in this conversation")
        if turns and if_busy == "queue" and len(self._waiting) >= self._max_waiting:
            raise Rejected(Code.TOO_MANY, f"{self._max_waiting} messages are waiting already")
        return [
            turn
            for turn in turns
            if turn not in staying or (turn is self.running and if_busy == "interrupt")
        ]

    def put(self, turn: Turn, if_busy: IfBusy) -> None:
        """A new one, once what it displaces is gone: it runs, or waits behind the others."""
        if self.running is None and (not self._waiting or if_busy != "queue"):
            self.running = turn
        else:
            self._waiting.append(turn)

    def remove(self, turn: Turn) -> bool:
        """Take it out; whether it waited."""
        if turn in self._waiting:
            self._waiting.remove(turn)
            return True
        if self.running is turn:
            self.running = None
        return False

    def next(self) -> Turn | None:
        """The first that waits, if it is its time: it is the one that runs now."""
        if self.running is not None or not self._waiting:
            return None
        self.running = self._waiting.pop(0)
        return self.running

"""What a conversation should be after some commands: a small model, written from PROTOCOL.md."""

from dataclasses import dataclass, field
from enum import Enum, auto

from turnwire_protocol import Ack, Code, SendBody, StopReason

__all__ = ["GATES", "ExpectedConversation", "ExpectedTurn", "Place"]

GATES = 2
"""In the answer to each message: `GATES + 1` pieces of text."""


class Place(Enum):
    """Where a turn is."""

    WAITING = auto()
    RUNNING = auto()
    DONE = auto()


@dataclass
class ExpectedTurn:
    """One message that was accepted."""

    send: SendBody
    ack: Ack
    place: Place
    opened: int = 0
    """How many gates of its answer are open."""
    stop_reason: str | None = None
    is_void: bool = False

    @property
    def id(self) -> str:
        """The turn's id."""
        return self.ack.turn or ""

    @property
    def pieces(self) -> list[str]:
        """What the model says to the message."""
        return [f"{self.send.content}-{number} " for number in range(GATES + 1)]

    def end(self, stop_reason: str) -> None:
        """It has ended."""
        self.place, self.stop_reason = Place.DONE, stop_reason


@dataclass
class ExpectedConversation:
    """Decides on commands, and never looks at the real one."""

    max_queued: int
    turns: list[ExpectedTurn] = field(default_factory=list)

    @property
    def running(self) -> ExpectedTurn | None:
        """The turn that runs."""
        return next((turn for turn in self.turns if turn.place is Place.RUNNING), None)

    @property
    def waiting(self) -> list[ExpectedTurn]:
        """Those that wait, in order."""
        return [turn for turn in self.turns if turn.place is Place.WAITING]

    def refusal(self, send: SendBody) -> Code | None:
        """Why a message with a new key is refused; None: it is accepted."""
        if send.retract is not None and send.if_busy == "queue":
            return Code.BAD_COMMAND
        victims = self._victims(send)
        if send.retract is not None and not victims:
            return Code.UNKNOWN_TURN
        staying = [turn for turn in self._unfinished() if turn not in victims]
        if staying and send.if_busy == "reject":
            return Code.BUSY
        if send.if_busy == "queue" and len(self.waiting) >= self.max_queued:
            return Code.TOO_MANY
        return None

    def accept(self, send: SendBody, ack: Ack) -> None:
        """The message takes effect."""
        victims = self._victims(send)
        for turn in self._unfinished():
            if turn in victims or (turn.place is Place.RUNNING and send.if_busy == "interrupt"):
                turn.end(StopReason.CANCELLED)
        for turn in victims:
            turn.is_void = True
        waits = send.if_busy == "queue" and bool(self._unfinished())
        place = Place.WAITING if waits else Place.RUNNING
        self.turns.append(ExpectedTurn(send, ack, place))

    def cancel(self, turn: ExpectedTurn) -> str:
        """The turn is stopped; what the receipt says."""
        outcomes = {
            Place.WAITING: "queued_removed",
            Place.RUNNING: "cancelling",
            Place.DONE: "already_done",
        }
        outcome = outcomes[turn.place]
        if turn.place is not Place.DONE:
            turn.end(StopReason.CANCELLED)
        self._go_on()
        return outcome

    def open_gate(self, turn: ExpectedTurn) -> None:
        """The model says another piece; after the last one the turn ends."""
        turn.opened += 1
        if turn.opened == GATES:
            turn.end(StopReason.END_TURN)
        self._go_on()

    def restart(self) -> None:
        """The process ends and another begins."""
        for turn in self._unfinished():
            turn.end(StopReason.INTERRUPTED)

    def _unfinished(self) -> list[ExpectedTurn]:
        return [turn for turn in self.turns if turn.place is not Place.DONE]

    def _victims(self, send: SendBody) -> list[ExpectedTurn]:
        """The turn that is retracted, and all after it; none if it is void or unknown."""
        ids = [turn.id for turn in self.turns]
        if send.retract not in ids or self.turns[ids.index(send.retract)].is_void:
            return []
        return [turn for turn in self.turns[ids.index(send.retract) :] if not turn.is_void]

    def _go_on(self) -> None:
        if self.running is None and self.waiting:
            self.waiting[0].place = Place.RUNNING

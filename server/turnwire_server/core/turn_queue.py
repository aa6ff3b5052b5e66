"""The queue of a conversation's turns: one runs, the others wait. It begins each at its time, and
ends or withdraws them where the store fails them. It decides on no command."""

import asyncio
import time
import weakref
from collections.abc import Collection
from typing import Literal, Protocol

from turnwire_protocol import Code, StopReason
from turnwire_server.core.folded_log import FoldedLog
from turnwire_server.core.log.durable_log import DurableLog
from turnwire_server.core.log.items import DeltaRun
from turnwire_server.core.turn.turn import Turn, TurnState
from turnwire_server.errors import ModelError, Rejected

__all__ = ["MAX_UNDURABLE_BYTES", "IfBusy", "TurnQueue"]

IfBusy = Literal["reject", "queue", "interrupt"]
"""What a message wants to become of the turns there are; see PROTOCOL.md "send"."""

MAX_UNDURABLE_BYTES = 1024 * 1024
"""Of an answer that cannot be stored now; beyond, or after so long, its turn is ended."""
_MAX_UNDURABLE_SECONDS = 5.0


class Owner(Protocol):
    """The conversation whose turns they are."""

    def on_followers(self) -> None:
        """Which turn runs has changed."""

    def on_turn_done(self, turn: Turn) -> None:
        """One that ran has ended, or one that was to."""


class TurnQueue:
    """Its unfinished turns, which write to `log` through `folded`.

    It does not keep its owner, who keeps it.
    """

    def __init__(
        self,
        log: DurableLog,
        folded: FoldedLog,
        owner: Owner,
        *,
        max_waiting: int,
        max_undurable_bytes: int = MAX_UNDURABLE_BYTES,
    ) -> None:
        self.running: Turn | None = None
        """The one whose time it is, or comes as soon as its message is durable."""
        self._waiting: list[Turn] = []
        self._log = log
        self._folded = folded
        self._max_waiting = max_waiting
        # Weakly, as the owner has us: what is let go of must not wait for the collector.
        self._owner = weakref.ref(owner)
        self._max_undurable_bytes = max_undurable_bytes
        self._undurable = 0
        self._undurable_since = time.monotonic()
        """Since when the log's durable head has been `_undurable`, as seen in trouble."""

    def unfinished(self) -> list[Turn]:
        """All, in the order in which they run."""
        return [*self._waiting] if self.running is None else [self.running, *self._waiting]

    @property
    def has_begun(self) -> bool:
        """Whether one runs: its message is stored."""
        return self.running is not None and self.running.state is TurnState.RUNNING

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

    def put(self, turn: Turn, if_busy: IfBusy, *, retracts: bool) -> None:
        """A new one whose message was just written, once what it displaces is gone: it runs as soon
        as that is durable, or waits behind the others."""
        if self.running is not None or (self._waiting and if_busy == "queue"):
            self._waiting.append(turn)
            return
        self.running = turn
        if not retracts:
            # With its message: one commit for both. What was retracted could not be given back, if
            # it were withdrawn.
            turn.open()

    def begin(self, turn: Turn) -> None:
        """Start the turn if it is its time and its message is durable."""
        if turn is not self.running or turn.state is not TurnState.QUEUED:
            return
        if self._folded.index.of(turn.id).seq <= self._log.end:
            turn.start()
            self._tell_owner()

    def done(self, turn: Turn) -> None:
        """The turn has ended: another one may have its time."""
        if turn in self._waiting:
            self._waiting.remove(turn)
            return
        if turn is self.running:
            self.running = None
            self._tell_owner()
        self._folded.catch_up()
        self._log.release()
        # Later, so that a message that interrupts takes its place before the waiting ones.
        asyncio.get_running_loop().call_soon(self._next)
        if (owner := self._owner()) is not None:
            owner.on_turn_done(turn)

    def _tell_owner(self) -> None:
        if (owner := self._owner()) is not None:
            owner.on_followers()

    def _next(self) -> None:
        if self.running is None and self._waiting:
            self.running = self._waiting.pop(0)
            self.begin(self.running)

    def interrupt(self) -> None:
        """End them all: the waiting ones first, so that none of these begins."""
        for turn in reversed(self.unfinished()):
            turn.end(StopReason.INTERRUPTED)

    # Storage trouble

    def on_wait(self, *, has_failed: bool) -> None:
        """What was written cannot be stored now: refuse what can still be refused, and end a turn
        whose tail waits too long."""
        if has_failed:
            self._withdraw()
        memory, now = self._log.memory, time.monotonic()
        if self._undurable != memory.durable:
            self._undurable, self._undurable_since = memory.durable, now
        waiting = memory.read(memory.durable, memory.head)
        size = sum(item.size for item in waiting if isinstance(item, DeltaRun))
        too_long = now - self._undurable_since > _MAX_UNDURABLE_SECONDS
        if self.running is None or self.running.state is not TurnState.RUNNING:
            return
        if too_long or size > self._max_undurable_bytes:
            self.running.end(
                StopReason.FAILED,
                ModelError(Code.STORAGE_UNAVAILABLE, "the answer cannot be stored"),
            )

    def _withdraw(self) -> None:
        """Messages at the very end of the log, whose acks are not out, never happened."""
        records = [(self._folded.index.of(turn.id), turn) for turn in self.unfinished()]
        # As they stand in the log: one that interrupts is behind those that wait, and runs first.
        records.sort(key=lambda each: each[0].seq, reverse=True)
        for record, turn in records:
            if turn.state is not TurnState.QUEUED or not self._log.ends_with(turn.id, record.seq):
                return
            refused = Rejected(
                Code.STORAGE_UNAVAILABLE, "it cannot be stored now", retry_after_seconds=1.0
            )
            self._folded.withdraw(record, refused)
            turn.drop()
            if turn is self.running:
                self.running = None
                self._tell_owner()
                # One that waits may be stored, and nothing else would tell it that it is its time.
                asyncio.get_running_loop().call_soon(self._next)
            else:
                self._waiting.remove(turn)

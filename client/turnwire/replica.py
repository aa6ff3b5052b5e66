"""This program's copy of one conversation: cursor, log, fold; knows no connection.

The wire's reader feeds it, all in synchronous methods; readers look at it and wait for its bell.
"""

import asyncio
from enum import Enum, auto

from turnwire.backoff import Backoff
from turnwire.bell import Bell
from turnwire.errors import TurnFailed, TurnwireError
from turnwire.log import Log
from turnwire.reply import Reply
from turnwire_protocol import (
    MAX_SEQ,
    Ack,
    Code,
    Cursor,
    Done,
    Event,
    FoldedConversation,
    FoldedTurn,
    Reset,
    StopReason,
    Verdict,
)

__all__ = ["Replica", "Subscription"]


class Subscription(Enum):
    """Whether the server sends us the conversation's events on the present connection."""

    NONE = auto()
    """It does not, or we said we do not want them any more: what still comes is dropped."""
    ASKED = auto()
    """`subscribe` is on its way: what comes before its ack is of an earlier cut, and dropped."""
    LIVE = auto()
    """Events are judged and applied."""


class Replica:
    """One conversation as far as it has been received.

    `epoch_count` counts the logs it has been a copy of: it changes with a reset, which voids the
    seqs that readers hold. `followers` and `sending` count its users, besides the running turns.
    `head` is where the log ended when the server last said so (`MAX_SEQ`: not yet of this log),
    and `head_count` how often it has. `backoff` spaces the repeats of a subscription that the
    server refuses or ends.
    """

    def __init__(
        self,
        conversation: str,
        *,
        backoff: Backoff,
        after: int = 0,
        epoch: str | None = None,
    ) -> None:
        self.conversation = conversation
        self.backoff = backoff
        self.cursor = Cursor(epoch, after)
        self.log = Log(after)
        self.state = FoldedConversation(seq=after)
        self.bell = Bell()
        self.subscription = Subscription.NONE
        self.asked: str | None = None
        self.reset: Reset | None = None
        self.epoch_count = 0
        self.head_count = 0
        self.failure: TurnwireError | None = None
        self.followers = 0
        self.sending = 0
        self._running: dict[str, asyncio.Future[Reply | TurnwireError]] = {}
        self._suspects: set[str] = set()
        self.head = 0

    @property
    def is_complete(self) -> bool:
        """Whether all there was at the time of the subscription has come, or nothing will come."""
        return self.failure is not None or self.cursor.seq >= self.head

    @property
    def is_wanted(self) -> bool:
        """Whether anything here still waits for events."""
        return self.failure is None and bool(self.followers or self.sending or self._running)

    def expect(self, turn: str) -> asyncio.Future[Reply | TurnwireError]:
        """How the turn will have ended: a value, even for a failure, so that nobody must look."""
        future = self._running.get(turn)
        if future is not None:
            return future
        future = asyncio.get_running_loop().create_future()
        folded = self.state.turns.get(turn)
        if self.failure is not None:
            future.set_result(self.failure)
        elif folded and folded.done:
            future.set_result(_conclude(folded, folded.done))
        else:
            self._running[turn] = future
        return future

    def ask(self, command_id: str) -> None:
        """A `subscribe` with this id goes out."""
        self.subscription, self.asked = Subscription.ASKED, command_id

    def detach(self) -> None:
        """No events come any more: the connection broke, or `unsubscribe` goes out."""
        self.subscription, self.asked = Subscription.NONE, None

    def confirm_subscription(self, ack: Ack) -> None:
        """The subscription asked for last stands, from `ack.after`."""
        after = self.cursor.seq if ack.after is None else ack.after
        other_log = self.cursor.epoch is not None and ack.epoch != self.cursor.epoch
        if other_log or after != self.cursor.seq:
            self.start_over(
                Reset(
                    conversation=self.conversation,
                    epoch=ack.epoch or "",
                    reason="the cursor is not in this log",
                ),
                after=after,
            )
        self.cursor.epoch = ack.epoch
        self.subscription, self.asked = Subscription.LIVE, None
        self.head = ack.head or 0
        self.head_count += 1
        self._fail_lost_turns()
        self.bell.ring()

    def attach(self, ack: Ack) -> bool:
        """A send was acked, which subscribes unless we were; False: something lies between our
        cursor and where that begins, and a `subscribe` from the cursor must fetch it."""
        if self.subscription is not Subscription.NONE:
            return True
        if ack.after != self.cursor.seq or self.cursor.epoch not in (None, ack.epoch):
            return False
        if self.head == MAX_SEQ:
            # After a reset only the ack of a `subscribe` tells where its replay ends.
            return False
        self.cursor.epoch = ack.epoch
        self.subscription = Subscription.LIVE
        return True

    def receive(self, event: Event) -> Verdict:
        """Apply an event if it is the next; RESUBSCRIBE: ask again from the cursor."""
        if self.subscription is not Subscription.LIVE:
            return Verdict.IGNORE
        verdict = self.cursor.judge(event)
        if verdict is not Verdict.APPLY:
            return verdict
        self.cursor.advance(event)
        self.log.append(event)
        self.state.apply(event)
        if isinstance(event, Done) and (running := self._running.pop(event.turn, None)):
            running.set_result(_conclude(self.state.turns[event.turn], event))
        self._fail_lost_turns()
        self.bell.ring()
        return verdict

    def start_over(self, reset: Reset, *, after: int = 0) -> bool:
        """The cursor is not in the server's log: drop everything, that log is replayed.

        A `reset` that comes beside an ack which said the same is no second one: False.
        """
        if self.reset and self.cursor == Cursor(reset.epoch, 0):
            return False
        self.cursor = Cursor(reset.epoch or None, after)
        self.log = Log(after)
        self.state = FoldedConversation(seq=after)
        self.reset = reset
        self.epoch_count += 1
        self.head = MAX_SEQ
        self._suspects.update(self._running)
        self.bell.ring()
        return True

    def fail(self, failure: TurnwireError) -> None:
        """Nothing comes any more, for good: everyone who waits gets `failure`."""
        self.failure = failure
        self.detach()
        self._finish_all(list(self._running), failure)

    def _fail_lost_turns(self) -> None:
        # After a reset the replay may lack a turn that ran then (the server lost its store): its
        # `done` will never come, so the end of the replay is where its wait ends. Turns acked
        # since are not suspect: their messages come after that end.
        if self._suspects and self.is_complete:
            lost = [turn for turn in self._suspects if self.state.turns.get(turn) is None]
            self._suspects.clear()
            self._finish_all(
                [turn for turn in lost if turn in self._running],
                TurnFailed(Code.UNKNOWN_TURN, "the server lost it in a reset", retryable=True),
            )

    def _finish_all(self, turns: list[str], failure: TurnwireError) -> None:
        for turn in turns:
            self._running.pop(turn).set_result(failure)
        self.bell.ring()


def _conclude(turn: FoldedTurn, done: Done) -> Reply | TurnFailed:
    """How the turn ended: with a reply, or, for `failed` and `interrupted`, a failure with it."""
    reply = Reply(
        turn.text,
        tuple(turn.blocks),
        done.usage,
        done.stop_reason,
        turn.turn,
        done.refusal,
        done.stop_sequence,
        done.output,
        done.cost_usd,
    )
    if done.stop_reason == StopReason.INTERRUPTED:
        return TurnFailed(
            StopReason.INTERRUPTED, "the server stopped meanwhile", retryable=True, reply=reply
        )
    if done.stop_reason != StopReason.FAILED:
        return reply
    error = turn.error
    if error is None:
        return TurnFailed(StopReason.FAILED, "", retryable=False, reply=reply)
    return TurnFailed(
        error.code,
        error.message,
        retryable=error.retryable,
        retry_after_seconds=error.retry_after_seconds,
        reply=reply,
    )

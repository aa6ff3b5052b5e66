"""A conversation: the single writer of its log. It decides on commands and owns the turns that run
or wait. All state changes are synchronous, on the event loop: no locks.

Where several processes share the store, it writes only while it holds the right to. Otherwise it is
a copy for readers, brought up to date from the store; it answers what no turn is needed for.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from turnwire_protocol import (
    Ack,
    CancelBody,
    Code,
    DecideBody,
    Done,
    Message,
    ProgressBody,
    Retract,
    SendBody,
    StopReason,
    ToolOutputBody,
)
from turnwire_server.core.elsewhere import Elsewhere
from turnwire_server.core.folded_log import FoldedLog
from turnwire_server.core.log.committer import Committer
from turnwire_server.core.log.durable_log import DurableLog
from turnwire_server.core.log.follower import Follower
from turnwire_server.core.log.items import Private
from turnwire_server.core.past import PastTurn, write_past
from turnwire_server.core.presence import Presence
from turnwire_server.core.receipts import Accepted, OnceAwaited
from turnwire_server.core.telemetry import Readings, TurnNames
from turnwire_server.core.turn.options import resolve
from turnwire_server.core.turn.services import Services
from turnwire_server.core.turn.turn import Turn, TurnState
from turnwire_server.core.turn_index import Page, Record, fingerprint_of, title_of
from turnwire_server.core.turn_queue import MAX_UNDURABLE_BYTES, TurnQueue
from turnwire_server.errors import Rejected, StoreError, Unreadable
from turnwire_server.store.port import Fence, Spent, Store
from turnwire_server.timestamp import timestamp

__all__ = ["Conversation"]

_EMPTY_BYTES = 8 * 1024
"""What a conversation takes in memory that says nothing, roughly."""


def _nobody_asks(conversation: "Conversation") -> None:
    """The readers, and the loss, of one by itself."""


class Conversation:
    """One log, one writer. Everybody else asks it.

    `owner`: whose it is, if it is not stored yet.
    """

    def __init__(
        self,
        conversation: str,
        owner: str,
        *,
        store: Store,
        committer: Committer,
        services: Services,
        on_done: Callable[["Conversation", int], None],
        on_readers: Callable[["Conversation"], None] = _nobody_asks,
        on_lost: Callable[["Conversation"], None] = _nobody_asks,
        max_undurable_bytes: int = MAX_UNDURABLE_BYTES,
    ) -> None:
        self.conversation = conversation
        self.owner = owner
        self.copying = asyncio.Lock()
        """Held by who reads on in the stored log, or asks for the right to append."""
        self._is_draining = False
        self._services = services
        self._on_done = on_done
        self._on_readers = on_readers
        self._on_lost = on_lost
        self.holder: str | None = None
        """Another node that has the right to append, as far as the store said when last asked."""
        self._presence = Presence(grace_seconds=services.policy.detach_grace)
        self._log = DurableLog(conversation, store, committer, self, tally=services.tally)
        self._folded = FoldedLog(self._log)
        self._index = self._folded.index
        self._elsewhere = Elsewhere(services.price_of)
        self._queue = TurnQueue(
            self._log,
            self._folded,
            self,
            max_waiting=services.policy.max_queued,
            max_undurable_bytes=max_undurable_bytes,
        )

    # The stored log, and the right to append to it

    async def load(self, epoch: str, head: int) -> None:
        """Read on in the stored log, which reaches to `head` at least. One call at a time.

        If another log is stored than this one was, the conversation is closed: who reads it finds
        out by reading the other one.

        Raises:
            Unreadable: what is stored is no log. Nothing is written then.
        """
        try:
            is_same = await self._folded.load(epoch, head, self._elsewhere.apply)
        except Unreadable:
            self.close(Code.STORAGE_UNAVAILABLE)
            raise
        except StoreError:
            raise
        except Exception as error:
            self.close(Code.STORAGE_UNAVAILABLE)
            raise _senseless(error) from error
        if not is_same:
            self.close(Code.STORAGE_UNAVAILABLE)

    def extend(self, bodies: list[bytes]) -> None:
        """Take in stored rows that go on at the head of this copy; see `load`.

        Raises:
            Unreadable: what is stored is no log.
        """
        try:
            self._folded.extend(bodies, self._elsewhere.apply)
        except Exception as error:
            self.close(Code.STORAGE_UNAVAILABLE)
            raise _senseless(error) from error

    def hold(self, fence: Fence, *, is_open: bool) -> None:
        """The right to append is ours; the log was read up to its head.

        `is_open`: a turn is unfinished there. Such turns have nobody any more who could end them,
        for whoever could would have the right: they are ended here.

        Raises:
            Unreadable: what is stored is no log. Nothing is written then.
        """
        self._log.hold(fence)
        self.holder = None
        if not is_open:
            return
        try:
            for event in self._elsewhere.end(self._folded.place):
                self._folded.write(event)
                if isinstance(event, Done):
                    self._watch_recovered(event)
        except Exception as error:
            self.close(Code.STORAGE_UNAVAILABLE)
            raise _senseless(error) from error

    def _watch_recovered(self, done: Done) -> None:
        names = TurnNames(
            conversation=self.conversation,
            turn=done.turn,
            principal=self.owner,
            model=None,
            is_recovered=True,
        )
        self._services.telemetry.turn(names).see(done, None)

    @property
    def is_held(self) -> bool:
        """Whether this process has the right to append, and keeps it."""
        return self._log.is_held

    def give_back(self) -> Fence | None:
        """Append nothing more; gives the fence that is to be released, if there is one.

        For one in which nothing runs or waits, here.
        """
        return self._log.give_back()

    @property
    def epoch(self) -> str:
        """The epoch of its log; empty where there is none yet."""
        return self._log.epoch

    def all_stored(self) -> asyncio.Future[None]:
        """Done once all that was appended is durable."""
        return self._log.all_durable()

    def check_store(self) -> None:
        """See `DurableLog.check_store`."""
        self._log.check_store()

    # Sending

    def send(self, principal: str, send: SendBody, past: Sequence[PastTurn] = ()) -> Accepted:
        """Accept a message; its turn begins once it is durable and nothing runs before it.

        The right to append is held here, unless its key is in the log (`has_key`).

        `past` is what was said elsewhere before it; a log that has begun has a past of its own.

        Raises:
            Rejected: it took no effect.
        """
        fingerprint = fingerprint_of(send)
        if send.key is not None and (record := self._index.of_key(send.key)) is not None:
            if record.fingerprint != fingerprint:
                raise Rejected(Code.KEY_REUSED, "key: was used for another message")
            return self._accepted(record, send)
        assert self.is_held, "who begins a turn has asked for the right to append"
        options = resolve(send, self._services.policy, tools=self._services.toolset.names)
        displaced = self._queue.displaced(self.check_retract(send), send.if_busy)
        # Last of all that can refuse it: what is wrong with a message needs no store to be said.
        self._log.check_store()
        for turn in displaced:
            turn.end(StopReason.CANCELLED)
        turn = Turn(
            f"t_{secrets.token_hex(8)}",
            principal=principal,
            content=send.content,
            options=options,
            services=self._services,
            log=self._folded,
            on_done=self._queue.done,
            on_rest=self.on_followers,
            cancel_on_detach=send.on_detach == "cancel",
            trace=send.trace,
        )
        if self.is_empty:
            self._log.title = title_of(past[0].content if past else send.content)
            for said in past:
                write_past(self._folded, said, has_message=True)
        private: Private = {
            "fingerprint": fingerprint,
            "options": send.model_dump(
                exclude={"id", "type", "content", "key", "follow", "trace"},
                exclude_none=True,
                exclude_defaults=True,
            ),
        }
        if send.retract is not None:
            self._folded.write(Retract(**self._folded.place(turn.id), from_turn=send.retract))
        place = self._folded.place(turn.id)
        self._folded.write(Message(**place, content=send.content, key=send.key), private)
        self._queue.put(turn, send.if_busy, retracts=send.retract is not None)
        accepted = self._accepted(self._index.of(turn.id), send)
        accepted.durable.add_done_callback(lambda durable: self._queue.begin(turn))
        return accepted

    def begin(self, past: Sequence[PastTurn]) -> asyncio.Future[None]:
        """Begin with what was said elsewhere, and no message; done once it is durable.

        The right to append is held here, and nothing was appended yet.

        Raises:
            Rejected: it took no effect; also when what was given is awaited.
        """
        assert self.is_held, "who begins has asked for the right to append"
        self._log.check_store()
        self._log.title = title_of(past[0].content)
        for said in past:
            write_past(self._folded, said, has_message=False)
        self._folded.catch_up()
        self._log.release()  # Nothing runs here: any node may go on.
        return self._log.all_durable()

    def has_key(self, key: str) -> bool:
        """Whether a message has come with this key."""
        return self._index.of_key(key) is not None

    @property
    def turns(self) -> Sequence[Record]:
        """All turns, in their order, void ones too; not to be changed."""
        return self._index.turns

    def check_retract(self, send: SendBody) -> list[str]:
        """The turns that the new message makes void.

        Raises:
            Rejected: it names one that is not here, or void already.
        """
        if send.retract is None:
            return []
        if send.if_busy == "queue":
            raise Rejected(Code.BAD_COMMAND, "if_busy: queue does not go with retract")
        victims = self._index.since(send.retract)
        if not victims:
            raise Rejected(Code.UNKNOWN_TURN, "retract: no such turn, or it is void already")
        return victims

    def _accepted(self, record: Record, send: SendBody) -> Accepted:
        ack = Ack(
            id="",
            conversation=self.conversation,
            turn=record.turn,
            seq=record.seq,
            epoch=self._log.epoch,
            after=record.after,
        )
        return Accepted(
            ack,
            durable=self._log.durable(record.seq),
            follow=lambda wake: self.follow(record.after, self._log.epoch, wake),
            done_seq=record.done_seq,
        )

    # Turns, one after another

    @property
    def running(self) -> Turn | None:
        """The one whose time it is."""
        return self._queue.running

    def on_turn_done(self, turn: Turn) -> None:
        """A turn has ended that did not wait behind others."""
        self._on_done(self, self._index.of(turn.id).after)

    def cancel(self, cancel: CancelBody) -> Ack:
        """Stop a turn; the receipt tells what became of the wish.

        Raises:
            Rejected: there is no such turn.
        """
        record = self._index.find(turn=cancel.turn, key=cancel.key)
        turns = self._queue.unfinished()
        turn = next((turn for turn in turns if turn.id == record.turn), None)
        if turn is None:
            return Ack(id="", turn=record.turn, outcome="already_done")
        was_queued = turn.state is TurnState.QUEUED and not turn.has_started
        # At once, or the turn could end otherwise than its receipt says, and a send right behind
        # would find it busy. No reader sees the end before its commit: the receipt goes out first.
        turn.end(StopReason.CANCELLED)
        return Ack(id="", turn=turn.id, outcome="queued_removed" if was_queued else "cancelling")

    def answer(self, answer: DecideBody | ToolOutputBody | ProgressBody) -> Awaitable[None] | None:
        """Somebody answers a tool call of the running turn.

        Gives what its ack waits for: a decision or an output must not be lost once it is acked.

        Raises:
            Rejected: it took no effect; also when what was given is awaited.
        """
        if self.running is None:
            raise Rejected(Code.UNKNOWN_TOOL_CALL, "tool_id: no turn is running")
        calls = self.running.calls
        match answer:
            case DecideBody():
                calls.decide(answer)
                return self._log.all_durable()
            case ToolOutputBody():
                return OnceAwaited(partial(self._taken, calls.take_output(answer)))
            case ProgressBody():
                calls.take_progress(answer)
                return None

    async def _taken(self, is_taken: asyncio.Future[bool]) -> None:
        if not await is_taken:
            raise Rejected(Code.ALREADY_DECIDED, "tool_id: the turn was ended first")
        await self._log.all_durable()

    def drain(self) -> None:
        """The process goes down soon: from now on nobody's going away ends a turn."""
        self._is_draining = True
        self.on_followers()

    def interrupt(self) -> None:
        """The process goes down: end all turns."""
        self._queue.interrupt()

    async def hang_up(self) -> None:
        """Store what waits, then end the streams of readers that cannot be told to reconnect."""
        await self._log.hang_up()

    def end_streams(self) -> None:
        """End them now, whatever waits to be stored; those that begin later, too."""
        self._log.end_streams()

    # Readers

    def follow(
        self,
        after: int,
        epoch: str | None,
        wake: Callable[[], None],
        *,
        last: int | None = None,
    ) -> Follower:
        """A cursor after `after`; one that is not in this log is reset to the start.

        With `last`, and from the start, it is where the last so many turns begin.
        """
        if last is not None and after == 0 and epoch in (None, self.epoch):
            after = self._index.begin_of_last(last, upto=self.head)
        return self._log.follow(after, epoch, wake)

    def page(self, last: int | None, *, before: str | None, with_replaced: bool) -> Page:
        """See `TurnIndex.page`: of what is durable now."""
        return self._index.page(last, before=before, upto=self.head, with_replaced=with_replaced)

    @property
    def head(self) -> int:
        """The head, as readers are told it: nothing above it is durable."""
        return self._log.end

    def on_followers(self) -> None:
        """A reader came or went, or a turn began, rests or goes on: is anybody missing now?"""
        self._presence.look(None if self._is_draining else self.running, self._log)
        self._on_readers(self)

    def close(self, code: Code) -> None:
        """End all turns and subscriptions; the log is gone."""
        self._log.close(code)
        self.interrupt()
        self._on_readers(self)

    @property
    def is_open(self) -> bool:
        """Whether a turn is unfinished, here or on another node."""
        return self._index.is_open

    @property
    def is_busy(self) -> bool:
        """Whether a turn runs or waits here."""
        return bool(self._queue.unfinished()) and not self.is_closed

    @property
    def is_stored(self) -> bool:
        """Whether nothing waits to be stored."""
        return self._log.is_stored

    @property
    def is_resting(self) -> bool:
        """Whether all that is unfinished is a turn at rest."""
        rests = self._elsewhere.is_resting()
        if rests is not None:
            return rests
        turns = self._queue.unfinished()
        return len(turns) == 1 and turns[0].is_resting

    @property
    def is_closed(self) -> bool:
        """Whether its log is gone, deleted or lost."""
        return self._log.is_closed

    @property
    def weight(self) -> int:
        """The bytes of memory it takes while nobody uses it, roughly."""
        return _EMPTY_BYTES + self._log.weight + self._folded.shown_bytes

    @property
    def is_beginning(self) -> bool:
        """Whether its first message waits to be stored."""
        return self._log.memory.durable == 0 and not self.is_empty

    def add_to(self, readings: Readings) -> None:
        """Count what is here now."""
        log, running = self._log, self.running
        readings.open_conversations += 1
        readings.turns_running += self.has_begun
        readings.turns_queued += len(self._queue.unfinished()) - self.has_begun
        readings.turns_resting += running is not None and running.is_resting
        readings.subscriptions += log.readers.count
        readings.reader_lag_events = max(readings.reader_lag_events, log.readers.lag)
        readings.undurable_events += log.memory.head - log.memory.durable

    def spending(self) -> Spent:
        """What the running turn has used so far; no log has it yet."""
        return self.running.spending() if self.running is not None else Spent(timestamp()[:10])

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever appended."""
        return self._log.memory.head == 0

    @property
    def has_followers(self) -> bool:
        """Whether anybody reads it, here or, while it is held here, on another node."""
        return self._log.has_followers

    @property
    def has_begun(self) -> bool:
        """Whether a turn runs here whose message is stored."""
        return self._queue.has_begun

    @property
    def is_idle(self) -> bool:
        """Nothing runs here, nobody reads here, nothing waits to be stored."""
        return not self.is_busy and not self._log.has_followers and self.is_stored

    # Storage trouble

    def on_wait(self, *, has_failed: bool) -> None:
        """See `TurnQueue.on_wait`."""
        self._queue.on_wait(has_failed=has_failed)

    def on_lost(self) -> None:
        """The log cannot go on as it is here: stop, append nothing."""
        self.close(Code.STORAGE_UNAVAILABLE)
        self._on_lost(self)


def _senseless(error: Exception) -> Unreadable:
    """Events that can be read may still make no sense together: a boundary, because each fold
    stumbles over that in its own way."""
    return Unreadable(f"its events make no sense together: {error!r}")

"""A turn as its asker holds it: iterate its events or its text, await its reply, stop it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Generic, Literal

from turnwire.errors import TurnFailed, TurnwireError
from turnwire.log import text_of, without
from turnwire.output import OutputType
from turnwire.replica import Replica
from turnwire.reply import OutputT, Reply
from turnwire_protocol import Code, Delta, Done, Event, Rewind, Token

__all__ = ["CancelOutcome", "Turn"]

CancelOutcome = Literal["cancelling", "queued_removed", "already_done"]


class Turn(Generic[OutputT]):
    """One message sent and its answer.

    It may be iterated and awaited any number of times, at once and after its end: each iteration
    begins with the turn's first event. What an iteration has not taken yet waits merged.
    `rewound` is True once an iteration has passed a `rewind`.
    """

    def __init__(
        self,
        replica: Replica,
        *,
        turn: str,
        seq: int,
        key: str,
        cancel: Callable[[], Awaitable[CancelOutcome]],
        output: OutputType[OutputT],
    ) -> None:
        """`output`: the type that the answer's data is to have."""
        self.id = turn
        self.key = key
        self.seq = seq
        self.rewound = False
        self._replica = replica
        self._epoch_count = replica.epoch_count
        self._ended = replica.expect(turn)
        self._cancel = cancel
        self._output = output

    @property
    def conversation(self) -> str:
        """The conversation's id."""
        return self._replica.conversation

    async def cancel(self) -> CancelOutcome:
        """Stop the turn; what has come of the answer stays, and `done {cancelled}` follows.

        Raises:
            Rejected: the server does not know the turn (any more).
            ConnectionLost, ConnectionRefused, BadServer, WireClosed: the connection ended for good.
        """
        return await self._cancel()

    def __await__(self) -> Generator[object, None, Reply[OutputT]]:
        """The reply, as soon as the turn is done; a cancelled one has the stop reason `cancelled`.

        Raises:
            TurnFailed: it ended as `failed` or `interrupted`; `.reply` holds what had come.
            BadOutput: its data is not of the type that was asked for; `.reply` holds it as it came.
            ConversationClosed, ConnectionLost, ConnectionRefused, BadServer, WireClosed: its end
                will not come.
        """
        return self._typed_reply().__await__()

    async def _typed_reply(self) -> Reply[OutputT]:
        return self._output.read(await self._reply())

    async def _reply(self) -> Reply:
        # Shielded, because all who await this turn share the future.
        ended = await asyncio.shield(self._ended)
        if isinstance(ended, TurnwireError):
            raise ended
        return ended

    def __aiter__(self) -> AsyncIterator[Event]:
        """The turn's events from its first to its `done`, over reconnects and resets.

        A failed turn ends with its `error` and `done` like any other.

        Raises:
            ConversationClosed, ConnectionLost, ConnectionRefused, BadServer, WireClosed: its end
                will not come.
            TurnFailed: the server lost the turn in a reset (`unknown_turn`).
        """
        return self._events()

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The answer's text as it comes.

        When the model fails in mid-answer and is asked again, the new attempt's text follows
        what was yielded before, which cannot be taken back: `rewound` is then True. Iterate the
        events, or use the reply's text, where that matters.

        Raises:
            TurnFailed: after the last text, if the turn failed.
            ConversationClosed, ConnectionLost, ConnectionRefused, BadServer, WireClosed: its end
                will not come.
        """
        return self._texts()

    async def _texts(self) -> AsyncIterator[str]:
        async for event in self._events():
            if isinstance(event, Token):
                yield event.text
        await self._reply()

    async def _events(self) -> AsyncIterator[Event]:
        replica, progress = self._replica, _Progress()
        seq, epoch_count = self.seq - 1, self._epoch_count
        while True:
            if replica.epoch_count != epoch_count:
                # Another log: its seqs tell nothing of ours. Read it from its start, and count.
                seq, epoch_count = replica.log.floor, replica.epoch_count
                progress.restart()
            batch = replica.log.read(seq)
            if not batch:
                self._raise_if_over()
                await replica.bell.wait()
                continue
            for event in batch:
                seq = event.seq
                if event.turn == self.id and (new := progress.new_part(event)) is not None:
                    self.rewound = self.rewound or isinstance(new, Rewind)
                    yield new
                    if isinstance(new, Done):
                        return

    def _raise_if_over(self) -> None:
        # Called where all that is held was read without meeting `done`.
        replica = self._replica
        if not (self._ended.done() and replica.is_complete):
            return
        ended = self._ended.result()
        if isinstance(ended, TurnwireError):
            raise ended
        if replica.failure is not None:
            raise replica.failure
        raise TurnFailed(
            Code.UNKNOWN_TURN, "the server lost it in a reset", retryable=True, reply=ended
        )


@dataclass(slots=True)
class _Progress:
    """How far an iteration has come, in a measure that all copies of a turn agree on, however
    their deltas are merged: (events that never merge, characters of deltas since the last)."""

    events: int = 0
    characters: int = 0
    goal: tuple[int, int] = (0, 0)

    def restart(self) -> None:
        """The turn comes again from its first event; up to here it is known."""
        self.goal = max(self.goal, (self.events, self.characters))
        self.events = self.characters = 0

    def new_part(self, event: Event) -> Event | None:
        """The event, or of a delta the part, that has not come before."""
        goal_events, goal_characters = self.goal
        if not isinstance(event, Delta):
            self.events, self.characters = self.events + 1, 0
            return event if self.events > goal_events else None
        before, size = self.characters, len(text_of(event))
        self.characters += size
        if self.events != goal_events:
            return event if self.events > goal_events else None
        known = goal_characters - before
        if known <= 0:
            return event
        return without(event, known, span=event.span) if known < size else None

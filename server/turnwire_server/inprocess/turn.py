"""A turn as code of the same process holds it: iterate its events or its text, await its reply."""

from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Literal

from turnwire_protocol import Ack, Code, Done, Event, FoldedTurn, Reset, Rewind, Token
from turnwire_server.core.hub import Hub
from turnwire_server.errors import Rejected
from turnwire_server.inprocess.reading import read_events
from turnwire_server.inprocess.reply import Reply, reply_of

__all__ = ["CancelOutcome", "LocalTurn"]

CancelOutcome = Literal["cancelling", "queued_removed", "already_done"]


class LocalTurn:
    """One message sent and its answer.

    It may be iterated and awaited any number of times, at once and after its end: each reads the
    log from the turn's first event on. `rewound` is True once an iteration has passed a `rewind`.
    """

    def __init__(
        self,
        hub: Hub,
        principal: str,
        *,
        ack: Ack,
        key: str | None,
        cancel: Callable[[str], Awaitable[CancelOutcome]],
    ) -> None:
        """`ack` is that of its send: where it stands."""
        self.id = ack.turn or ""
        self.conversation = ack.conversation or ""
        self.seq = ack.seq or 0
        self.key = key
        self.rewound = False
        self._hub = hub
        self._principal = principal
        self.begins_after = ack.after or 0
        """The seq behind which its first event is; before `seq` where it made others void."""
        self._epoch = ack.epoch
        self._cancel = cancel

    async def cancel(self) -> CancelOutcome:
        """Stop the turn; what has come of the answer stays, and `done {cancelled}` follows.

        Raises:
            Rejected: the turn is not there any more.
        """
        return await self._cancel(self.id)

    def __await__(self) -> Generator[object, None, Reply]:
        """The reply, as soon as the turn is done; a cancelled one has the stop reason `cancelled`.

        Raises:
            TurnFailed: it ended as `failed` or `interrupted`; `.reply` holds what had come.
            Rejected: its end cannot be had: the conversation was deleted, the service ends.
        """
        return self._reply().__await__()

    async def _reply(self) -> Reply:
        folded = FoldedTurn(self.id)
        async for event in self._events():
            folded.apply(event)
        return reply_of(folded)

    def __aiter__(self) -> AsyncIterator[Event]:
        """The turn's events from its first to its `done`. A failed turn ends like any other.

        Raises:
            Rejected: its end cannot be had, see `__await__`.
        """
        return self._events()

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The pieces of the answer's text. They may be taken back: `rewound` is then True.

        Raises:
            TurnFailed: after the last text, if the turn failed.
            Rejected: its end cannot be had, see `__await__`.
        """
        return self._texts()

    async def _texts(self) -> AsyncIterator[str]:
        folded = FoldedTurn(self.id)
        async for event in self._events():
            folded.apply(event)
            if isinstance(event, Token):
                yield event.text
        reply_of(folded)

    async def _events(self) -> AsyncIterator[Event]:
        reading = read_events(
            self._hub,
            self._principal,
            self.conversation,
            after=self.begins_after,
            epoch=self._epoch,
            live=True,
        )
        try:
            async for event in reading:
                if isinstance(event, Reset):
                    # The log is another one: what was acked is not in it, or not where it was.
                    raise Rejected(Code.UNKNOWN_TURN, "the conversation begins anew")
                if event.turn != self.id:
                    continue
                self.rewound = self.rewound or isinstance(event, Rewind)
                yield event
                if isinstance(event, Done):
                    return
        finally:
            await reading.aclose()

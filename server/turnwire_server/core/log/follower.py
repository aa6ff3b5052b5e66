"""A follower: one reader's cursor over one conversation's log, and nothing more.

It holds no events. Its owner reads, sends, and reads again when woken; what it misses meanwhile
merges in the log.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple, Protocol

from turnwire_protocol import Closed, Code, Event, Reset
from turnwire_server.core.log.items import Item
from turnwire_server.errors import Rejected, StoreError, Unreadable
from turnwire_server.waiting import Flag

__all__ = ["Follower", "Frame", "Readable"]

MAX_READ_BYTES = 64 * 1024


class Frame(NamedTuple):
    """A merged event of the log: encoded once for all its readers, and typed for those who ask."""

    seq: int
    type: str
    turn: str
    text: str
    """The event's JSON text, as it stands on every wire of `turnwire.v1`."""
    item: Item

    @property
    def event(self) -> Event:
        """The event as an object; of a run of deltas it is made anew for each who asks."""
        return self.item.event


class Readable(Protocol):
    """A conversation, as its followers see it."""

    @property
    def end(self) -> int:
        """The seq up to which may be read."""

    async def frames(self, after: int, *, max_bytes: int) -> list[Frame]:
        """Merged events after `after`: at least one if there is any."""

    def detach(self, follower: "Follower") -> None:
        """The follower reads no more."""


class Follower:
    """A cursor. `wake` is called, synchronously, whenever there is something new to read."""

    def __init__(
        self,
        source: Readable,
        *,
        conversation: str,
        epoch: str,
        after: int,
        wake: Callable[[], None],
        reset: Reset | None = None,
    ) -> None:
        self.conversation = conversation
        self.epoch = epoch
        self.after = after
        """The seq of the last event read."""
        self.reset = reset
        """Set where the asked cursor is not in this log: to be sent before the first event."""
        self.closed: Closed | None = None
        """Set when the subscription has ended; nothing follows."""
        self.is_ended = False
        """Set when the process goes down: streams end once they have given what there is."""
        self.wake = wake
        self._source = source

    @property
    def is_behind(self) -> bool:
        """Whether `read` would give something."""
        return self.after < self._source.end and self.closed is None

    async def read(self, max_bytes: int = MAX_READ_BYTES) -> list[Frame]:
        """The next events, merged, in order; none if there are none. Moves the cursor."""
        if not self.is_behind:
            return []
        is_worth_another = True
        try:
            frames = await self._source.frames(self.after, max_bytes=max_bytes)
        except StoreError as error:
            frames, is_worth_another = [], not isinstance(error, Unreadable)
        if not frames and self.closed is None:
            # There is something, and it cannot be had: asking again at once would go on for ever.
            self._source.detach(self)
            self.closed = Closed(
                conversation=self.conversation,
                code=Code.STORAGE_UNAVAILABLE,
                retryable=is_worth_another,
            )
        if not frames:
            return []
        self.after = frames[-1].seq
        return frames

    async def events(self, max_bytes: int = MAX_READ_BYTES) -> list[Event]:
        """The same as `read`, as typed events: for transports with a format of their own."""
        return [frame.event for frame in await self.read(max_bytes)]

    async def tell(self, apply: Callable[[Event], object], *, head: int) -> None:
        """Give each event up to `head` to `apply`: for who wants to know what there is.

        Raises:
            Rejected: it cannot be read to there, or is gone.
        """
        while self.after < head and (events := await self.events()):
            for event in events:
                apply(event)
        if self.closed is not None:
            message, retryable = "the conversation cannot be read now", self.closed.retryable
            raise Rejected(Code(self.closed.code), message, retryable=retryable)

    def close(self) -> None:
        """Read no more. Idempotent."""
        self._source.detach(self)

    async def stream(self, *, idle_seconds: float) -> AsyncGenerator[list[Frame], None]:
        """All events from here on as they come; ends when the subscription does.

        Gives an empty list now and then, about every `idle_seconds`, while nothing comes.
        """
        woken = Flag()
        self.wake = woken.set
        loop = asyncio.get_running_loop()
        # One timer a period and not one a wait: this is the path of every token.
        timer: asyncio.TimerHandle | None = None

        def tick() -> None:
            nonlocal timer
            timer = None
            woken.set()

        try:
            while True:
                woken.clear()
                if frames := await self.read():
                    yield frames
                    continue
                if self.closed is not None or self.is_ended:
                    return
                timer = timer or loop.call_later(idle_seconds, tick)
                await woken.wait()
                if timer is None:
                    yield []
        finally:
            if timer is not None:
                timer.cancel()

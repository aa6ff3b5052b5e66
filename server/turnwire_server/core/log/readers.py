"""The readers of one log: who follows it, and the frames that they share. It appends nothing."""

import logging
import weakref
from collections.abc import Callable

from turnwire_protocol import Closed, Code, Reset, is_retryable
from turnwire_server.core.log.codec import load
from turnwire_server.core.log.follower import Follower, Frame
from turnwire_server.core.log.items import TYPE_NAMES, DeltaRun, Item, coalesce, continuing, weight
from turnwire_server.core.log.memory_log import MemoryLog
from turnwire_server.core.telemetry import Tally
from turnwire_server.errors import StoreError
from turnwire_server.store.port import Store

__all__ = ["KEEP_FRAMES", "Readers", "encoded"]

logger = logging.getLogger(__name__)

KEEP_FRAMES = 8
"""Places in a log of which the encoding is kept: readers who come back stand anywhere."""


class Readers:
    """See `Readable`. `on_change`: one has come or gone."""

    def __init__(
        self,
        memory: MemoryLog,
        store: Store,
        *,
        on_change: weakref.WeakMethod[Callable[[], None]],
        keep_frames: int,
        tally: Tally,
    ) -> None:
        self._memory = memory
        self._store = store
        self._on_change = on_change
        self._keep_frames = keep_frames
        self._tally = tally
        self._followers: set[Follower] = set()
        self._frames: dict[tuple[int, int], list[Frame]] = {}
        """By (after, upto): most readers stand where the last commit began, and share them."""
        self._is_ending = False
        self._is_spoilt = False
        """Whether the program's log has said that it cannot be read from the store now."""

    def __bool__(self) -> bool:
        return bool(self._followers)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._followers)

    @property
    def lag(self) -> int:
        """How many events the slowest has not read, of those that may be read."""
        return max((self.end - follower.after for follower in self._followers), default=0)

    @property
    def end(self) -> int:
        """The seq up to which may be read."""
        return self._memory.durable

    def follow(
        self, after: int, epoch: str | None, wake: Callable[[], None], *, of: str
    ) -> Follower:
        """A cursor after `after`; one that is not in this log, whose epoch is `of`, is reset."""
        memory, reset = self._memory, None
        if (epoch is not None and epoch != of) or after > memory.head:
            reason = "another epoch" if epoch not in (None, of) else "ahead of the log"
            reset = Reset(conversation=memory.conversation, epoch=of, reason=reason)
            after = 0
        follower = Follower(
            self,
            conversation=memory.conversation,
            epoch=of,
            after=after,
            wake=wake,
            reset=reset,
        )
        follower.is_ended = self._is_ending
        # Registered before anything is read, and no await in between: nothing is missed.
        self._followers.add(follower)
        self._tell()
        return follower

    def detach(self, follower: Follower) -> None:
        """The follower reads no more."""
        if follower in self._followers:
            self._followers.remove(follower)
            self._tell()

    def _tell(self) -> None:
        if (on_change := self._on_change()) is not None:
            on_change()

    def wake(self) -> None:
        """There is something new to read."""
        for follower in self._followers:
            follower.wake()

    def end_streams(self) -> None:
        """Streams end with what there is to read now, those that begin later too."""
        self._is_ending = True
        for follower in self._followers:
            follower.is_ended = True
            follower.wake()

    def close(self, code: Code) -> None:
        """End all subscriptions."""
        conversation = self._memory.conversation
        closed = Closed(conversation=conversation, code=code, retryable=is_retryable(code))
        for follower in list(self._followers):
            follower.closed = closed
            follower.wake()
        self._followers.clear()

    # Frames

    def share(self, frames: list[Frame]) -> None:
        """What is about to become durable, encoded once for the store and for all who read on."""
        # Nobody asks for them before they are durable.
        self._frames = {(self._memory.durable, self._memory.head): frames}

    def forget_frames(self) -> None:
        """Nobody reads."""
        self._frames.clear()

    async def frames(self, after: int, *, max_bytes: int) -> list[Frame]:
        """See `Readable.frames`. Readers at the same place share one encoding."""
        memory = self._memory
        if after < memory.floor:
            try:
                stored = encoded(await self._stored(after, max_bytes))
            except StoreError as error:
                # It could be read when it was opened.
                if not self._is_spoilt:
                    logger.error("conversation=%s cannot be read: %s", memory.conversation, error)
                self._is_spoilt = True
                raise
            self._is_spoilt = False
            return stored
        key = (after, memory.durable)
        frames = self._frames.get(key)
        if frames is None:
            if len(self._frames) >= self._keep_frames:
                self._frames.clear()
            items = memory.read(after, memory.durable, max_bytes=max_bytes)
            if items and isinstance(items[-1], DeltaRun):
                # The run at the end still grows, and who asks for its event may do so later.
                items[-1] = items[-1].cut(after, memory.durable)
            frames = self._frames[key] = encoded(items)
            if frames:
                self._tally.merged_events += frames[-1].seq - after - len(frames)
        return frames

    async def _stored(self, after: int, max_bytes: int) -> list[Item]:
        """Merged items from the store; past what is in memory the next read goes on there."""
        memory, size = self._memory, 0
        items: list[Item] = []
        # Several reads, because a row of one token is many times larger than its text: what is
        # read at once would give readers a frame that is nearly empty.
        while size < max_bytes and after < memory.floor:
            bodies = await self._store.read(memory.conversation, after, max_bytes=max_bytes)
            if not bodies:
                break
            for body in bodies:
                stored = list(continuing(load(body), after))
                items += stored
                size += weight(body, stored)
                after = stored[-1].last_seq
        return list(coalesce(items))


def encoded(items: list[Item]) -> list[Frame]:
    """The frames of these items."""
    return [
        Frame(item.last_seq, TYPE_NAMES[item.type], item.turn, item.encoded(), item)
        if isinstance(item, DeltaRun)
        else Frame(item.event.seq, item.event.type, item.event.turn, item.encoded(), item)
        for item in items
    ]

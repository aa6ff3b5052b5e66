"""The durable log: a log in memory with its store, its committer and its readers.

It sees to log-before-deliver: what is appended becomes visible, and acks may go out, once it is
durable. It decides nothing about what is appended. Where it holds the right to append, this process
writes; otherwise it is a copy of what others have stored, and is read on in the store.
"""

import asyncio
import weakref
from collections.abc import Callable
from typing import Protocol

from turnwire_protocol import Code, Event
from turnwire_server.core.log.codec import dump, load
from turnwire_server.core.log.committer import Committer
from turnwire_server.core.log.follower import Follower
from turnwire_server.core.log.items import (
    DeltaRun,
    DeltaType,
    Entry,
    Item,
    Place,
    Private,
    coalesce,
    continuing,
    weight,
)
from turnwire_server.core.log.memory_log import MemoryLog
from turnwire_server.core.log.readers import KEEP_FRAMES, Readers, encoded
from turnwire_server.core.telemetry import Tally
from turnwire_server.errors import Rejected, Unreadable
from turnwire_server.store.port import Batch, Fence, Store
from turnwire_server.timestamp import timestamp

__all__ = ["DurableLog", "Owner"]

_KEEP_BYTES = 256 * 1024
"""Of text that no turn needs any more, in memory, for readers who are a little behind."""
_LOAD_BYTES = 1024 * 1024


class Owner(Protocol):
    """The conversation a log belongs to."""

    @property
    def is_open(self) -> bool:
        """Whether a turn is unfinished."""

    def on_wait(self, *, has_failed: bool) -> None:
        """What was appended cannot be stored now."""

    def on_lost(self) -> None:
        """Another process owns the log; nothing more can be stored."""

    def on_followers(self) -> None:
        """A reader has come or gone, or the right to append was given back."""


class DurableLog:
    """One conversation's log, made durable and shown to its readers.

    It does not keep its owner, who keeps it.
    """

    def __init__(
        self,
        conversation: str,
        store: Store,
        committer: Committer,
        owner: Owner,
        *,
        keep_bytes: int = _KEEP_BYTES,
        keep_frames: int = KEEP_FRAMES,
        tally: Tally | None = None,
    ) -> None:
        self.conversation = conversation
        self.memory = MemoryLog(conversation)
        # Weakly, because we have them: what is let go of must not wait for the collector.
        self.readers = Readers(
            self.memory,
            store,
            on_change=weakref.WeakMethod(self._on_readers),
            keep_frames=keep_frames,
            tally=tally or Tally(),
        )
        self.epoch = ""
        """Empty until it is known: nothing is stored, and nobody has claimed it."""
        self.title: str | None = None
        """Set to give the conversation a title with the next batch."""
        self._fence: Fence | None = None
        self._is_releasing = False
        """Whether a batch is on its way that gives the fence back: nothing may follow it."""
        self._store = store
        self._committer = committer
        # Weakly, too, as the owner has us.
        self._owner = weakref.ref(owner)
        self._keep_bytes = keep_bytes
        self._released = 0
        self._withdrawn: int | None = None
        """Lowest seq withdrawn since the last good commit. The failed commit may have stored
        entries above it; `reconcile` finds out."""
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._is_noted = False
        self._ended: Code | None = None
        """Why it is over, once it is."""
        self._unstored_weight = 0
        self.weight = 0
        """Bytes of all that is stored of it, roughly: as many as its folded history has."""

    async def load(self, epoch: str, head: int, take: Callable[[Item], None]) -> bool:
        """Read on in the stored log, which reaches to `head` at least, giving each item to `take`.

        One call at a time, and only while nothing here waits to be stored. False: what is stored is
        another log than this one, or lacks what was read of it before.

        Raises:
            Unreadable: it cannot be decoded, or does not reach to the head without a gap.
        """
        memory, known = self.memory, self.memory.head
        self.epoch = self.epoch or epoch
        if epoch != self.epoch:
            return False
        if memory.head == head:
            return True
        # To the last row, and not to the head alone: a row may say that it reaches further.
        while bodies := await self._store.read(
            self.conversation, memory.head, max_bytes=_LOAD_BYTES
        ):
            self.extend(bodies, take)
        if memory.head == head and not self._store.is_shared:
            return True
        # Others may have gone on while this was read, or begun the log anew.
        now = await self._store.head(self.conversation)
        if now is None or now.epoch != epoch or 0 <= now.seq < known:
            return False
        if not head <= memory.head <= now.seq:
            raise Unreadable(f"its rows reach to {memory.head}, and its head is {now.seq}")
        return True

    def extend(self, bodies: list[bytes], take: Callable[[Item], None]) -> None:
        """Take in stored rows that go on at the head: readers see them at once.

        Raises:
            Unreadable: they cannot be decoded, or do not go on there.
        """
        memory, items = self.memory, []
        for body in bodies:
            loaded = load(body)
            self.weight += weight(body, loaded)
            items += loaded
        for item in coalesce(continuing(items, memory.head)):
            take(item)
            memory.take(item)
        self._released = memory.head
        self.readers.wake()
        self._trim()

    # The right to append

    @property
    def is_held(self) -> bool:
        """Whether something may be appended now: this process has the right to, and keeps it."""
        return self._fence is not None and not self._is_releasing

    @property
    def fence(self) -> Fence:
        """See `Source.fence`. Nobody appends to a log that somebody else may write."""
        assert self._fence is not None, f"{self.conversation} is not held"
        return self._fence

    def hold(self, fence: Fence) -> None:
        """The right to append is this process's; the log was read up to its head."""
        self.epoch, self._fence = fence.epoch, fence

    def give_back(self) -> Fence | None:
        """Append nothing more. Gives the fence, if there is one that no batch gives back."""
        fence, self._fence = (self._fence if self.is_held else None), None
        self._tell_owner()
        return fence

    # Writing

    def place(self, turn: str) -> Place:
        """Where the next event stands. Good for one event, appended before any other."""
        seq = self.memory.head + 1
        return {"conversation": self.conversation, "seq": seq, "turn": turn, "at": timestamp()}

    def append(self, event: Event, private: Private | None) -> None:
        """Append an event."""
        self.memory.append(event, private)
        self._note()
        self._committer.hurry()

    def append_delta(
        self, type: DeltaType, turn: str, block: int, text: str, *, tool_id: str | None
    ) -> None:
        """Append a delta. The path of every token."""
        goes_on = self.memory.append_delta(type, turn, block, text, tool_id=tool_id)
        if not self._is_noted:
            self._note()
        if not goes_on:
            # The first token: who waits for it waits for nothing else.
            self._committer.hurry()

    def withdraw(self, after: int, refused: Rejected) -> None:
        """Take back what was appended after `after`, which no commit has stored; its acks fail."""
        self.memory.cut(after)
        self._withdrawn = after if self._withdrawn is None else min(after, self._withdrawn)
        for seq, future in self._waiting:
            if seq > after and not future.done():
                future.set_exception(refused)
                # Who waited may be gone: then nobody asks, and asyncio would complain of that.
                future.exception()
        self._waiting = [(seq, future) for seq, future in self._waiting if seq <= after]

    def ends_with(self, turn: str, seq: int) -> bool:
        """Whether nothing from this event of the turn on is durable, or of another turn."""
        memory = self.memory
        return seq > memory.durable and all(
            item.turn == turn for item in memory.read(seq - 1, memory.head)
        )

    def check_store(self) -> None:
        """Whether something new may be appended for which an ack is owed.

        Raises:
            Rejected: the store fails or hangs now.
        """
        if self._committer.trouble is not None:
            raise Rejected.because_of_the_store()

    def release(self) -> None:
        """Everything appended so far is needed by readers only."""
        self._released = self.memory.head

    def durable(self, seq: int) -> asyncio.Future[None]:
        """Done once `seq` is durable; raises `Rejected` if it was withdrawn, or never will be."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if seq <= self.memory.durable:
            future.set_result(None)
        elif self._ended is not None:
            future.set_exception(_gone(self._ended))
            # Who asked may not wait: see `withdraw`.
            future.exception()
        else:
            self._waiting.append((seq, future))
        return future

    def all_durable(self) -> asyncio.Future[None]:
        """Done once all that is appended now is durable; see `durable`."""
        return self.durable(self.memory.head)

    # The committer's side

    def _note(self) -> None:
        if not self._is_noted and not self.is_closed:
            self._is_noted = True
            self._committer.note(self)

    def unstored(self) -> Batch | None:
        """See `Source.unstored`."""
        self._is_noted = False
        memory = self.memory
        if self.is_closed or memory.head == memory.durable:
            return None
        items = memory.read(memory.durable, memory.head)
        if isinstance(items[-1], DeltaRun):
            # The run at the end still grows; what is stored of it does not.
            items[-1] = items[-1].cut(memory.durable, memory.head)
        frames = encoded(items)
        self.readers.share(frames)
        entries = [item for item in items if isinstance(item, Entry)]
        body = dump(items, [frame.text for frame in frames])
        self._unstored_weight = weight(body, items)
        is_open = (owner := self._owner()) is not None and owner.is_open
        self._is_releasing = self._store.is_shared and not is_open
        return Batch(
            self.fence,
            first_seq=memory.durable + 1,
            last_seq=memory.head,
            body=body,
            is_open=is_open,
            title=self.title,
            blobs=frozenset(blob for entry in entries for blob in entry.blobs),
            spent=tuple(spent for entry in entries if (spent := entry.spent) is not None),
            releases=self._is_releasing,
        )

    def stored(self, upto: int) -> None:
        """See `Source.stored`: readers may see up to `upto` now."""
        self.memory.durable = upto
        is_released = self._is_releasing and upto == self.memory.head
        if is_released:
            self._fence, self._is_releasing = None, False
        self.weight, self._unstored_weight = self.weight + self._unstored_weight, 0
        self._withdrawn = None
        # It went with the first batch; with a later one it would undo a renaming.
        self.title = None
        if self._waiting:
            for seq, future in self._waiting:
                if seq <= upto and not future.done():
                    future.set_result(None)
            self._waiting = [(seq, future) for seq, future in self._waiting if seq > upto]
        self.readers.wake()
        self._trim()
        if is_released:
            self._tell_owner()

    def reconcile(self, head: int) -> None:
        """See `Source.reconcile`: what is there and was not taken back is stored."""
        if head <= self.memory.durable:
            self._withdrawn = None
        elif (self._withdrawn is not None and head > self._withdrawn) or head > self.memory.head:
            # What is there was taken back here, or somebody else has written it.
            self.lost()
        else:
            self.stored(head)

    def waits(self, *, has_failed: bool) -> None:
        """See `Source.waits`."""
        if (owner := self._owner()) is not None:
            owner.on_wait(has_failed=has_failed)

    def lost(self) -> None:
        """See `Source.lost`."""
        if (owner := self._owner()) is not None:
            owner.on_lost()

    # Reading

    @property
    def end(self) -> int:
        """The seq up to which may be read."""
        return self.memory.durable

    @property
    def has_followers(self) -> bool:
        """Whether anybody reads."""
        return bool(self.readers)

    @property
    def is_closed(self) -> bool:
        """Whether it is over: nothing is stored any more."""
        return self._ended is not None

    @property
    def is_stored(self) -> bool:
        """Whether all that was appended is durable, and what was taken back is not in doubt."""
        return self.memory.head == self.memory.durable and self._withdrawn is None

    def follow(self, after: int, epoch: str | None, wake: Callable[[], None]) -> Follower:
        """A cursor after `after`; one that is not in this log is reset to the start."""
        return self.readers.follow(after, epoch, wake, of=self.epoch)

    def _on_readers(self) -> None:
        if not self.readers:
            self._trim()
        self._tell_owner()

    def _tell_owner(self) -> None:
        if (owner := self._owner()) is not None:
            owner.on_followers()

    def _trim(self) -> None:
        """Forget what no turn needs and no reader is near to: the tokens of an answer, each an
        object, take fifteen times as much room as its text."""
        if self._released < self.memory.durable:
            return
        self.memory.trim(self._keep_bytes if self.readers else 0)
        if not self.readers:
            self.readers.forget_frames()

    async def hang_up(self) -> None:
        """The process goes down: store what waits, then end the streams."""
        if self.is_closed:
            return
        await self.all_durable()
        self.end_streams()

    def end_streams(self) -> None:
        """Streams end with what there is to read now, those that begin later too."""
        self.readers.end_streams()

    def close(self, code: Code) -> None:
        """End all subscriptions; nothing more is stored."""
        self._ended = code
        self.readers.close(code)
        self.withdraw(self.memory.durable, _gone(code))


def _gone(code: Code) -> Rejected:
    return Rejected(code, "the conversation is gone")

"""The open conversations: found in the store, opened once for all who ask, let go when idle.

It decides on no command. Opening takes time, and between its end and the moment at which who waited
for it goes on, others have their turn: each of these gaps is closed by a name below.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable

from turnwire_protocol import Code
from turnwire_server.core.conversation import Conversation
from turnwire_server.core.inquiry import Inquiries
from turnwire_server.core.log.committer import Committer
from turnwire_server.core.turn.turn import Services
from turnwire_server.errors import Rejected, StoreError, Unreadable
from turnwire_server.store.port import Fence, Head, Store

__all__ = ["OpenConversations"]

logger = logging.getLogger(__name__)

_MAX_OPEN = 1000
"""Conversations; beyond, idle ones are let go."""


class OpenConversations:
    """Those that are in memory. Somebody else's looks like an unknown one.

    `on_done` is called after each turn with its conversation and the seq before it. Beyond
    `max_open`, or `max_open_bytes` of memory, idle ones are let go; those that are not idle are
    bounded by sockets, streams and running turns. So is each that nobody has used for
    `idle_seconds`: opening it again is a read of its log. `look_seconds`: how often that, and the
    memory, is looked at.
    """

    def __init__(
        self,
        store: Store,
        committer: Committer,
        services: Services,
        inquiries: Inquiries,
        *,
        on_done: Callable[[Conversation, int], None],
        max_open: int | None = None,
        max_open_bytes: int,
        idle_seconds: float,
        look_seconds: float = 1.0,
    ) -> None:
        self._store = store
        self._committer = committer
        self._services = services
        self._inquiries = inquiries
        self._on_done = on_done
        self._max_open = _MAX_OPEN if max_open is None else max_open
        self._max_open_bytes = max_open_bytes
        self._idle_seconds = idle_seconds
        self._look_seconds = min(look_seconds, idle_seconds)
        self._open: dict[str, asyncio.Task[Conversation]] = {}
        """The longest unused first."""
        self._idle_since: dict[str, float] = {}
        """Since when nobody has used it (monotonic seconds), as seen when it was last looked at."""
        self._timer: asyncio.TimerHandle | None = None
        self._entering: Counter[str] = Counter()
        """Conversations that somebody waits for, to use them: how many do."""
        self._releasing: set[asyncio.Task[None]] = set()
        self._deleting: dict[str, asyncio.Event] = {}
        """Set once the conversation is gone, or could not be deleted."""
        self._unreadable: set[str] = set()
        """Conversations of which the log has said that they cannot be read."""
        self._is_draining = False
        self._has_hung_up = False

    def all(self) -> list[Conversation]:
        """Those that are open now, the longest unused first."""
        return [
            task.result()
            for task in self._open.values()
            if task.done() and not task.cancelled() and task.exception() is None
        ]

    async def recover(self, head: Head) -> None:
        """Open a conversation that an earlier process left unfinished, which ends its turn."""
        try:
            await self._opening(head.conversation, head.owner)
        except StoreError as error:
            # One bad log keeps nobody else from being served. It is refused to who asks.
            self.name_unreadable(head.conversation, error)
        else:
            logger.info("recovered conversation=%s", head.conversation)

    async def head(self, principal: str, id: str) -> Head:
        """What is known of the conversation without reading it.

        Raises:
            Rejected: unknown conversation.
        """
        head = await self._inquiries.read(self._store.head(id))
        if head is None or head.owner != principal:
            raise _unknown()
        return head

    async def find(self, principal: str, id: str) -> Conversation:
        """The conversation, opened if need be.

        Raises:
            Rejected: unknown conversation.
        """
        while id not in self._deleting:
            if self._opened(id) is None:
                await self.head(principal, id)
                if id in self._deleting:
                    break
            conversation = await self._enter(id, principal)
            if conversation is None:
                continue
            # An id that was derived from a key, whose send was refused, has no log.
            if conversation.owner != principal or conversation.is_empty:
                break
            return conversation
        raise _unknown()

    async def create(self, principal: str, id: str) -> Conversation:
        """The conversation, begun if there is none.

        Raises:
            Rejected: it is somebody else's, or cannot be read now.
        """
        while True:
            # What is about to go must not be opened; once it is gone, its key begins another one.
            while (deleting := self._deleting.get(id)) is not None:
                await deleting.wait()
            conversation = await self._enter(id, principal)
            if conversation is None:
                continue
            # Ids derive from what principals are called, which is the app's to choose.
            if conversation.owner != principal:
                raise _unknown()
            return conversation

    async def delete(self, principal: str, id: str) -> None:
        """End what runs and all subscriptions, forget the log.

        Raises:
            Rejected: unknown conversation, or the store cannot be written.
        """
        try:
            found = await self.find(principal, id)
        except Rejected as rejected:
            # What cannot be read can still be got rid of.
            if not isinstance(rejected.__cause__, Unreadable):
                raise
        else:
            found.close(Code.UNKNOWN_CONVERSATION)
        self._open.pop(id, None)
        self._unreadable.discard(id)
        # Whoever asks meanwhile must not open what is about to go.
        over = self._deleting[id] = asyncio.Event()
        try:
            await self._inquiries.done(self._store.delete(id))
        finally:
            del self._deleting[id]
            over.set()

    def drain(self) -> None:
        """The process goes down soon; see `Conversation.drain`. Also of those that come now."""
        self._is_draining = True
        for conversation in self.all():
            conversation.drain()

    def end_streams(self) -> None:
        """End all streams, also those whose end cannot be stored, and those that come now."""
        self._has_hung_up = True
        for conversation in self.all():
            conversation.end_streams()

    def name_unreadable(self, id: str, error: StoreError) -> None:
        """Say it in the program's log, once: it is asked for again and again."""
        if id not in self._unreadable:
            self._unreadable.add(id)
            logger.error("conversation=%s cannot be read and is refused: %s", id, error)

    # Opening

    async def _enter(self, id: str, principal: str) -> Conversation | None:
        """The conversation, opened if need be; None if it has been deleted or lost meanwhile.

        Between its opening and the moment at which who waited for it goes on, others have their
        turn. It must not be evicted then: who took it would read and write beside all others.
        """
        task = self._opening(id, principal)
        self._entering[id] += 1
        self._idle_since.pop(id, None)
        try:
            conversation = await self._inquiries.done(asyncio.shield(task))
        finally:
            self._entering[id] -= 1
            if not self._entering[id]:
                del self._entering[id]
        if self._opened(id) is not task:
            return None
        self._open[id] = self._open.pop(id)
        return conversation

    def _opening(self, id: str, principal: str) -> asyncio.Task[Conversation]:
        """Single-flight: whoever comes while it opens waits for the same."""
        task = self._opened(id)
        if task is None:
            self._evict()
            task = asyncio.create_task(self._load(id, principal), name=f"open {id}")
            self._open[id] = task
            # One that fails is let go of at once: its id may have been made up for it.
            task.add_done_callback(lambda task: self._opened(id))
        return task

    def _opened(self, id: str) -> asyncio.Task[Conversation] | None:
        """The conversation, open or opening; one that failed to open or is over is let go."""
        task = self._open.get(id)
        if task is not None and task.done():
            failed = task.cancelled() or task.exception() is not None
            if failed or task.result().is_closed:
                del self._open[id]
                return None
        return task

    async def _load(self, id: str, principal: str) -> Conversation:
        claim = await self._store.claim(id, principal, secrets.token_hex(6))
        if claim.fence is None:
            raise StoreError(f"conversation={id} is held by {claim.holder}")
        conversation = Conversation(
            claim.fence,
            store=self._store,
            committer=self._committer,
            services=self._services,
            on_done=self._on_done,
        )
        try:
            await conversation.load()
        except Unreadable as error:
            self.name_unreadable(id, error)
            raise
        if self._is_draining:
            conversation.drain()
        if self._has_hung_up:
            conversation.end_streams()
        self._look_again()
        return conversation

    def _evict(self) -> None:
        """Where there are too many, let go of those idle ones that nobody has used for longest, a
        tenth at once; their logs are in the store."""
        if len(self._open) >= self._max_open:
            for one in self._idle()[: max(self._max_open // 10, 1)]:
                del self._open[one.conversation]

    def _idle(self) -> list[Conversation]:
        return [one for one in self.all() if one.is_idle and one.conversation not in self._entering]

    def _look(self) -> None:
        """Let go of what has been idle for long, and of more where all are too many or too large.

        Looked at now and then: to add up what all weigh at each opening would cost more than it.
        """
        now = time.monotonic()
        size = sum(one.weight for one in self.all())
        most = self._max_open_bytes
        if size > most:
            most -= most // 10
        idle = self._idle()
        since = {one.conversation: self._idle_since.get(one.conversation, now) for one in idle}
        for one in idle:
            is_over = size > most or len(self._open) > self._max_open
            if is_over or now - since[one.conversation] >= self._idle_seconds:
                size -= one.weight
                del self._open[one.conversation], since[one.conversation]
        self._idle_since = since
        self._timer = None
        self._look_again()

    def _look_again(self) -> None:
        if self._timer is None and self._open:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._look_seconds, self._look)

    def forget_empty(self, conversation: Conversation) -> None:
        """A message was refused that would have begun it: it takes no place any more."""
        id = conversation.conversation
        if conversation.is_empty and conversation.is_idle and id not in self._entering:
            self._open.pop(id, None)
            # Whoever claims it from now on does so anew: which of the two comes first is the same.
            task = asyncio.create_task(self._release(conversation.fence), name=f"release {id}")
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    async def _release(self, fence: Fence) -> None:
        with contextlib.suppress(StoreError):  # It goes with this process, at the latest.
            await self._store.release(fence)

    def close(self) -> None:
        """Look after idle ones no more."""
        if self._timer is not None:
            self._timer.cancel()


def _unknown() -> Rejected:
    return Rejected(Code.UNKNOWN_CONVERSATION, "conversation: no such conversation")

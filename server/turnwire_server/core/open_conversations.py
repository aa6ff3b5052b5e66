"""The open conversations: found in the store, opened once for all who ask, let go when idle.

It decides on no command. Opening takes time, and between its end and the moment at which who waited
for it goes on, others have their turn: each of these gaps is closed by a name below.

What is opened is a copy, which claims nothing. Who wants to append to it asks for the right to
(`hold`). Where other processes share the store, the copy is looked after each time it is asked for,
unless the right to append is here; that goes back with the batch that ends the last turn.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from turnwire_protocol import Code
from turnwire_server.core.attendance import Attendance
from turnwire_server.core.claims import Claims
from turnwire_server.core.conversation import Conversation
from turnwire_server.core.idle_order import IdleOrder
from turnwire_server.core.inquiry import Inquiries
from turnwire_server.core.log.committer import Committer
from turnwire_server.core.turn.services import Services
from turnwire_server.errors import Held, Rejected, StoreError, Unreadable
from turnwire_server.store.port import Head, Store

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
        self._open: dict[str, asyncio.Future[Conversation]] = {}
        self._order = IdleOrder(is_wanted=lambda id: id in self._entering)
        """Of the same: what is to be let go of first, in monotonic seconds."""
        self.attendance = Attendance(
            store.nodes,
            opened=self.opened,
            refresh=self._refresh,
            on_rows_taken=self._changed,
        )
        self._claims = Claims(store, committer, inquiries, self.attendance)
        self._timer: asyncio.TimerHandle | None = None
        self._entering: Counter[str] = Counter()
        """Conversations that somebody waits for, to use them: how many do."""
        self._deleting: dict[str, asyncio.Event] = {}
        """Set once the conversation is gone, or could not be deleted."""
        self._unreadable: set[str] = set()
        """Conversations of which the log has said that they cannot be read."""
        self._is_draining = False
        self._has_hung_up = False

    def all(self) -> list[Conversation]:
        """Those that are open now."""
        return [
            task.result()
            for task in self._open.values()
            if task.done() and not task.cancelled() and task.exception() is None
        ]

    def opened(self, id: str) -> Conversation | None:
        """The one of this id that is open now."""
        task = self._opened(id)
        return task.result() if task is not None and task.done() else None

    def lost(self) -> None:
        """This process is dead to the others, or may be soon: it holds nothing any more."""
        for conversation in self.all():
            if conversation.is_held or not conversation.is_stored:
                conversation.close(Code.STORAGE_UNAVAILABLE)

    async def compare(self) -> None:
        """The store may lack what was committed last: let go of what has more of it here.

        Raises:
            StoreError: the store cannot be read.
        """
        for conversation in self.all():
            id = conversation.conversation
            if conversation.is_held:
                known = conversation.head  # It may grow while the store is asked.
                head = await self._store.head(id)
                if known > (0 if head is None else head.seq):
                    conversation.on_lost()
                continue
            try:
                await self._refresh(conversation)
            except Unreadable as error:
                self.name_unreadable(id, error)

    async def recover(self, head: Head) -> None:
        """Open a conversation that another process left unfinished, which ends its turn."""
        id = head.conversation
        try:
            is_copy = self._opened(id) is not None
            with self._used(id):
                conversation = await self._opening(id, head.owner, head)
                if is_copy:
                    await self._refresh(conversation)
        except (StoreError, Rejected) as error:
            # One bad log keeps nobody else from being served. It is refused to who asks.
            self.name_unreadable(id, error)
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
        """The conversation, opened if need be, as it is in the store now.

        Raises:
            Rejected: unknown conversation.
        """
        return await self._find(principal, id, refreshes=self._store.is_shared)

    async def _find(self, principal: str, id: str, *, refreshes: bool) -> Conversation:
        while id not in self._deleting:
            head = None
            if self._opened(id) is None:
                head = await self.head(principal, id)
                if id in self._deleting:
                    break
            conversation = await self._enter(id, principal, head, refreshes=refreshes)
            if conversation is None:
                continue
            # An id that was derived from a key, whose send was refused, has no log.
            if conversation.owner != principal or conversation.is_empty:
                break
            return conversation
        raise _unknown()

    async def hold(
        self, principal: str, id: str, *, begins: bool, is_new: bool = False
    ) -> Conversation:
        """The conversation, with the right to append to it; who asked must append at once.

        `begins`: it is begun if there is none. `is_new`: the id was made up for it just now, so the
        store cannot have it, and is not asked.

        Raises:
            Rejected: unknown conversation, or the store cannot be used.
            Held: another node has it.
        """
        while True:
            if begins:
                conversation = await self._create(principal, id, is_new=is_new)
            else:
                conversation = await self._find(principal, id, refreshes=False)
            if conversation.is_held:
                return conversation
            try:
                with self._used(id):
                    async with conversation.copying:
                        if not (conversation.is_held or conversation.is_closed):
                            await self._inquiries.done(self._claims.ask(conversation))
            except BaseException:
                self.forget_unused(conversation)
                raise
            # Who waited here with us may have begun a turn by now, or deleted it.
            if conversation.is_held and self._has(conversation):
                return conversation

    async def _create(self, principal: str, id: str, *, is_new: bool) -> Conversation:
        """The conversation, begun if there is none.

        Raises:
            Rejected: it is somebody else's, or cannot be read now.
        """
        while True:
            # What is about to go must not be opened; once it is gone, its key begins another one.
            while (deleting := self._deleting.get(id)) is not None:
                await deleting.wait()
            conversation = await self._enter(id, principal, is_new=is_new)
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
            Held: another node has it.
        """
        nodes: list[str] = []
        try:
            found = await self.hold(principal, id, begins=False)
        except Rejected as rejected:
            # What cannot be read can still be got rid of.
            if not isinstance(rejected.__cause__, Unreadable):
                raise
        else:
            nodes = self.attendance.readers_of(found)
            found.close(Code.UNKNOWN_CONVERSATION)
        self._forget(id)
        self._unreadable.discard(id)
        # Whoever asks meanwhile must not open what is about to go.
        over = self._deleting[id] = asyncio.Event()
        try:
            await self._inquiries.done(self._store.delete(id))
            self.attendance.deleted(id, nodes)
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

    def give_up(self) -> None:
        """Nothing is stored any more: end what waits for that; recovery ends the turns."""
        for conversation in self.all():
            if not conversation.is_stored:
                conversation.close(Code.STORAGE_UNAVAILABLE)

    def name_unreadable(self, id: str, error: StoreError | Rejected) -> None:
        """Say it in the program's log, once: it is asked for again and again."""
        if id not in self._unreadable:
            self._unreadable.add(id)
            logger.error("conversation=%s cannot be read and is refused: %s", id, error)

    # Opening

    async def _enter(
        self,
        id: str,
        principal: str,
        head: Head | None = None,
        *,
        refreshes: bool = False,
        is_new: bool = False,
    ) -> Conversation | None:
        """The conversation, opened if need be; None if it has been deleted or lost meanwhile."""
        # What is being opened may have been read before who asks now knew what they know.
        refreshes = refreshes and self._opened(id) is not None
        task = self._opening(id, principal, head, is_new=is_new)
        with self._used(id):
            conversation = await self._inquiries.done(asyncio.shield(task))
            if refreshes:
                await self._inquiries.done(self._refresh(conversation))
        return conversation if self._opened(id) is task else None

    @contextmanager
    def _used(self, id: str) -> Iterator[None]:
        """While somebody waits for it. Between its opening and the moment at which they go on,
        others have their turn. It must not be evicted then: who took it would read and write beside
        all others."""
        self._entering[id] += 1
        self._change(id)
        try:
            yield
        finally:
            self._entering[id] -= 1
            if not self._entering[id]:
                del self._entering[id]
            self._change(id)

    def _opening(
        self, id: str, principal: str, head: Head | None, *, is_new: bool = False
    ) -> asyncio.Future[Conversation]:
        """Single-flight: whoever comes while it opens waits for the same."""
        task = self._opened(id)
        if task is None:
            self._evict()
            if is_new:
                task = self._open[id] = asyncio.get_running_loop().create_future()
                task.set_result(self._ready(self._made(id, principal)))
                return task
            task = asyncio.create_task(self._load(id, principal, head), name=f"open {id}")
            self._open[id] = task
            # One that fails is let go of at once: its id may have been made up for it. And who
            # wanted it may have gone.
            task.add_done_callback(lambda task: self._change(id))
        return task

    def _opened(self, id: str) -> asyncio.Future[Conversation] | None:
        """The conversation, open or opening; one that failed to open or is over is let go."""
        task = self._open.get(id)
        if task is not None and task.done():
            failed = task.cancelled() or task.exception() is not None
            if failed or task.result().is_closed:
                self._forget(id)
                return None
        return task

    async def _load(self, id: str, principal: str, head: Head | None) -> Conversation:
        if head is None:
            head = await self._store.head(id)
        conversation = self._made(id, principal if head is None else head.owner)
        try:
            if head is not None:
                conversation.holder = head.holder
                await conversation.load(head.epoch, head.seq)
            await self._end_orphan(conversation)
        except Unreadable as error:
            self.name_unreadable(id, error)
            raise
        return self._ready(conversation)

    def _made(self, id: str, owner: str) -> Conversation:
        return Conversation(
            id,
            owner,
            store=self._store,
            committer=self._committer,
            services=self._services,
            on_done=self._turn_done,
            on_readers=self._readers_changed,
            on_lost=self._claims.lost,
        )

    def _ready(self, conversation: Conversation) -> Conversation:
        """The same, as open from now on."""
        if self._is_draining:
            conversation.drain()
        if self._has_hung_up:
            conversation.end_streams()
        self._look_again()
        return conversation

    def _has(self, conversation: Conversation) -> bool:
        """Whether this is the one that is open."""
        task = self._opened(conversation.conversation)
        return task is not None and task.done() and task.result() is conversation

    # Copies, and the right to append

    async def _refresh(self, conversation: Conversation) -> None:
        """Bring a copy up to date with the store. Where the right to append is here, or what was
        appended waits to be stored, nobody else has written."""
        async with conversation.copying:
            if conversation.is_held or conversation.is_closed or not conversation.is_stored:
                return
            head = await self._store.head(conversation.conversation)
            if head is not None:
                conversation.holder = head.holder
                await conversation.load(head.epoch, head.seq)
                self._changed(conversation)
            elif not conversation.is_empty:
                conversation.close(Code.UNKNOWN_CONVERSATION)
            await self._end_orphan(conversation)

    async def _end_orphan(self, conversation: Conversation) -> None:
        """End a turn that has nobody any more who could, if there is one: its readers wait."""
        if not conversation.is_open or conversation.is_closed:
            return
        with suppress(Held):
            await self._claims.ask(conversation)
            self._claims.give_back(conversation)

    # Letting go

    def _change(self, id: str) -> None:
        if (conversation := self.opened(id)) is not None:
            self._order.change(conversation)

    def _changed(self, conversation: Conversation) -> None:
        if self._has(conversation):
            self._order.change(conversation)

    def _readers_changed(self, conversation: Conversation) -> None:
        self._changed(conversation)
        if self._store.is_shared:
            # In a store of one process all readers are here.
            self.attendance.look(conversation)

    def _turn_done(self, conversation: Conversation, after: int) -> None:
        self._changed(conversation)
        self._on_done(conversation, after)

    def _evict(self) -> None:
        """Where there are too many, let go of those idle ones that nobody has used for longest, a
        tenth at once; their logs are in the store."""
        if len(self._open) >= self._max_open:
            self._give_back(self._order.sort(time.monotonic()))
            for _ in range(max(self._max_open // 10, 1)):
                if (oldest := self._order.oldest) is None:
                    break
                self._let_go(oldest[1])

    def _give_back(self, idle: list[Conversation]) -> None:
        """Other nodes may have them."""
        for one in idle:
            self._claims.give_back(one)

    def _let_go(self, one: Conversation) -> None:
        self._forget(one.conversation)
        self._claims.give_back(one)

    def _forget(self, id: str) -> None:
        self._open.pop(id, None)
        self._order.forget(id)

    def _look(self) -> None:
        """Let go of what has been idle for long, and of more where all are too many or too large.

        Looked at now and then: to look at what changes each time that it does would cost more.
        """
        now = time.monotonic()
        self._give_back(self._order.sort_all(now))
        most = self._max_open_bytes
        if self._order.size > most:
            most -= most // 10
        while (oldest := self._order.oldest) is not None:
            since, one = oldest
            is_over = self._order.size > most or len(self._open) > self._max_open
            if not is_over and now - since < self._idle_seconds:
                break
            self._let_go(one)
        self._timer = None
        self._look_again()

    def _look_again(self) -> None:
        if self._timer is None and self._open:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._look_seconds, self._look)

    def forget_unused(self, conversation: Conversation) -> None:
        """A message was refused, or had come before: what it would have begun takes no place any
        more, and the right to append is not kept for it."""
        if conversation.conversation in self._entering:
            return
        self._claims.give_back(conversation)
        if conversation.is_empty and conversation.is_idle and self._has(conversation):
            self._forget(conversation.conversation)

    def close(self) -> None:
        """Look after idle ones no more."""
        if self._timer is not None:
            self._timer.cancel()


def _unknown() -> Rejected:
    return Rejected(Code.UNKNOWN_CONVERSATION, "conversation: no such conversation")

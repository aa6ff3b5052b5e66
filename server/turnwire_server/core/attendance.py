"""Attendance: who reads what on which node. It knows no command and no transport.

To the node that holds a conversation, another node with readers of it is one more follower, whose
waking is a word to that node: presence counts it, and every commit wakes it. To a node with readers
of what others hold, a word from there is the reason to read on in the store. Words may be lost, so
it looks every second, too.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from itertools import count

from turnwire_server.core.conversation import Conversation
from turnwire_server.core.log.follower import Follower
from turnwire_server.errors import Rejected, StoreError, Unreadable
from turnwire_server.store.nodes import News, Nodes

__all__ = ["Attendance"]

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_LOOKS_AT_IDLE = 5
"""At what runs nowhere every so many looks: there may be thousands of these."""


class Attendance:
    """Of the open conversations of this node.

    `opened` gives the one of that id that is open; `refresh` brings it up to date with the store;
    `on_rows_taken`: it has become longer without that.
    """

    def __init__(
        self,
        nodes: Nodes,
        *,
        opened: Callable[[str], Conversation | None],
        refresh: Callable[[Conversation], Awaitable[None]],
        on_rows_taken: Callable[[Conversation], None],
    ) -> None:
        self._nodes = nodes
        self._opened = opened
        self._refresh = refresh
        self._on_rows_taken = on_rows_taken
        self._attended: dict[str, Conversation] = {}
        """What other nodes are asked to tell us of."""
        self._far: dict[str, dict[str, Follower]] = {}
        """By conversation that is held here: each other node that has readers of it."""
        self._stale: dict[str, None] = {}
        """What may have to be read on."""
        self._is_stale = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to look."""
        self._spawn(self._read_on())
        self._spawn(self._look_often())

    async def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def look(self, conversation: Conversation) -> None:
        """Its readers here, or the right to append to it, have changed."""
        id = conversation.conversation
        is_held = not conversation.is_closed and (
            conversation.is_held or not conversation.is_stored
        )
        if not is_held:
            # Whoever holds it next learns of them from the store.
            for follower in self._far.pop(id, {}).values():
                follower.close()
        if conversation.is_closed or not conversation.has_followers:
            if self._attended.get(id) is conversation:
                del self._attended[id]
                self._nodes.leave(id)
        elif not is_held and self._attended.get(id) is not conversation:
            self._attended[id] = conversation
            self._spawn(self._attend(id))

    async def _attend(self, id: str) -> None:
        # Twice: whoever claimed it while the first word was under way had looked for readers before
        # that was there, and was not yet the holder that is told.
        for _ in range(2):
            # Who began to read may have left: that has been said, and this would come behind it.
            if id in self._attended:
                await self._nodes.attend(id)
        # What was appended before the holder knew of us is read now.
        self.on_rows([id])

    # Here it is held

    def meet(self, conversation: Conversation, names: Collection[str]) -> None:
        """These other nodes have readers of it, which is held here."""
        id = conversation.conversation
        known = self._far.get(id, {})
        for name in known.keys() - set(names):
            known.pop(name).close()
        for name in names:
            if name not in known:
                wake = partial(self._nodes.wake, name, id)
                follower = conversation.follow(conversation.head, conversation.epoch, wake)
                self._far.setdefault(id, {})[name] = follower
                # It may have read before this node was told of it.
                wake()

    def on_readers(self, conversations: Iterable[str]) -> None:
        """Other nodes have begun to read them, or read them no more."""
        for id in conversations:
            conversation = self._opened(id)
            if conversation is not None:
                self._spawn(self._meet(conversation))

    async def _meet(self, conversation: Conversation) -> None:
        id = conversation.conversation
        try:
            # It may just be about to be held.
            async with conversation.copying:
                names = await self._nodes.readers(id) if conversation.is_held else []
                if conversation.is_held:
                    self.meet(conversation, names)
        except StoreError as error:
            logger.warning("conversation=%s: who reads it is not known now: %s", id, error)

    def deleted(self, conversation: str, nodes: Iterable[str]) -> None:
        """It is gone from the store, and these nodes had readers of it."""
        for node in nodes:
            self._nodes.wake(node, conversation)

    def readers_of(self, conversation: Conversation) -> list[str]:
        """The other nodes that have readers of what is held here."""
        return list(self._far.get(conversation.conversation, {}))

    # Somewhere else it is held, or nowhere

    def on_rows(self, conversations: Iterable[str]) -> None:
        """There may be more of them in the store."""
        self._stale.update(dict.fromkeys(conversations))
        self._is_stale.set()

    async def _read_on(self) -> None:
        while True:
            await self._is_stale.wait()
            self._is_stale.clear()
            # While these are read, all further words of one conversation become one.
            stale, self._stale = self._stale, {}
            try:
                await self._read(stale)
            except StoreError as error:
                # The next look finds them behind.
                logger.debug("%d conversations cannot be read on now: %s", len(stale), error)
            except Exception:
                # Boundary: the one task that reads for all readers here lives on.
                logger.exception("%d conversations cannot be read on", len(stale))

    async def _read(self, stale: Collection[str]) -> None:
        copies = {
            id: one
            for id in stale
            if (one := self._attended.get(id)) is not None and not one.is_held
        }
        cursors = {id: one.head for id, one in copies.items()}
        news = await self._nodes.news(cursors) if cursors else {}
        for id, conversation in copies.items():
            if not self._take(conversation, cursors[id], news.get(id)):
                self._spawn(self._catch_up(conversation))

    def _take(self, conversation: Conversation, after: int, news: News | None) -> bool:
        """Take in what was found behind `after`. False: it takes more than that."""
        is_simple = (
            news is not None
            and news.is_whole
            and news.epoch == conversation.epoch
            and conversation.head == after
            and not conversation.copying.locked()
            and not conversation.is_held
            and conversation.is_stored
            and not conversation.is_closed
        )
        if not is_simple or news is None:
            return False
        conversation.holder = news.holder
        if news.bodies:
            try:
                conversation.extend(news.bodies)
                self._on_rows_taken(conversation)
            except Unreadable as error:
                id = conversation.conversation
                logger.error("conversation=%s cannot be read on: %s", id, error)
        return news.holder is not None or not conversation.is_open

    async def _catch_up(self, conversation: Conversation) -> None:
        id = conversation.conversation
        try:
            await self._refresh(conversation)
        except (StoreError, Rejected) as error:
            logger.debug("conversation=%s cannot be read on now: %s", id, error)
        except Exception:
            # Boundary: the root of a task. It is looked at again.
            logger.exception("conversation=%s cannot be read on", id)

    async def _look_often(self) -> None:
        for number in count(1):
            await asyncio.sleep(_LOOK_SECONDS)
            is_for_all = number % _LOOKS_AT_IDLE == 0
            self.on_rows([id for id, one in self._attended.items() if is_for_all or one.is_open])

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

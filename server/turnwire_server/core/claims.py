"""Claims: the right to append, asked for by who wants to write, and given back when nobody does.

A store that belongs to one process grants it for good.
"""

import asyncio
import logging
import secrets

from turnwire_server.core.attendance import Attendance
from turnwire_server.core.conversation import Conversation
from turnwire_server.core.inquiry import Inquiries
from turnwire_server.core.log.committer import Committer
from turnwire_server.errors import Held, StoreError
from turnwire_server.store.port import Fence, Store

__all__ = ["Claims"]

logger = logging.getLogger(__name__)

_ATTEMPTS = 10
"""Asked for so often where another node had it, and has given it back meanwhile."""


class Claims:
    """This process's. While one conversation's is asked for, its `copying` is held."""

    def __init__(
        self, store: Store, committer: Committer, inquiries: Inquiries, attendance: Attendance
    ) -> None:
        self._store = store
        self._committer = committer
        self._inquiries = inquiries
        self._attendance = attendance
        self._releasing: dict[str, asyncio.Task[None]] = {}
        """Fences on their way back: a claim must not overtake them."""

    async def ask(self, conversation: Conversation) -> None:
        """Ask for the right to append; the copy is brought up to date with it, or closed.

        Raises:
            StoreError: it was neither got nor refused.
            Held: another node has it.
        """
        id = conversation.conversation
        # Another node that reads its end may have it before us: the store says so.
        if not conversation.is_stored:
            conversation.check_store()
            await self._inquiries.read(conversation.all_stored())
        while (releasing := self._releasing.get(id)) is not None:
            await asyncio.wait([releasing])
        fence, head, is_open = await self._granted(conversation)
        try:
            names = await self._store.nodes.readers(id)
            await conversation.load(fence.epoch, head)
            if not conversation.is_closed:
                conversation.hold(fence, is_open=is_open)
                self._attendance.meet(conversation, names)
        finally:
            if not conversation.is_held:
                self._release(fence)

    async def _granted(self, conversation: Conversation) -> tuple[Fence, int, bool]:
        """The fence, the head behind it, and whether a turn is unfinished there."""
        id = conversation.conversation
        for _ in range(_ATTEMPTS):
            try:
                # The store had none when it was opened, and it is opened but once.
                claim = await self._store.claim(
                    id,
                    conversation.owner,
                    secrets.token_hex(6),
                    is_new=conversation.is_empty,
                )
            except StoreError as error:
                if self._store.is_shared:
                    # There a claim is written, and nothing comes to be committed without one.
                    self._committer.doubt(error)
                raise
            conversation.holder = claim.holder
            if claim.holder is not None:
                raise Held(claim.holder)
            if claim.fence is not None:
                return claim.fence, claim.head, claim.is_open
        raise StoreError(f"conversation={id} goes from node to node")

    def give_back(self, conversation: Conversation) -> None:
        """Let other nodes have it, if it is not needed here."""
        if self._store.is_shared and conversation.is_stored and not conversation.is_busy:
            self._give_back(conversation)

    def lost(self, conversation: Conversation) -> None:
        """It was closed, because what is stored does not go on where it would: whoever can shall
        end what is unfinished there."""
        if self._store.is_shared:
            self._give_back(conversation)

    def _give_back(self, conversation: Conversation) -> None:
        fence = conversation.give_back()
        if fence is not None:
            self._release(fence)

    def _release(self, fence: Fence) -> None:
        id = fence.conversation

        async def release() -> None:
            try:
                await self._store.release(fence)
            except StoreError as error:
                # It stays ours, and is good when it is claimed here again.
                logger.warning("conversation=%s was not given back: %s", id, error)
            finally:
                del self._releasing[id]

        self._releasing[id] = asyncio.create_task(release(), name=f"release {id}")

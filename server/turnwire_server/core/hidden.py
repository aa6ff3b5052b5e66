"""Hidden conversations go some time after their last change: nobody sees them to delete them.

It decides only when; how a conversation is deleted is the hub's.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from turnwire_server.errors import Rejected, StoreError
from turnwire_server.store.port import Store
from turnwire_server.timestamp import timestamp

__all__ = ["Hidden"]

logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 300.0
_AT_ONCE = 100


class Hidden:
    """Looks now and then for those whose time is over."""

    def __init__(
        self,
        store: Store,
        delete: Callable[[str, str], Awaitable[None]],
        *,
        keep_seconds: float,
        interval_seconds: float = _INTERVAL_SECONDS,
    ) -> None:
        """`delete` takes the owner and the conversation; it may raise `Rejected`."""
        self._store = store
        self._delete = delete
        self._keep_seconds = keep_seconds
        self._interval_seconds = interval_seconds
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the store is open."""
        self._task = asyncio.create_task(self._run(), name="hidden")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def sweep(self) -> None:
        """Delete all whose time is over.

        Raises:
            StoreError: they cannot be listed now.
        """
        before = timestamp(in_seconds=-self._keep_seconds, precision="microseconds")
        is_done = False
        while not is_done:
            heads = await self._store.list_hidden(before=before, limit=_AT_ONCE)
            is_done = True
            for head in heads:
                try:
                    await self._delete(head.owner, head.conversation)
                except Rejected as refused:
                    # Gone already, or the store has trouble: the next look tells.
                    logger.warning("hidden conversation=%s stays: %s", head.conversation, refused)
                else:
                    is_done = False

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except StoreError as error:
                logger.warning("hidden conversations are kept, to be looked at again: %s", error)
            except Exception:
                # Boundary: one head that cannot be read must not keep all others for ever.
                logger.exception("hidden conversations are kept, to be looked at again")
            await asyncio.sleep(self._interval_seconds)

"""The compactor: joins the rows of finished turns, in the background. It knows nothing of turns."""

import asyncio
import logging
from collections.abc import Callable

from turnwire_server.core.log.codec import join
from turnwire_server.errors import StoreError, Unreadable
from turnwire_server.store.port import Store

__all__ = ["Compactor"]

logger = logging.getLogger(__name__)

_DELAY_SECONDS = 1.0


class Compactor:
    """One conversation after another, a while after its turn; `on_unreadable` hears of bad logs."""

    def __init__(self, store: Store, *, on_unreadable: Callable[[str, Unreadable], None]) -> None:
        self._store = store
        self._on_unreadable = on_unreadable
        self._finished: dict[str, int] = {}
        """Conversations whose rows after a seq may be joined."""
        self._task: asyncio.Task[None] | None = None

    def finished(self, conversation: str, after: int) -> None:
        """A turn has ended whose first event follows `after`."""
        self._finished.setdefault(conversation, after)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="compactor")

    def forget(self, conversation: str) -> None:
        """It is deleted."""
        self._finished.pop(conversation, None)

    async def close(self) -> None:
        """Stop; rows that are not joined stay as they are."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while self._finished:
            await asyncio.sleep(_DELAY_SECONDS)
            finished, self._finished = self._finished, {}
            for id, after in finished.items():
                try:
                    await self._store.compact(id, join, after=after)
                except Unreadable as error:
                    self._on_unreadable(id, error)
                except StoreError as error:
                    logger.warning("compaction failed, to be tried again: %s", error)
                    self._finished.setdefault(id, after)
                except Exception:
                    # Boundary: one log that cannot be read must not hold up all others.
                    logger.exception("compaction of conversation=%s failed", id)

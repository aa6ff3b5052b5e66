"""Orphans: conversations whose turn has nobody any more who could end it. They are opened, and the
opening ends it: at the start what an earlier process left, later what nodes leave that die, or what
a failover leaves."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from turnwire_server.errors import StoreError
from turnwire_server.store.port import Head, Store

__all__ = ["Orphans"]

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.5
"""With a quarter more and the time that it takes to open one: what a node leaves that dies has its
end within two seconds of the end of its lease."""


class Orphans:
    """Looks for them; `recover` opens one, and does not raise for a bad log. `compare` lets go of
    what the store has not, of all that is open."""

    def __init__(
        self,
        store: Store,
        *,
        recover: Callable[[Head], Awaitable[None]],
        compare: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._recover = recover
        self._compare = compare
        self._is_in_doubt = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """End what there is now; where other processes share the store, look again and again.

        Raises:
            StoreError: the store cannot be read.
        """
        await self._look()
        if self._store.is_shared:
            self._task = asyncio.create_task(self._look_often(), name="orphans")

    def doubt(self) -> None:
        """The store may lack what was committed last; what is open is compared with it soon."""
        self._is_in_doubt = True

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _look(self) -> None:
        if self._is_in_doubt:
            self._is_in_doubt = False
            try:
                await self._compare()
            except BaseException:
                self._is_in_doubt = True
                raise
        for head in await self._store.orphans():
            await self._recover(head)

    async def _look_often(self) -> None:
        while True:
            # Not all nodes at the same moment.
            await asyncio.sleep(_LOOK_SECONDS * random.uniform(0.75, 1.25))
            try:
                await self._look()
            except StoreError as error:
                logger.warning("orphans are not known now, to be asked again: %s", error)
            except Exception:
                # Boundary: one of them must not keep all others from their end for ever.
                logger.exception("orphans are not ended, to be looked at again")

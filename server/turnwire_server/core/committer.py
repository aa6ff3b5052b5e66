"""The committer: one task that makes what all logs have appended durable, in groups.

While one commit is under way the next batch gathers. No reader sees anything before its commit.
"""

import asyncio
import logging
from typing import Protocol

from turnwire_server.store.port import Batch, Store

__all__ = ["Committer", "Source"]

logger = logging.getLogger(__name__)


class Source(Protocol):
    """A log with something to store."""

    def unstored(self) -> Batch | None:
        """What is appended and not yet durable, if there is anything."""

    def stored(self, upto: int) -> None:
        """Everything up to `upto` is durable now."""


class Committer:
    """Carries batches from logs to the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._dirty: list[Source] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to commit."""
        self._task = asyncio.create_task(self._run(), name="committer")

    async def close(self) -> None:
        """Commit what waits, then stop."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._commit()

    def note(self, source: Source) -> None:
        """`source` has something to store. It notes itself once until `stored` was called."""
        self._dirty.append(source)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._commit()

    async def _commit(self) -> None:
        sources, self._dirty = self._dirty, []
        pairs = [(source, batch) for source in sources if (batch := source.unstored()) is not None]
        if not pairs:
            return
        await self._store.append([batch for _, batch in pairs])
        for source, batch in pairs:
            source.stored(batch.last_seq)

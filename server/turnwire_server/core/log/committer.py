"""The committer: one task that makes what all logs have appended durable, in groups.

While one commit is under way the next batch gathers. No reader sees anything before its commit. A
store that fails is asked again until it works; the logs are told, and decide what to give up.
"""

import asyncio
import logging
from typing import Protocol

from turnwire_server.errors import Fenced, StoreError
from turnwire_server.store.port import Batch, Store

__all__ = ["Committer", "Source"]

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.25
_WATCH_SECONDS = 1.0


class Source(Protocol):
    """A log with something to store."""

    conversation: str

    def unstored(self) -> Batch | None:
        """What is appended and not yet durable, if there is anything."""

    def stored(self, upto: int) -> None:
        """Everything up to `upto` is durable now."""

    def reconcile(self, head: int) -> None:
        """A commit failed; `head` is how far the store has come all the same."""

    def waits(self, *, has_failed: bool) -> None:
        """The store is slow, or has just failed and will be asked again."""

    def lost(self) -> None:
        """The log is not ours any more; nothing of it will be stored."""


class Committer:
    """Carries batches from logs to the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._dirty: dict[Source, None] = {}
        self._failed: dict[Source, None] = {}
        """Those whose last commit failed: it may have happened all the same."""
        self._committing: list[Source] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_closing = False
        self.is_failing = False
        """Whether the last commit failed, or the one under way takes long."""

    def start(self) -> None:
        """Begin to commit."""
        self._task = asyncio.create_task(self._run(), name="committer")

    async def close(self) -> None:
        """Commit what waits, then stop; what cannot be stored now is left for recovery to end."""
        self._is_closing = True
        self._wake.set()
        if self._task is not None:
            await self._task

    def note(self, source: Source) -> None:
        """`source` has something to store. It notes itself once until `unstored` was called."""
        self._dirty[source] = None
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._gather()
            if self.is_failing and not self._is_closing:
                await asyncio.sleep(_RETRY_SECONDS)
                self._wake.set()
            elif self._is_closing and (self.is_failing or not self._dirty):
                return

    async def _gather(self) -> None:
        """Commit everything that was noted, as one group."""
        if self._failed and not await self._reconcile():
            return
        sources, self._dirty = list(self._dirty), {}
        pairs = [(source, batch) for source in sources if (batch := _batch(source)) is not None]
        self._committing = [source for source, _ in pairs]
        self._timer = asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._watch)
        try:
            if pairs:
                await self._commit(pairs)
            if self.is_failing:
                logger.warning("the store works again")
            self.is_failing = False
        except Exception as error:
            # Boundary: whatever a store does, the one task that writes for everybody lives on.
            self._fail(error)
            self._failed |= dict.fromkeys(self._committing)
            self._dirty |= dict.fromkeys(self._committing)
            for source in self._committing:
                source.waits(has_failed=True)
        finally:
            self._timer.cancel()

    async def _commit(self, pairs: list[tuple[Source, Batch]]) -> None:
        try:
            await self._store.append([batch for _, batch in pairs])
        except Fenced as error:
            if len(pairs) > 1:
                # One of them is not ours any more: the others must not suffer for it.
                for pair in pairs:
                    await self._commit([pair])
                return
            logger.error("a log is lost: %s", error)
            pairs[0][0].lost()
            return
        for source, batch in pairs:
            source.stored(batch.last_seq)

    async def _reconcile(self) -> bool:
        """After a failure, ask how far the store came: a commit may fail and yet be there."""
        try:
            for source in list(self._failed):
                head = await self._store.head(source.conversation)
                source.reconcile(head.seq if head else 0)
                del self._failed[source]
        except StoreError as error:
            self._fail(error)
            for source in self._dirty:
                source.waits(has_failed=True)
            return False
        return True

    def _fail(self, error: Exception) -> None:
        if not self.is_failing:
            known = isinstance(error, StoreError)
            logger.error("the store fails: %s", error, exc_info=None if known else error)
        self.is_failing = True

    def _watch(self) -> None:
        """The commit under way takes long: a disk that hangs is as bad as one that fails."""
        self.is_failing = True
        for source in {**dict.fromkeys(self._committing), **self._dirty}:
            source.waits(has_failed=False)
        # The commit is still under way, or this timer would have been cancelled: look again.
        self._timer = asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._watch)


def _batch(source: Source) -> Batch | None:
    try:
        return source.unstored()
    except Exception:
        # Boundary: what cannot be encoded is the end of its own conversation only.
        logger.exception("a log cannot be stored")
        source.lost()
        return None

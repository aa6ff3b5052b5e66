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

    def unstored(self) -> Batch | None:
        """What is appended and not yet durable, if there is anything."""

    def stored(self, upto: int) -> None:
        """Everything up to `upto` is durable now."""

    def waits(self, *, has_failed: bool) -> None:
        """The store is slow, or has just failed and will be asked again."""

    def lost(self) -> None:
        """Another process owns the log; nothing of it will be stored."""


class Committer:
    """Carries batches from logs to the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._dirty: dict[Source, None] = {}
        self._wake = asyncio.Event()
        self._committing: list[Source] = []
        self._task: asyncio.Task[None] | None = None
        self.is_failing = False
        """Whether the last commit failed, or takes long."""

    def start(self) -> None:
        """Begin to commit."""
        self._task = asyncio.create_task(self._run(), name="committer")

    async def close(self) -> None:
        """Commit what waits, then stop; what cannot be stored now is left for recovery to end."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._commit()

    def note(self, source: Source) -> None:
        """`source` has something to store. It notes itself once until `unstored` was called."""
        self._dirty[source] = None
        self._wake.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._commit()
            if self.is_failing:
                await asyncio.sleep(_RETRY_SECONDS)
                self._wake.set()

    async def _commit(self) -> None:
        sources, self._dirty = list(self._dirty), {}
        pairs = [(source, batch) for source in sources if (batch := _batch(source)) is not None]
        if not pairs:
            self.is_failing = False
            return
        self._committing = [source for source, _ in pairs]
        self._timer = asyncio.get_running_loop().call_later(_WATCH_SECONDS, self._watch)
        try:
            await self._store.append([batch for _, batch in pairs])
        except Fenced:
            for source, _ in pairs:
                source.lost()
        except Exception as error:
            # Boundary: whatever a store does, the one task that writes for everybody lives on.
            if not self.is_failing:
                known = isinstance(error, StoreError)
                logger.error("the store fails: %s", error, exc_info=None if known else error)
            self.is_failing = True
            for source, _ in pairs:
                self._dirty[source] = None
                source.waits(has_failed=True)
        except asyncio.CancelledError:
            # The commit may or may not have happened: appends are idempotent, so say it again.
            self._dirty |= dict.fromkeys(self._committing)
            raise
        else:
            if self.is_failing:
                logger.warning("the store works again")
            self.is_failing = False
            for source, batch in pairs:
                source.stored(batch.last_seq)
        finally:
            self._timer.cancel()

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

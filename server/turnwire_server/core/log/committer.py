"""The committer: one task that makes what all logs have appended durable, in groups.

While one commit is under way the next batch gathers; where commits are dear, what can wait gathers
for longer. No reader sees anything before its commit. A
store that fails is asked again until it works; the logs are told, and decide what to give up.
"""

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from typing import Protocol

from turnwire_server.errors import Fenced, StoreError
from turnwire_server.store.port import Batch, Fence, Store
from turnwire_server.timestamp import timestamp

__all__ = ["Committer", "Source", "Trouble"]

logger = logging.getLogger(__name__)

_HANGS = "it does not answer"


class Source(Protocol):
    """A log with something to store."""

    @property
    def fence(self) -> Fence:
        """The right under which it is stored."""

    def unstored(self) -> Batch | None:
        """What is appended and not yet durable, if there is anything."""

    def stored(self, upto: int) -> None:
        """Everything up to `upto` is durable now."""

    def reconcile(self, head: int) -> None:
        """A commit failed; `head` is the store's actual head: it may have taken effect first."""

    def waits(self, *, has_failed: bool) -> None:
        """The store is slow, or has just failed and will be asked again."""

    def lost(self) -> None:
        """The log is not ours any more; nothing of it will be stored."""


@dataclass(slots=True, frozen=True)
class Trouble:
    """The store fails or hangs, and what is appended cannot be made durable."""

    reason: str
    since: str
    """RFC 3339, UTC."""
    began: float
    """The same on the monotonic clock, in seconds."""


class Committer:
    """Carries batches from logs to the store.

    `watch_seconds`: a commit that takes longer counts as a store that hangs. `retry_seconds`: the
    pause between attempts while the store fails. `interval_seconds`: commits of nothing but what
    can wait begin at most so often.
    """

    def __init__(
        self,
        store: Store,
        *,
        interval_seconds: float = 0.0,
        watch_seconds: float = 1.0,
        retry_seconds: float = 0.25,
    ) -> None:
        self._store = store
        self._interval_seconds = interval_seconds
        self._began_at = 0.0
        """When the last commit began, on the loop's clock."""
        self._watch_seconds = watch_seconds
        self._retry_seconds = retry_seconds
        self._dirty: dict[Source, None] = {}
        self._failed: dict[Source, None] = {}
        """Those whose last commit failed. A commit may fail after it took effect."""
        self._committing: list[Source] = []
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        """Set when something has come up that cannot wait, and when it has waited for long enough.
        """
        self._task: asyncio.Task[None] | None = None
        self._asked_at: float | None = None
        """When the store was asked for what it has not answered yet, on the loop's clock."""
        self._timer: asyncio.TimerHandle | None = None
        """One for many commits: with few streams there is a commit for each token."""
        self._is_closing = False
        self.commits = 0
        """Since the start, like what follows."""
        self.commit_seconds = 0.0
        self.commit_batches = 0
        self.failures = 0
        """How often the store began to fail, or to hang."""
        self.trouble: Trouble | None = None
        """Set when a commit fails or takes long, until a commit or a probe has succeeded."""

    def start(self) -> None:
        """Begin to commit."""
        self._task = asyncio.create_task(self._run(), name="committer")

    async def close(self) -> None:
        """Commit what waits, then stop; what cannot be stored now is left for recovery to end."""
        self._is_closing = True
        self._wake.set()
        self._hurry.set()
        if self._task is not None:
            await self._task
        if self._timer is not None:
            self._timer.cancel()

    def note(self, source: Source) -> None:
        """`source` has something to store. It notes itself once until `unstored` was called."""
        self._dirty[source] = None
        self._wake.set()

    def hurry(self) -> None:
        """What was noted cannot wait: somebody waits for just this."""
        self._hurry.set()

    def doubt(self, error: StoreError) -> None:
        """Something else could not be written: until a probe succeeds, the store is in trouble."""
        self._fail(error)
        self._wake.set()
        self._hurry.set()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            if self._interval_seconds and not self._is_closing:
                await self._linger()
            self._wake.clear()
            self._begin_to_watch()
            try:
                await self._gather()
            finally:
                self._asked_at = None
            if self.trouble is not None and not self._is_closing:
                await asyncio.sleep(self._retry_seconds)
                self._wake.set()
                self._hurry.set()
            elif self._is_closing and (self.trouble is not None or not self._dirty):
                return

    async def _linger(self) -> None:
        loop = asyncio.get_running_loop()
        if not self._hurry.is_set():
            left = self._began_at + self._interval_seconds - loop.time()
            if left > 0:
                timer = loop.call_later(left, self._hurry.set)
                await self._hurry.wait()
                timer.cancel()
        self._hurry.clear()
        self._began_at = loop.time()

    async def _gather(self) -> None:
        """Commit everything that was noted, as one group."""
        if self._failed and not await self._reconcile():
            return
        sources, self._dirty = list(self._dirty), {}
        pairs = [(source, batch) for source in sources if (batch := _batch(source)) is not None]
        self._committing = [source for source, _ in pairs]
        try:
            if pairs:
                await self._commit(pairs)
            elif self.trouble is not None:
                # What could not be stored may have been withdrawn. That says nothing of the store.
                await self._store.append([])
            self._recover()
        except Exception as error:
            # Boundary: whatever a store does, the one task that writes for everybody lives on.
            self._fail(error)
            self._failed |= dict.fromkeys(self._committing)
            self._dirty |= dict.fromkeys(self._committing)
            for source in self._committing:
                source.waits(has_failed=True)
        finally:
            self._committing = []

    async def _commit(self, pairs: list[tuple[Source, Batch]]) -> None:
        began = asyncio.get_running_loop().time()
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
        self.commits += 1
        self.commit_batches += len(pairs)
        self.commit_seconds += asyncio.get_running_loop().time() - began
        for source, batch in pairs:
            source.stored(batch.last_seq)

    async def _reconcile(self) -> bool:
        """Ask the store how far it came: a commit may fail after it took effect."""
        try:
            for source in list(self._failed):
                try:
                    source.reconcile(await self._store.reach(source.fence))
                except Fenced as error:
                    # Somebody else's events may stand there: ours must not pass for stored.
                    logger.error("a log is lost: %s", error)
                    source.lost()
                del self._failed[source]
        except StoreError as error:
            self._fail(error)
            for source in self._dirty:
                source.waits(has_failed=True)
            return False
        return True

    def _fail(self, error: Exception) -> None:
        if self.trouble is None or self.trouble.reason == _HANGS:
            known = isinstance(error, StoreError)
            what = self._what_waits()
            logger.error("the store fails: %s; %s", error, what, exc_info=None if known else error)
            self._begin_trouble(str(error))

    def _begin_to_watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._asked_at = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._watch_seconds, self._watch)

    def _watch(self) -> None:
        """What is asked of the store takes long: a disk that hangs is as bad as one that fails."""
        loop = asyncio.get_running_loop()
        self._timer = None
        if self._asked_at is None:
            return
        left = self._asked_at + self._watch_seconds - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._watch)
            return
        if self.trouble is None:
            seconds, what = self._watch_seconds, self._what_waits()
            logger.warning("the store hangs: it has not answered for %g s; %s", seconds, what)
            self._begin_trouble(_HANGS)
        for source in {**dict.fromkeys(self._committing), **self._dirty}:
            source.waits(has_failed=False)
        # The commit is still under way: look again.
        self._timer = loop.call_later(self._watch_seconds, self._watch)

    def _begin_trouble(self, reason: str) -> None:
        self.failures += self.trouble is None
        # A store that hangs and then fails has been in trouble since it hung.
        since = self.trouble or Trouble(reason, timestamp(), time.monotonic())
        self.trouble = replace(since, reason=reason)

    def _recover(self) -> None:
        if self.trouble is not None:
            seconds = time.monotonic() - self.trouble.began
            logger.warning(
                "the store works again; it did not for %.1f s, since %s",
                seconds,
                self.trouble.since,
            )
            self.trouble = None

    def _what_waits(self) -> str:
        """For the log: conversations whose events wait, by number, as there may be thousands."""
        waiting = {**dict.fromkeys(self._committing), **self._dirty}
        first = next((source.fence.conversation for source in waiting), "none")
        return f"{len(waiting)} conversations wait, first of them {first}"


def _batch(source: Source) -> Batch | None:
    try:
        return source.unstored()
    except Exception:
        # Boundary: what cannot be encoded is the end of its own conversation only.
        logger.exception("a log cannot be stored")
        source.lost()
        return None

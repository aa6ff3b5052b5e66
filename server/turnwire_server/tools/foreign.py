"""Runs functions that are not ours, so that nothing they do reaches our tasks. Knows no tool.

Each call ends as a value, `Returned` or `Raised`, never as an exception: a `SystemExit` or
`KeyboardInterrupt` that leaves a task or a future's callback ends the event loop and with it the
service, so the guard stands inside the task, or the thread, in which the function runs. A call that
is over its time or cancelled is told to stop, waited for a little, and then left to itself: an
async function can swallow its cancellation, and a sync one cannot be stopped at all.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Generic, TypeVar

__all__ = ["Foreign", "NotStarted", "Raised", "Returned", "TimedOut"]

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Returned(Generic[T]):
    """It came to its end, with this value."""

    value: T


@dataclass(slots=True, frozen=True)
class Raised:
    """It came to its end with this: any `BaseException`, `CancelledError` too."""

    error: BaseException


@dataclass(slots=True, frozen=True)
class TimedOut:
    """It began, and did not end in time."""


@dataclass(slots=True, frozen=True)
class NotStarted:
    """It did not begin: too many earlier calls have not ended."""


class Foreign:
    """Runs async functions in tasks of their own, and sync ones in daemon threads.

    Bounds: at most `max_threads` functions run in threads, counting those that were abandoned, and
    of async calls of one name at most `max_abandoned` go on after their end. The threads are
    daemons, so that one that never returns does not keep the process from ending.
    """

    def __init__(self, *, max_threads: int, max_abandoned: int, stop_seconds: float) -> None:
        self._slots = asyncio.Semaphore(max_threads)
        self._max_abandoned = max_abandoned
        self._stop_seconds = stop_seconds
        self._abandoned: set[asyncio.Task[object]] = set()
        """Kept here: a task that nobody refers to may be collected in the middle of its work."""

    async def run_async(
        self, name: str, function: Callable[[], Awaitable[T]], *, timeout_seconds: float
    ) -> Returned[T] | Raised | TimedOut | NotStarted:
        """Await what the function gives. Never raises but on cancellation, which stops it too."""
        if Counter(task.get_name() for task in self._abandoned)[name] >= self._max_abandoned:
            return NotStarted()
        task = asyncio.create_task(_guarded_async(function), name=name)
        try:
            await asyncio.wait([task], timeout=timeout_seconds)
        except asyncio.CancelledError:
            await self._stop(task)
            raise
        if not task.done():
            await self._stop(task)
            return TimedOut()
        # One that was cancelled before its first step has not even come to its guard.
        return Raised(asyncio.CancelledError()) if task.cancelled() else task.result()

    async def _stop(self, task: asyncio.Task[Returned[T] | Raised]) -> None:
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)
        task.cancel()
        try:
            # It may have something to put in order.
            await asyncio.wait([task], timeout=self._stop_seconds)
        finally:
            if not task.done():
                logger.warning("%s does not stop when it is cancelled: abandoned", task.get_name())

    async def run_sync(
        self, name: str, function: Callable[[], T], *, timeout_seconds: float
    ) -> Returned[T] | Raised | TimedOut | NotStarted:
        """Call the function in a thread; the time includes the wait for a free one.

        Never raises but on cancellation, on which the thread is abandoned.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        try:
            async with asyncio.timeout_at(deadline):
                await self._slots.acquire()
        except TimeoutError:
            return NotStarted()
        # The slot is free again when the function has returned, whoever still waits for it.
        ended: asyncio.Future[Returned[T] | Raised] = loop.create_future()

        def deliver(outcome: Returned[T] | Raised) -> None:
            self._slots.release()
            if not ended.done():
                ended.set_result(outcome)

        def work() -> None:
            outcome = _guarded(function)
            with suppress(RuntimeError):  # The loop is closed, and nobody waits.
                loop.call_soon_threadsafe(deliver, outcome)

        try:
            Thread(target=partial(copy_context().run, work), name=name, daemon=True).start()
        except RuntimeError as error:  # The machine has no more threads.
            deliver(Raised(error))
        try:
            async with asyncio.timeout_at(deadline):
                return await ended
        except TimeoutError:
            logger.warning("%s does not return: its thread is abandoned", name)
            return TimedOut()


def _guarded(function: Callable[[], T]) -> Returned[T] | Raised:
    try:
        return Returned(function())
    except BaseException as error:
        # Boundary: panics of Rust code, exits and interrupts are no `Exception`s.
        return Raised(error)


async def _guarded_async(function: Callable[[], Awaitable[T]]) -> Returned[T] | Raised:
    try:
        return Returned(await function())
    except BaseException as error:
        # Boundary: as above. The cancellation of this task, too, is the function's to answer.
        return Raised(error)

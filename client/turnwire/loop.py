"""An event loop in a thread of its own, for callers that wait; knows nothing of what runs in it."""

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, Generic, TypeVar

from turnwire.errors import UsageError, WireClosed

__all__ = ["Loop"]

ResultT = TypeVar("ResultT")
Leave = Callable[[], Coroutine[Any, Any, None]]

CLOSE_TIMEOUT_SECONDS = 5.0


class Loop:
    """An event loop in a thread.

    It ends with `close`, with the last who holds this object, or with the program; what it was told
    to leave is left first.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._waited_for: set[Future[Any]] = set()
        self._thread = threading.Thread(
            target=_run, args=(self._loop, self._waited_for), name="turnwire", daemon=True
        )
        self._thread.start()
        self.close: Callable[[], object] = lambda: None

    def closes(self, leave: Leave) -> None:
        """`close` ends the loop, behind `leave`; it must not hold this object."""
        self.close = weakref.finalize(self, _end, self._loop, self._thread, leave)

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """What the coroutine returns or raises; an interrupt cancels it.

        Raises:
            WireClosed: the loop has ended, or ended meanwhile.
            UsageError: this is the loop's own thread.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise UsageError("this would wait for itself: async code here has turnwire.connect")
        call = _Call(work)
        result = call.result()
        future: Future[ResultT] | None = None
        try:
            future = asyncio.run_coroutine_threadsafe(result, self._loop)
            self._waited_for.add(future)
            # Behind `add`: either this or the loop's end sees what the loop was too late to begin.
            # And a fork has no such thread.
            if self._loop.is_closed() or not self._thread.is_alive():
                future.cancel()
            return future.result()
        except CancelledError:
            result.close()
            work.close()
            raise WireClosed("the wire was left") from None
        except BaseException as error:
            # Not only its own: KeyboardInterrupt comes here, at any point of the above, and nobody
            # waits for it any more.
            if future is None and isinstance(error, RuntimeError):
                # The loop is closed. Not asked before, because it might close in between.
                result.close()
                work.close()
                raise WireClosed("the wire was left") from None
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(call.abandon)
            raise
        finally:
            if future is not None:
                self._waited_for.discard(future)

    def each(self, items: AsyncIterator[ResultT]) -> Iterator[ResultT]:
        """The items as they come; what is not taken yet waits there."""
        try:
            while item := self.run(_next(items)):
                yield item[0]
        finally:
            with suppress(WireClosed):
                self.run(_close(items))


class _Call(Generic[ResultT]):
    """A coroutine on its way into the loop, for one who may stop to wait for it at any moment."""

    def __init__(self, work: Coroutine[Any, Any, ResultT]) -> None:
        self._work = work
        self._task: asyncio.Task[Any] | None = None
        self._is_abandoned = False

    async def result(self) -> ResultT:
        """What it gives."""
        if self._is_abandoned:
            self._work.close()
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        return await self._work

    def abandon(self) -> None:
        """Nobody waits for it; called in the loop, whether it has begun or not."""
        self._is_abandoned = True
        if self._task is not None:
            self._task.cancel()


def _run(loop: asyncio.AbstractEventLoop, waited_for: set[Future[Any]]) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        # Until there are none: other threads go on posting while these are being cancelled.
        while tasks := asyncio.all_tasks(loop):
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
        for future in list(waited_for):
            future.cancel()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, leave: Leave) -> None:
    def stop() -> None:
        leaving = loop.create_task(leave())
        leaving.add_done_callback(lambda _: loop.stop())

    if not loop.is_closed():
        loop.call_soon_threadsafe(stop)
        # The garbage collector may call this in the very thread that is to end.
        if threading.current_thread() is not thread:
            thread.join(CLOSE_TIMEOUT_SECONDS)


async def _next(items: AsyncIterator[ResultT]) -> list[ResultT]:
    async for item in items:
        return [item]
    return []


async def _close(items: AsyncIterator[object]) -> None:
    if (close := getattr(items, "aclose", None)) is not None:
        await close()

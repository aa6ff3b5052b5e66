"""An event loop in a thread of its own, for callers that wait; knows nothing of what runs in it."""

import asyncio
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

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
        self._thread = threading.Thread(
            target=_run, args=(self._loop,), name="turnwire", daemon=True
        )
        self._thread.start()
        self.close: Callable[[], object] = lambda: None

    def closes(self, leave: Leave) -> None:
        """`close` ends the loop, behind `leave`; it must not hold this object."""
        self.close = weakref.finalize(self, _end, self._loop, self._thread, leave)

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """What the coroutine returns or raises; an interrupt cancels it."""
        if self._loop.is_closed() or not self._thread.is_alive():
            work.close()
            raise WireClosed("the wire was left")
        if threading.current_thread() is self._thread:
            work.close()
            raise UsageError("this would wait for itself: async code here has turnwire.connect")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            # Not only its own: KeyboardInterrupt comes here, and nobody waits for it any more.
            future.cancel()
            raise

    def each(self, items: AsyncIterator[ResultT]) -> Iterator[ResultT]:
        """The items as they come; what is not taken yet waits there."""
        try:
            while item := self.run(_next(items)):
                yield item[0]
        finally:
            if not self._loop.is_closed() and self._thread.is_alive():
                self.run(_close(items))


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread, leave: Leave) -> None:
    async def end() -> None:
        await leave()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def stop() -> None:
        ending = loop.create_task(end())
        ending.add_done_callback(lambda _: loop.stop())

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

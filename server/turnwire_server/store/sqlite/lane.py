"""A lane: one thread that does what event loops ask of it, one thing after another.

What `loop.run_in_executor` does, without the second future that every call makes there, with a
lock of its own: calls come once a commit, which with few streams is once a token.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

from turnwire_server.errors import StoreError

__all__ = ["Lane"]

T = TypeVar("T")


class _Call(Generic[T]):
    """A call on its way, and what became of it."""

    __slots__ = ("_error", "_loop", "_result", "future", "work")

    def __init__(self, work: Callable[[], T]) -> None:
        self.work = work
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[T] = self._loop.create_future()
        self._result: T
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do the work and tell the loop, which may be closed by now. On the lane's thread."""
        try:
            self._result = self.work()
        except BaseException as error:
            # Boundary: the thread lives on, and whoever asked is told.
            self._error = error
        try:
            self._loop.call_soon_threadsafe(self._tell)
        except RuntimeError:
            return
        finally:
            # An error's traceback has this frame: where no collector runs, the cycle would stay.
            del self

    def _tell(self) -> None:
        if self.future.done():
            return  # Cancelled: nobody waits any more.
        if self._error is None:
            self.future.set_result(self._result)
        else:
            self.future.set_exception(self._error)


class Lane:
    """Begins with the first call, and ends with `close`."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """The result of the work, which runs on the thread, behind all that was asked before it.

        Raises:
            StoreError: the lane is closed.
        """
        if self._is_closed:
            raise StoreError("the store is closed")
        if self._thread is None:
            # A daemon: a process that was told to end does not wait for a disk that hangs.
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        call = _Call(work)
        self._calls.put(call.run)
        return call.future

    def close(self) -> None:
        """Take no further calls; those that were made are still done."""
        if not self._is_closed:
            self._is_closed = True
            self._calls.put(None)

    def join(self) -> None:
        """Wait for the thread's end, after `close`."""
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
            del call  # Or the next call's wait would keep it.

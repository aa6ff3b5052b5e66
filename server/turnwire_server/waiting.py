"""What a connection's tasks wait for, in as little memory as it takes; knows no connection.

asyncio's own `Event` and `Queue` hold one `deque` and four, of 0.7 KiB each also while they are
empty: for sockets that say nothing, a quarter of all they hold.
"""

import asyncio
from typing import Generic, TypeVar

__all__ = ["Flag", "Mailbox"]

T = TypeVar("T")


class Flag:
    """`asyncio.Event`."""

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        """Whether nobody would wait."""
        return self._is_set

    def set(self) -> None:
        """Let go on whoever waits, and whoever comes until it is cleared."""
        self._is_set = True
        if self._waiting is not None:
            for future in self._waiting:
                if not future.done():
                    future.set_result(None)
            self._waiting = None

    def clear(self) -> None:
        """Let them wait from now on."""
        self._is_set = False

    async def wait(self) -> None:
        """Wait until it is set. Who was let go on goes on, even if it is cleared meanwhile."""
        if self._is_set:
            return
        waiting = asyncio.get_running_loop().create_future()
        if self._waiting is None:
            self._waiting = []
        self._waiting.append(waiting)
        try:
            await waiting
        finally:
            # One that was cancelled; the others are forgotten by `set`.
            if self._waiting is not None and waiting in self._waiting:
                self._waiting.remove(waiting)


class Mailbox(Generic[T]):
    """`asyncio.Queue` without a bound, for one task that takes."""

    __slots__ = ("_items", "_taker")

    def __init__(self) -> None:
        self._items: list[T] = []
        self._taker: asyncio.Future[None] | None = None

    def qsize(self) -> int:
        """How many wait."""
        return len(self._items)

    def empty(self) -> bool:
        """Whether none does."""
        return not self._items

    def put_nowait(self, item: T) -> None:
        """Put one behind the others."""
        self._items.append(item)
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)

    def get_nowait(self) -> T:
        """Take the first; there must be one."""
        return self._items.pop(0)

    async def get(self) -> T:
        """Take the first, and wait for it if need be. One call at a time."""
        while not self._items:
            self._taker = asyncio.get_running_loop().create_future()
            try:
                await self._taker
            finally:
                self._taker = None
        return self._items.pop(0)

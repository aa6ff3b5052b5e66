"""The pace at which streams are read: all at the same ticks, the rarer the more there are.

What a read costs (waking up, a commit, a frame to each reader) it costs for one token as for five.
A few streams are read as their tokens come; many wait a little, so that each read brings more. The
wait is bounded far below what a person notices.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Pace"]

_SECONDS_PER_STREAM = 0.001
_MAX_SECONDS = 0.05


class Pace:
    """Shared by all streams of one event loop."""

    def __init__(self) -> None:
        self._streams = 0
        self._last = float("-inf")
        self._waiting: list[asyncio.Future[None]] = []

    @contextmanager
    def stream(self) -> Iterator[None]:
        """One more stream is open."""
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    async def tick(self) -> None:
        """Wait for the next tick; at once if the last one is long enough ago."""
        loop = asyncio.get_running_loop()
        due = self._last + min(self._streams * _SECONDS_PER_STREAM, _MAX_SECONDS)
        if not self._waiting:
            if due <= loop.time():
                self._last = loop.time()
                return
            # One timer for all who wait, and none while there are few.
            loop.call_at(due, self._release)
        # A future each: a stream that is cancelled must not take the others with it.
        waiting = loop.create_future()
        self._waiting.append(waiting)
        await waiting

    def _release(self) -> None:
        self._last = asyncio.get_running_loop().time()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

"""The throttle: work that may take its time, so that what may not finds the machine free."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["Throttle"]


class Throttle:
    """One piece of work at a time, each with a rest after it that is `rest` times as long.

    So all uploads together use a share of the processor and of the disk, however many there are and
    however fast they could come: their senders wait. `max_rest_seconds` bounds a rest after work
    that was slow because the disk was.
    """

    def __init__(self, *, rest: float, max_rest_seconds: float) -> None:
        self._rest = rest
        self._max_rest_seconds = max_rest_seconds
        self._turn = asyncio.Lock()
        """Who waits has its turn in the order of coming: no upload starves."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Work in this block."""
        async with self._turn:
            now = asyncio.get_running_loop().time
            began = now()
            yield
            await asyncio.sleep(min(self._rest * (now() - began), self._max_rest_seconds))

"""The limit on silence: how long nothing at all may come. Knows not of what."""

import asyncio
from types import TracebackType
from typing import Self

__all__ = ["Stall"]


class Stall:
    """In `async with`: a silence of `seconds` ends the block with TimeoutError.

    One timer a period, however often there is a sign of life: a timer for each would be a timer for
    every token.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._last = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def sign(self) -> None:
        """Something came."""
        self._last = self._loop.time()

    def _look(self) -> None:
        due = self._last + self._seconds
        if due <= self._loop.time():
            self._limit.reschedule(due)
        else:
            self._timer = self._loop.call_at(due, self._look)

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        self._last = self._loop.time()
        self._look()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._limit.__aexit__(kind, error, traceback)

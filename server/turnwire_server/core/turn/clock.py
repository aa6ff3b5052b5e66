"""A time limit that can stand still: how long something may run, without the time that it rests."""

import asyncio
from collections.abc import Callable

__all__ = ["Clock"]


class Clock:
    """Calls `on_over` once it has run for so many seconds in all; one timer at most."""

    def __init__(self, seconds: float, on_over: Callable[[], None]) -> None:
        self._seconds_left = seconds
        self._on_over = on_over
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Run, or go on."""
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._seconds_left, self._on_over)

    def stop(self) -> None:
        """Stand still. Idempotent."""
        if self._timer is not None:
            self._seconds_left = self._timer.when() - asyncio.get_running_loop().time()
            self._timer.cancel()
            self._timer = None

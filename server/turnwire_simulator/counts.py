"""Counts how streams ended, and wakes those who wait for a change; knows no HTTP."""

import asyncio
from collections.abc import Callable
from enum import Enum

__all__ = ["Counts", "Ending"]


class Ending(Enum):
    """How an answer that had begun came to its end."""

    FINISHED = "sent up to and including message_stop"
    ABORTED = "closed by the client before that"
    BROKEN = "ended before that by its script, or by the simulator's own end"


class Counts:
    """Every answer begun is open, and then exactly one of the endings."""

    def __init__(self) -> None:
        self.open = 0
        self.ended = dict.fromkeys(Ending, 0)
        self.requests = 0
        self._changed = asyncio.Event()

    def request(self) -> None:
        """A request has arrived."""
        self.requests += 1
        self._notify()

    def begin(self) -> None:
        """An answer is being sent from here on."""
        self.open += 1
        self._notify()

    def end(self, ending: Ending) -> None:
        """An answer that was begun is no longer being sent."""
        self.open -= 1
        self.ended[ending] += 1
        self._notify()

    async def wait(self, predicate: Callable[[], bool]) -> None:
        """Returns as soon as the predicate holds; it is asked again at every change."""
        while not predicate():
            await self._changed.wait()

    def _notify(self) -> None:
        # A fresh event for the next change: those who wait on the old one are all woken.
        self._changed.set()
        self._changed = asyncio.Event()

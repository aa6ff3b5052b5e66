"""The pace at which streams are read: as their tokens come while there is time, gathered when not.

What a read costs (waking up, a commit, a frame to each reader) it costs for one token as for five.
So the fuller the process is, the longer all streams wait for the next common tick: first a little,
so that many streams share a commit; then so long that each read brings several tokens of a stream.
That in turn makes room. The wait is bounded far below what a person notices.

Those who wait long do so in groups, a tick after another: were all read at once, the last would
wait for all the others, too.

A process is as full of what it waits to do as of what it does: in a container that may use a
quarter of a core, or beside neighbours, it is full long before it has worked for a whole second.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["Pace", "core_seconds"]

_LOOK_SECONDS = 0.1
"""How often it is looked at how full the process is, while streams are read."""
_LIGHT, _BUSY, _CROWDED, _FULL = 0.1, 0.3, 0.45, 0.5
"""Shares of a core: below the first nothing is gathered, from the last on as much as may be."""
_SHORT_SECONDS = 0.01
"""Gathered from `_BUSY` to `_CROWDED`: less than passes between two tokens of a stream, so that
streams share a tick, each with what it has."""
_LONG_SECONDS = 0.05
"""Gathered from `_FULL` on: a stream brings several tokens at once."""
_LAST_SHARE, _LAST_SECONDS = 0.9, 0.08
"""Gathered at most, where even that is hardly enough."""
_GROUP_SECONDS = 0.025
"""Between the ticks of those who gather for long."""
_SECONDS_PER_STREAM = 0.001
"""Gathered at most, for each stream: a few that come as fast as they can are not throttled."""
_SCHEDULED = Path("/proc/thread-self/schedstat")
"""Of the thread that reads it: nanoseconds on a core, nanoseconds ready and without one, and how
often it was given one (Linux, Documentation/scheduler/sched-stats.rst)."""


def core_seconds() -> tuple[float, float]:
    """What all threads have worked, which take turns; and what this one has, or would have."""
    ready = time.thread_time()
    with suppress(OSError, ValueError, IndexError):  # Other systems do not say.
        ready += int(_SCHEDULED.read_bytes().split()[1]) / 1e9
    return time.process_time(), ready


class Pace:
    """Shared by all streams of one event loop.

    `clock` gives seconds that pass, `used` several counts of those that were used, of which the one
    that has grown most counts.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], tuple[float, ...]] = core_seconds,
    ) -> None:
        self._clock = clock
        self._used = used
        self._streams = 0
        self._last = float("-inf")
        """When somebody who waited, or had to wait no more, was let go on last."""
        self._groups: dict[float, list[asyncio.Future[None]]] = {}
        """Those who wait, by the tick that they wait for: there is none while there is time."""
        self._share = 0.0
        self._looked_at = float("-inf")
        self._used_then: tuple[float, ...] = ()

    @contextmanager
    def stream(self) -> Iterator[None]:
        """One more stream is open."""
        self._look()
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    @property
    def seconds(self) -> float:
        """How long is gathered now."""
        share = self._share
        if share <= _CROWDED:
            more = min(max((share - _LIGHT) / (_BUSY - _LIGHT), 0.0), 1.0)
            wanted = _SHORT_SECONDS * more
        else:
            more = min((share - _CROWDED) / (_FULL - _CROWDED), 1.0)
            wanted = _SHORT_SECONDS + (_LONG_SECONDS - _SHORT_SECONDS) * more
            more = min(max((share - _FULL) / (_LAST_SHARE - _FULL), 0.0), 1.0)
            wanted += (_LAST_SECONDS - _LONG_SECONDS) * more
        return min(wanted, self._streams * _SECONDS_PER_STREAM)

    async def hold(self) -> None:
        """Before what was read is passed on: streams that gather for a short while wait for each
        other here, because what comes between two reads of a stream is one token at most."""
        self._look()
        if (seconds := self.seconds) <= _SHORT_SECONDS:
            # At once, if the last tick is long enough ago.
            await self._wait(self._last + seconds)

    async def rest(self) -> None:
        """Before more is read: what comes meanwhile gathers in the client, and is read at once."""
        if (seconds := self.seconds) > _SHORT_SECONDS:
            # Rounded down: who is read at a tick is read again so long after that tick.
            await self._wait((self._clock() + seconds) // _GROUP_SECONDS * _GROUP_SECONDS)

    async def _wait(self, tick: float) -> None:
        now = self._clock()
        if tick <= now:
            self._last = now
            return
        loop = asyncio.get_running_loop()
        group = self._groups.get(tick)
        if group is None:
            group = self._groups[tick] = []
            # One timer for all of them.
            loop.call_later(tick - now, self._release, tick)
        # A future each: a stream that is cancelled must not take the others with it.
        waiting = loop.create_future()
        group.append(waiting)
        await waiting

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        used, passed = self._used(), now - self._looked_at
        grown = (count - then for count, then in zip(used, self._used_then, strict=False))
        share = min(max(grown, default=0.0) / passed, 1.0)
        # Half of what it was stays: one busy moment is no load, and what is gathered changes it.
        self._share = share if passed > 10 * _LOOK_SECONDS else (self._share + share) / 2
        self._looked_at, self._used_then = now, used

    def _release(self, tick: float) -> None:
        self._last = self._clock()
        for future in self._groups.pop(tick):
            if not future.done():
                future.set_result(None)

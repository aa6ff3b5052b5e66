"""Told to stop: services drain first, then the handlers run that their server has installed.

A server that is told to stop closes WebSockets, waits for all other connections, and only then ends
the lifespan of its app: an app that learns of it there learns of it too late, and with one endless
event stream open, never. So while services run, the signals come here first. The server's own
handlers are called after the drain; a second signal goes on to them at once, and cuts the grace
time short. Knows no server, and nothing of what drains.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from enum import Enum, auto
from types import FrameType
from typing import Protocol

__all__ = ["STOPPING", "Drains", "Stopping", "waits_for"]

logger = logging.getLogger(__name__)

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)
)

Take = Callable[[int, FrameType | None], None]
"""A handler of signals, as `signal.signal` takes it."""


def waits_for(turns: int, grace_seconds: float) -> str | None:
    """What a drain waits for, for people; None: for nothing."""
    if not turns:
        return None
    return f"{turns} running turn{'s'[: turns > 1]}, at most {grace_seconds:g} s"


class Drains(Protocol):
    """A service that runs in this process."""

    def waits_for(self) -> str | None:
        """What a drain would wait for, for people; None: for nothing."""

    async def drain(self, grace_seconds: float | None = None) -> None:
        """Begin nothing new, and let what runs finish within the grace time."""


class _Theirs(Protocol):
    """A handler that was there before ours."""

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        """Call it."""

    def restore(self) -> bool:
        """Put it back; False if somebody else has put a handler over ours since."""


class _OfTheProcess:
    """One of `signal.signal` (uvicorn, and gunicorn with its worker)."""

    def __init__(self, number: int, theirs: Take, ours: Take) -> None:
        self._number = number
        self._theirs = theirs
        self._ours = ours
        signal.signal(number, ours)

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        self._theirs(number, frame)

    def restore(self) -> bool:
        if signal.getsignal(self._number) != self._ours:
            return False
        signal.signal(self._number, self._theirs)
        return True


class _OfTheLoop:
    """One of `loop.add_signal_handler` (hypercorn, granian).

    asyncio tells nobody what it would call, but in the one private attribute that is used here. On
    a loop without it (uvloop) the handler is not held back: it runs beside the drain.
    """

    def __init__(
        self,
        number: int,
        handles: dict[int, asyncio.Handle],
        ours: Take,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._number = number
        self._handles = handles
        self._theirs = handles[number]
        loop.add_signal_handler(number, ours, number, None)
        self._ours = handles[number]

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        self._theirs._run()

    def restore(self) -> bool:
        if self._handles.get(self._number) is not self._ours:
            return False
        self._handles[self._number] = self._theirs
        return True


class _State(Enum):
    WATCHING = auto()
    DRAINING = auto()
    OVER = auto()


class Stopping:
    """The signals that end this process. It has one set of them, so there is one: `STOPPING`.

    Where no server has a handler, or outside of the main thread, nothing is changed.
    """

    def __init__(self) -> None:
        self._services: list[Drains] = []
        self._state = _State.OVER
        self._theirs: dict[int, _Theirs] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def join(self, service: Drains) -> None:
        """The service runs on this loop: it is drained when the process is told to stop."""
        if threading.current_thread() is not threading.main_thread():
            return
        if not self._services:
            self._state = _State.WATCHING
            self._loop = asyncio.get_running_loop()
            self._install(self._loop)
        self._services.append(service)

    def leave(self, service: Drains) -> None:
        """The service has ended. Without any, the handlers are those that were there."""
        if service in self._services:
            self._services.remove(service)
            if not self._services:
                self._state = _State.OVER
                self._theirs = {
                    number: theirs
                    for number, theirs in self._theirs.items()
                    if not theirs.restore()
                }

    def _install(self, loop: asyncio.AbstractEventLoop) -> None:
        handles: dict[int, asyncio.Handle] = getattr(loop, "_signal_handlers", {})
        for number in _SIGNALS:
            if number in self._theirs:
                continue  # Whoever came later passes it on to us.
            handler = signal.getsignal(number)
            if number in handles:
                self._theirs[number] = _OfTheLoop(number, handles, self._take, loop)
            # The default of SIGINT is a function, and no server's.
            elif callable(handler) and handler is not signal.default_int_handler:
                self._theirs[number] = _OfTheProcess(number, handler, self._take)

    def _take(self, number: int, frame: FrameType | None) -> None:
        """The handler. It may run between any two instructions of the main thread."""
        loop, state = self._loop, self._state
        if loop is None or loop.is_closed() or state is _State.OVER:
            self._theirs[number].pass_on(number, frame)
            return
        self._state = _State.DRAINING if state is _State.WATCHING else _State.OVER
        loop.call_soon_threadsafe(self._begin, number, state)

    def _begin(self, number: int, state: _State) -> None:
        if state is _State.WATCHING:
            work = self._drain_and_pass_on(number)
        else:
            self._theirs[number].pass_on(number, None)
            work = self._drain(grace_seconds=0)
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain_and_pass_on(self, number: int) -> None:
        for service in self._services:
            if (what := service.waits_for()) is not None:
                logger.warning("told to stop: waiting for %s; a second signal ends it now", what)
        await self._drain(grace_seconds=None)
        if self._state is _State.DRAINING:
            self._state = _State.OVER
            self._theirs[number].pass_on(number, None)

    async def _drain(self, *, grace_seconds: float | None) -> None:
        drains = [service.drain(grace_seconds) for service in self._services]
        for failure in await asyncio.gather(*drains, return_exceptions=True):
            if isinstance(failure, Exception):
                # Boundary: the process ends all the same.
                logger.error("draining failed", exc_info=failure)


STOPPING = Stopping()

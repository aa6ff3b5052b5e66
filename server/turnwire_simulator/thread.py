"""A thread with an event loop in which a simulator lives, for tests that have none."""

import asyncio
import threading
from contextlib import AbstractAsyncContextManager

__all__ = ["SimulatorThread"]


class SimulatorThread:
    """Enters what it is given in a loop of its own, and leaves it at the end."""

    def __init__(self, simulator: AbstractAsyncContextManager[object]) -> None:
        self._simulator = simulator
        self._is_up = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="simulator", daemon=True)

    def begin(self) -> None:
        """Returns once it is up; raises why it is not."""
        self._thread.start()
        self._is_up.wait()
        if self._error is not None:
            raise self._error

    def end(self) -> None:
        """Returns once it is down."""
        if self._loop is not None and self._ending is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:
            # Boundary: the thread's root. Who waits for the beginning is told.
            self._error = error
            self._is_up.set()

    async def _live(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        async with self._simulator:
            self._is_up.set()
            await self._ending.wait()

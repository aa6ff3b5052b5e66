"""The housekeeper: what is done about blobs in the background, now and then."""

import asyncio
import contextlib
import logging

from turnwire_server.core.blobs.blobs import Blobs
from turnwire_server.errors import StoreError

__all__ = ["Housekeeper"]

logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 3600.0


class Housekeeper:
    """Tidies up what the last process or an older version has left, then collects what no log names
    any more, each hour and whenever something may have become unused."""

    def __init__(self, blobs: Blobs, *, interval_seconds: float = _INTERVAL_SECONDS) -> None:
        self._blobs = blobs
        self._interval_seconds = interval_seconds
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the store is open."""
        self._task = asyncio.create_task(self._run(), name="housekeeper")

    def wake(self) -> None:
        """Something may have become unused."""
        self._woken.set()

    async def close(self) -> None:
        """Stop; what is half done is finished."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._blobs.close()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            try:
                while await self._blobs.tidy():
                    pass
                await self._blobs.collect()
            except StoreError as error:
                logger.warning("blobs are not looked after, to be tried again: %s", error)
            except Exception:
                # Boundary: one row that cannot be read must not end the collection for ever.
                logger.exception("blobs are not looked after, to be tried again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval_seconds):
                    await self._woken.wait()

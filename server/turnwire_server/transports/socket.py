"""An accepted WebSocket: what is written to it and done for it, and its close; knows no command."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, NoReturn

from starlette.websockets import WebSocket, WebSocketDisconnect

from turnwire_protocol import CloseCode
from turnwire_server.transports.frames import Closing

__all__ = ["Socket", "until_one_ends"]

logger = logging.getLogger(__name__)

_BURST = 4
"""Writes; asyncio complains from the sixth write into a lost connection on."""


class Socket:
    """Our end of it."""

    def __init__(self, socket: WebSocket, unsaid: deque[str] | None = None) -> None:
        """`unsaid` is what waits to be written: it goes out before a close."""
        self._socket = socket
        self._unsaid = deque[str]() if unsaid is None else unsaid
        ours = socket.scope.get("extensions", {}).get("turnwire", {})
        self._send_texts: Callable[[deque[str]], Awaitable[None]] | None = ours.get("send_texts")
        """Where the server is ours: a way past all that ASGI puts between, which costs more than
        the write."""
        self._burst = 0
        """Writes since the loop had its turn."""

    async def serve(self, work: Awaitable[None]) -> None:
        """Wait for all that is done for the socket, and close it as that says. Never raises."""
        try:
            await work
        except Closing as closing:
            await self._close(closing.code, closing.reason)
        except WebSocketDisconnect:
            pass
        except Exception:
            # Boundary: the root of a connection.
            logger.exception("connection failed")
            await self._close(CloseCode.INTERNAL, "internal error")

    async def put(self, texts: deque[str]) -> None:
        """Take these out and send each as a frame; after a few writes, let the loop see whether the
        peer is still there.

        Where nothing makes a write wait, a burst into a socket that is gone would go on to its end,
        with a line of asyncio's in the log for each.

        Raises:
            WebSocketDisconnect: it is gone.
        """
        while texts:
            if self._send_texts is None:
                await self._socket.send_text(texts.popleft())
            else:
                try:
                    await self._send_texts(texts)
                except OSError as gone:
                    raise WebSocketDisconnect(1006) from gone
            self._burst += 1
            if self._burst >= _BURST:
                self._burst = 0
                await asyncio.sleep(0)

    async def _close(self, code: CloseCode, reason: str) -> None:
        # What was said before the close is still worth sending, but not worth waiting for.
        try:
            async with asyncio.timeout(1):
                await self.put(self._unsaid)
                await self._socket.close(code, reason)
        except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
            logger.debug("close %d was not delivered", code)


async def until_one_ends(
    *work: Coroutine[Any, Any, None], others: Callable[[], Iterable[asyncio.Task[None]]]
) -> NoReturn:
    """Do all of this side by side until a part of it ends, and raise why it did.

    `others` are the tasks that were begun meanwhile: they end with it.
    """
    tasks = [asyncio.create_task(part) for part in work]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        every = [*tasks, *others()]
        for task in every:
            task.cancel()
        ends = await asyncio.gather(*every, return_exceptions=True)
    # The first in the order above: a reader that is gone makes the writer fail as well.
    reason = next(end for end in ends if isinstance(end, Exception))
    try:
        raise reason
    finally:
        # A traceback that leads to this frame, and back: only the collector would find it.
        del reason, ends, every, tasks

"""A response of server-sent events, which lasts until they end or its reader goes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

__all__ = ["EventResponse"]

_HEADERS = {
    # Proxies and middleware that compress would hold the stream to its end: `no-transform`.
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


class EventResponse(StreamingResponse):
    """Sends `events`, which are encoded.

    Enter into `leaving` what is to be given back when the reader goes: the follower, the place
    among the principal's streams.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterator[bytes],
        leaving: ExitStack,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(events, headers={**_HEADERS, **(headers or {})})
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Not in the generator: one that was never begun runs no `finally`.
            self._leaving.close()

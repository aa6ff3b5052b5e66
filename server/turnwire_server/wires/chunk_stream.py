"""Server-sent events of another front end's making: lines of JSON, as its translator gives them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT
from pydantic_core import to_json
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

__all__ = ["Chunk", "ChunkStream"]

Chunk = dict[str, Any]
"""One of another format's events, which becomes JSON."""

_HEADERS = {
    # Proxies and middleware that compress would hold the stream to its end: `no-transform`.
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


class ChunkStream(StreamingResponse):
    """A `data:` line of JSON for each chunk, and a comment for each group without any.

    Enter into `leaving` what is to be given back when the reader goes: the follower, the place
    among the principal's streams. `last` is what closes the stream when the groups have ended.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        groups: AsyncIterator[Sequence[Chunk]],
        leaving: ExitStack,
        *,
        headers: Mapping[str, str] | None = None,
        last: bytes = b"",
    ) -> None:
        super().__init__(_encoded(groups, last), headers={**_HEADERS, **(headers or {})})
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Not in the generator: one that was never begun runs no `finally`.
            self._leaving.close()


async def _encoded(groups: AsyncIterator[Sequence[Chunk]], last: bytes) -> AsyncIterator[bytes]:
    async for group in groups:
        if group:
            yield b"".join([b"data: %b\n\n" % to_json(chunk) for chunk in group])
        else:
            yield KEEPALIVE_COMMENT
    if last:
        yield last

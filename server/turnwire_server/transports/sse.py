"""Server-sent events over a follower: the same frames, in another envelope."""

from collections.abc import AsyncIterator
from contextlib import ExitStack

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from turnwire_protocol import encode, format_sse_id
from turnwire_server.core.log.follower import Follower

__all__ = ["EventStream"]

_HEADERS = {
    # Proxies and middleware that compress would hold the stream to its end: `no-transform`.
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


class EventStream(StreamingResponse):
    """The events from the follower's cursor on; of one turn, until its `done`, if `turn` is given.

    A comment goes out about every `keepalive_seconds` in which nothing else does.
    """

    media_type = "text/event-stream"

    def __init__(
        self, follower: Follower, *, turn: str | None = None, keepalive_seconds: float
    ) -> None:
        super().__init__(
            _events(follower, turn=turn, keepalive_seconds=keepalive_seconds), headers=_HEADERS
        )
        self._follower = follower
        self.leaving = ExitStack()
        """Closed when the reader goes."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. The follower is closed when the reader goes."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            # Not in the generator: one that was never begun runs no `finally`.
            self._follower.close()
            self.leaving.close()


async def _events(
    follower: Follower, *, turn: str | None, keepalive_seconds: float
) -> AsyncIterator[bytes]:
    conversation, epoch = follower.conversation, follower.epoch
    if follower.reset is not None:
        id = format_sse_id(conversation, epoch, 0)
        yield format_sse_event(event="reset", data_str=encode(follower.reset), id=id)
    async for frames in follower.stream(idle_seconds=keepalive_seconds):
        if not frames:
            yield KEEPALIVE_COMMENT
            continue
        mine = [frame for frame in frames if turn is None or frame.turn == turn]
        if mine:
            yield b"".join(
                format_sse_event(
                    event=frame.type,
                    data_str=frame.text,
                    id=format_sse_id(conversation, epoch, frame.seq),
                )
                for frame in mine
            )
        if turn is not None and mine and mine[-1].type == "done":
            return
    if follower.closed is not None:
        yield format_sse_event(event="closed", data_str=encode(follower.closed))

"""Server-sent events over a follower: the same frames, in another envelope."""

from collections.abc import AsyncIterator

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from turnwire_protocol import encode, format_sse_id
from turnwire_server.core.follower import Follower

__all__ = ["event_stream"]

KEEPALIVE_SECONDS = 15.0


async def event_stream(follower: Follower, *, turn: str | None = None) -> AsyncIterator[bytes]:
    """The events from the follower's cursor on; of one turn, until its `done`, if `turn` is given.

    The follower is closed when the reader goes.
    """
    conversation, epoch = follower.conversation, follower.epoch
    try:
        if follower.reset is not None:
            id = format_sse_id(conversation, epoch, 0)
            yield format_sse_event(event="reset", data_str=encode(follower.reset), id=id)
        async for frames in follower.stream(idle_seconds=KEEPALIVE_SECONDS):
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
    finally:
        follower.close()

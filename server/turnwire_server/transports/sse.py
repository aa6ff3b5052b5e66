"""Server-sent events over a follower: the same frames, in another envelope."""

from collections.abc import AsyncIterator
from contextlib import ExitStack

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from turnwire_protocol import encode, format_sse_id
from turnwire_server.core.log.follower import Follower
from turnwire_server.transports.event_response import EventResponse

__all__ = ["EventStream"]


class EventStream(EventResponse):
    """The events from the follower's cursor on; of one turn, until its `done`, if `turn` is given.

    A comment goes out about every `keepalive_seconds` in which nothing else does. `leaving` closes
    the follower, and is closed when the reader goes.
    """

    def __init__(
        self,
        follower: Follower,
        leaving: ExitStack,
        *,
        turn: str | None = None,
        keepalive_seconds: float,
    ) -> None:
        leaving.callback(follower.close)
        super().__init__(_events(follower, turn=turn, keepalive_seconds=keepalive_seconds), leaving)


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

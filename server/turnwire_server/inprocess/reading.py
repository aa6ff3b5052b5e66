"""Reading a conversation's log from the same process: a follower, as an async generator."""

import asyncio
from collections.abc import AsyncGenerator

from turnwire_protocol import Code, Event, Reset
from turnwire_server.core.hub import Hub
from turnwire_server.errors import Rejected

__all__ = ["read_events"]


async def read_events(
    hub: Hub, principal: str, conversation: str, *, after: int, epoch: str | None, live: bool
) -> AsyncGenerator[Event | Reset]:
    """The events after seq `after`, merged where they wait; with `live`, without an end.

    A `Reset` comes first where that cursor is not in the log: what was read before is void.

    Raises:
        Rejected: unknown conversation, it was deleted meanwhile, or it cannot be read; `draining`
            where the service ends before a live reader does.
    """
    woken = asyncio.Event()
    follower, head = await hub.follow(
        principal, conversation, after=after, epoch=epoch, wake=woken.set
    )
    try:
        if follower.reset is not None:
            yield follower.reset
        while live or follower.after < head:
            # Before the read: what comes during it must not be slept through.
            woken.clear()
            for event in await follower.events():
                yield event
            if follower.closed is not None:
                message, retryable = "the conversation has ended", follower.closed.retryable
                raise Rejected(Code(follower.closed.code), message, retryable=retryable)
            if follower.is_behind:
                continue
            if follower.is_ended:
                raise Rejected(Code.DRAINING, "the service ends")
            if live:
                await woken.wait()
    finally:
        follower.close()

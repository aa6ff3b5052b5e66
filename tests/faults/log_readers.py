"""Readers of a conversation for fault tests: by WebSocket and by SSE, from any cursor."""

from typing import Any

from tests.kit.sse import listening
from tests.kit.wire import wired
from turnwire_protocol import Event, format_sse_id, parse_event

__all__ = ["log_of", "over_sse", "over_websocket"]


async def log_of(address: str, conversation: str, **options: Any) -> list[Event]:
    """What is in the log now, merged. The options are those of `wired`."""
    return await over_websocket(address, conversation, **options)


async def over_websocket(
    address: str, conversation: str, *, after: int = 0, epoch: str | None = None, **options: Any
) -> list[Event]:
    """The events after a cursor that is in the log, up to the head of now."""
    position = {"conversation": conversation, "after": after}
    async with wired(address, **options) as wire:
        ack = await wire.ask("subscribe", **position, **({"epoch": epoch} if epoch else {}))
        assert ack["type"] == "ack", ack
        assert ack["after"] == after, "the cursor was in the log"
        while after < ack["head"]:
            await wire.receive()
            after = wire.events[-1].seq
        return wire.events


async def over_sse(
    address: str, conversation: str, *, after: int, epoch: str, upto: int
) -> list[Event]:
    """The events after a cursor that is in the log, up to `upto`, which has come or will."""
    events: list[Event] = []
    headers = {"last-event-id": format_sse_id(conversation, epoch, after)}
    async with listening(
        address, f"/v1/conversations/{conversation}/events", headers=headers
    ) as sse:
        while after < upto:
            sent = await sse.next()
            assert sent is not None, "the stream goes on"
            assert sent.type != "reset", "the cursor was in the log"
            events.append(parse_event(sent.data))
            after = events[-1].seq
            assert sent.id == format_sse_id(conversation, epoch, after)
    return events

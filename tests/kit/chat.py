"""A conversation with a service whose model is programmed: the shortest ways to have one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from tests.kit.service import serving, turnwire_over
from tests.kit.wire import Wire, wired
from turnwire_simulator import Simulator
from turnwire_simulator.api import Item

__all__ = ["MODEL", "ended", "head_of", "of_type", "talking"]

MODEL = "claude-simulated-opus"
T = TypeVar("T")


@asynccontextmanager
async def talking(simulator: Simulator, *items: Item, **settings: Any) -> AsyncIterator[Wire]:
    """A connection to a service whose model gives these answers and faults."""
    simulator.program(*items)
    turnwire = turnwire_over(simulator, **{"model": MODEL, **settings})
    async with serving(turnwire) as address, wired(address) as wire:
        yield wire


async def ended(wire: Wire, content: str = "Hello", **fields: Any) -> dict[str, Any]:
    """The `done` of a message that is sent now."""
    ack = await wire.ask("send", content=content, **fields)
    assert ack["type"] == "ack", ack
    return await wire.until("done", turn=ack["turn"])


async def head_of(wire: Wire, conversation: str) -> int:
    """The durable head of the log."""
    # It replaces the subscription, from the cursor: nothing is read twice.
    after = max(event.seq for event in wire.events if event.conversation == conversation)
    ack = await wire.ask("subscribe", conversation=conversation, after=after)
    head: int = ack["head"]
    return head


def of_type(wire: Wire, kind: type[T]) -> list[T]:
    """The events of one type that were read, in order."""
    return [event for event in wire.events if isinstance(event, kind)]

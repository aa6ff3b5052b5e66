"""Turns that are begun at one node and read at another."""

from typing import Any

from tests.kit.wire import Wire
from turnwire_simulator import Answer, Simulator, Text

__all__ = ["begun", "subscribed"]


async def begun(simulator: Simulator, wire: Wire, *said: Any, **fields: Any) -> dict[str, Any]:
    """The ack of a message whose turn has said something, and goes on when its gate is opened."""
    simulator.program(Answer(Text(list(said))))
    ack = await wire.ask("send", content="Hello", **fields)
    assert ack["type"] == "ack", ack
    await wire.until("token", turn=ack["turn"])
    return ack


async def subscribed(wire: Wire, ack: dict[str, Any]) -> None:
    """The wire reads the conversation of that ack from where its message begins."""
    cursor = {name: ack[name] for name in ("conversation", "epoch", "after")}
    reply = await wire.ask("subscribe", **cursor)
    assert (reply["type"], reply["after"]) == ("ack", ack["after"])

"""A bare WebSocket client for tests: frames as they are, no healing, nothing hidden."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_core import from_json, to_json
from websockets.asyncio.client import ClientConnection, connect

from turnwire_protocol import PROTOCOL, Conversation, Event, fold, parse_event

__all__ = ["Wire", "wired"]

PATIENCE_SECONDS = 10


class Wire:
    """One socket. Events and replies are kept in the order they came."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.events: list[Event] = []
        self._ids = 0

    async def send(self, type: str, **fields: Any) -> str:
        """Send a command; returns its id."""
        self._ids += 1
        id = str(self._ids)
        await self.socket.send(to_json({"type": type, "id": id, **fields}).decode())
        return id

    async def receive(self) -> dict[str, Any]:
        """The next frame, whatever it is; events are kept too."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            message: dict[str, Any] = from_json(await self.socket.recv())
        if "seq" in message and "turn" in message and message["type"] != "ack":
            self.events.append(parse_event(message))
        return message

    async def until(self, type: str, **fields: Any) -> dict[str, Any]:
        """Receive until a message of that type, with those fields."""
        while True:
            message = await self.receive()
            if message["type"] == type and fields.items() <= message.items():
                return message

    async def ask(self, type: str, **fields: Any) -> dict[str, Any]:
        """Send a command and receive until its reply."""
        id = await self.send(type, **fields)
        while True:
            message = await self.receive()
            if message.get("id") == id:
                return message

    def fold(self, conversation: str) -> Conversation:
        """What this reader has seen of a conversation."""
        return fold(event for event in self.events if event.conversation == conversation)


@asynccontextmanager
async def wired(address: str, *, hello: str | None = None, **options: Any) -> AsyncIterator[Wire]:
    """A connection that has been welcomed."""
    url = f"ws://{address}/v1/ws"
    async with connect(url, subprotocols=[PROTOCOL], max_size=None, **options) as socket:  # type: ignore[list-item]
        wire = Wire(socket)
        if hello is not None:
            await wire.send("hello", token=hello)
        await wire.until("welcome")
        yield wire

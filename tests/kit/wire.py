"""A bare WebSocket client for tests: frames as they are, no healing, nothing hidden."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic_core import from_json, to_json
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.kit.patience import PATIENCE_SECONDS, patience
from turnwire_protocol import PROTOCOL, Done, Event, FoldedConversation, fold, parse_event

__all__ = ["Wire", "narrow", "opened", "wired"]


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

    async def send_raw(self, frame: str | bytes, *, text: bool | None = None) -> None:
        """Send a frame as it is; `text` makes bytes a text frame."""
        await self.socket.send(frame, text=text)

    async def receive(self) -> dict[str, Any]:
        """The next frame, whatever it is; events are kept too."""
        async with patience():
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

    async def end(self, turn: str) -> Done:
        """The `done` of a turn. It may have come with what was received before: where another node
        answers, or a store is quick, events overtake replies."""
        while not (ends := [e for e in self.events if isinstance(e, Done) and e.turn == turn]):
            await self.receive()
        return ends[0]

    async def ask(self, type: str, **fields: Any) -> dict[str, Any]:
        """Send a command and receive until its reply."""
        id = await self.send(type, **fields)
        while True:
            message = await self.receive()
            if message.get("id") == id:
                return message

    async def closed(self) -> int:
        """The code the server closes with; what comes before is kept."""
        while True:
            try:
                await self.receive()
            except ConnectionClosed as closed:
                return closed.rcvd.code if closed.rcvd else 1006

    def seqs(self) -> list[int]:
        """The seqs of the events, in the order they came."""
        return [event.seq for event in self.events]

    def fold(self, conversation: str) -> FoldedConversation:
        """What this reader has seen of a conversation."""
        return fold(event for event in self.events if event.conversation == conversation)


@asynccontextmanager
async def opened(address: str, **options: Any) -> AsyncIterator[Wire]:
    """A connection of which nothing has been read yet."""
    limits = {"open_timeout": PATIENCE_SECONDS, "ping_interval": None, "max_size": None}
    options = {"subprotocols": [PROTOCOL], **limits, **options}
    async with connect(f"ws://{address}/v1/ws", **options) as socket:
        yield Wire(socket)


@asynccontextmanager
async def wired(address: str, *, hello: str | None = None, **options: Any) -> AsyncIterator[Wire]:
    """A connection that has been welcomed."""
    async with opened(address, **options) as wire:
        if hello is not None:
            await wire.send("hello", token=hello)
        await wire.until("welcome")
        yield wire


@asynccontextmanager
async def narrow(address: str) -> AsyncIterator[Wire]:
    """A welcomed connection that takes next to nothing from the network unless it is read."""
    host, port = address.split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
    async with wired(address, sock=raw, max_queue=1) as wire:
        yield wire

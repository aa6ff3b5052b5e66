"""A server whose frames a test writes by hand, over real sockets; it knows no rule of its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self, TypeVar

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from turnwire import Backoff

__all__ = [
    "AT",
    "AT_ONCE",
    "CONVERSATION",
    "EPOCH",
    "Frame",
    "Peer",
    "ScriptedServer",
    "answer",
    "done",
]

Frame = dict[str, Any]
Item = TypeVar("Item")
CONVERSATION = "c_1"
EPOCH = "e1"
AT = "2026-11-20T12:00:00Z"
TOTAL = {
    "input_tokens": 3,
    "output_tokens": 4,
    "cache_read_input_tokens": 0,
    "cache_creation_input_tokens": 0,
}
AT_ONCE = Backoff(uniform=lambda: 0.0)


class Peer:
    """One connection, seen from the server."""

    def __init__(self, ws: ServerConnection) -> None:
        self.ws = ws

    async def receive(self, kind: str | None = None) -> Frame:
        """The client's next command; asserts its type if one is given."""
        command: Frame = json.loads(await self.ws.recv())
        if kind is not None:
            assert command["type"] == kind, command
        return command

    async def send(self, *frames: Frame) -> None:
        for frame in frames:
            await self.ws.send(json.dumps(frame))

    async def ack(self, command: Frame, **fields: Any) -> None:
        await self.send({"type": "ack", "id": command["id"], **fields})

    async def ack_send(self, command: Frame, *, turn: str = "t_1", seq: int = 1) -> None:
        """Takes a `send`: the answer is that of a connection not yet subscribed."""
        await self.ack(
            command,
            conversation=command.get("conversation", CONVERSATION),
            turn=turn,
            seq=seq,
            epoch=EPOCH,
            after=seq - 1,
        )

    async def ack_subscribe(self, command: Frame, *, head: int, epoch: str = EPOCH) -> None:
        await self.ack(command, head=head, epoch=epoch, after=command.get("after", 0))

    async def gone(self) -> None:
        """Returns when the connection has ended."""
        await self.ws.wait_closed()

    def drop(self) -> None:
        """Breaks the TCP connection."""
        self.ws.transport.abort()


class ScriptedServer:
    """Listens on the loopback; every connection it accepts is a Peer, in order."""

    def __init__(
        self, *, heartbeat_seconds: float = 60.0, welcome: bool = True, refuse: int | None = None
    ) -> None:
        self.refuse = refuse
        self.is_demo = False
        self.headers: list[Headers] = []
        self._welcome = welcome
        self._heartbeat_seconds = heartbeat_seconds
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None
        host, port = next(iter(self._server.sockets)).getsockname()[:2]
        return f"http://{host}:{port}"

    @property
    def welcome(self) -> Frame:
        return {
            "type": "welcome",
            "protocol": "turnwire.v1",
            "limits": {
                "max_frame_bytes": 65536,
                "max_subscriptions": 8,
                "max_running_turns": 8,
                "max_commands_per_second": 100,
            },
            "models": ["claude-test"],
            "heartbeat_seconds": self._heartbeat_seconds,
            **({"demo": True} if self.is_demo else {}),
        }

    async def peer(self) -> Peer:
        """The next connection."""
        return await self._peers.get()

    async def _accept(self, ws: ServerConnection) -> None:
        peer = Peer(ws)
        try:
            if self._welcome:
                await peer.send(self.welcome)
            self._peers.put_nowait(peer)
            await ws.wait_closed()
        except ConnectionClosed:
            pass

    def _answer_request(self, ws: ServerConnection, request: Request) -> Response | None:
        self.headers.append(request.headers)
        return None if self.refuse is None else ws.respond(self.refuse, "no\n")

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._accept,
            "127.0.0.1",
            0,
            subprotocols=[Subprotocol("turnwire.v1")],
            process_request=self._answer_request,
            compression=None,
            ping_interval=None,
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()


def answer(
    *texts: str, turn: str = "t_1", first: int = 1, conversation: str = CONVERSATION
) -> list[Frame]:
    """The frames of a turn that answers `texts`, one token each, from seq `first`."""
    frames: list[Frame] = [
        {"type": "message", "role": "user", "content": "Hi", "at": AT},
        {"type": "start", "model": "claude-test", "at": AT},
        {"type": "step", "step": 1, "attempt": 1, "model": "claude-test", "at": AT},
        *({"type": "token", "block": 0, "text": text} for text in texts),
        {"type": "block_stop", "block": 0, "at": AT},
        done(),
    ]
    return [
        {"conversation": conversation, "turn": turn, "seq": seq, **frame}
        for seq, frame in enumerate(frames, first)
    ]


def done(stop_reason: str = "end_turn") -> Frame:
    return {
        "type": "done",
        "stop_reason": stop_reason,
        "usage": TOTAL,
        "steps": 1,
        "duration_ms": 5,
        "at": AT,
    }


async def collect(items: AsyncIterator[Item], into: list[Item]) -> None:
    """Everything of an iteration, kept also where it ends by raising."""
    async for item in items:
        into.append(item)

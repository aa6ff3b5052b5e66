"""The WebSocket of v7's `WebSocketChatTransport`: many requests of a page over one connection.

`send` and `resume` are answered by `chunk`s and an `end`; `abort` stops the turn at once. The
client gives up at any frame that it does not know, so nothing else is ever said.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json
from starlette.websockets import WebSocket, WebSocketDisconnect

from turnwire_protocol import BadCommand, BadFrame, CloseCode, parse_body, parse_object
from turnwire_server.core.limits import Bucket
from turnwire_server.errors import Rejected
from turnwire_server.transports.frames import Closing, receive_text
from turnwire_server.transports.handshake import (
    accept,
    admit,
    deny,
    forget_request,
    placed,
)
from turnwire_server.transports.service import Service
from turnwire_server.transports.socket import Socket, until_one_ends
from turnwire_server.wires.ai_sdk.reply import Reply, replying, resuming, stopping
from turnwire_server.wires.ai_sdk.request import ChatRequest
from turnwire_server.wires.ai_sdk.values import Json, Version

__all__ = ["ChatSocket"]

logger = logging.getLogger(__name__)

_BEARER = "bearer."
_NEVER_SECONDS = 3600.0
"""The server's own pings keep the connection: nobody wants to hear that nothing came."""


class _Frame(BaseModel):
    """A frame of the client, as far as all have it."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    type: Literal["send", "resume", "abort"]
    requestId: Annotated[str, Field(min_length=1, max_length=128)]


class _Resume(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    id: Annotated[str, Field(min_length=1, max_length=1024)]


@dataclass(slots=True)
class _Running:
    """A request that is being answered."""

    reply: Reply
    task: asyncio.Task[None]


class ChatSocket:
    """One socket, from the handshake to its close."""

    def __init__(self, socket: WebSocket, service: Service) -> None:
        self._socket = socket
        self._service = service
        self._principal = ""
        self._running: dict[str, _Running] = {}
        self._leaves = asyncio.Event()
        self._writing = asyncio.Lock()
        self._out = Socket(socket)

    async def run(self) -> None:
        """Serve the socket until it closes. Never raises."""
        await self._out.serve(self._serve())

    def going_away(self, reconnect_after_seconds: float) -> None:
        """The server drains: close once what is being answered has its end."""
        self._leaves.set()

    # In

    async def _enter(self) -> str | None:
        """The principal, on an accepted socket; None if it was refused before the upgrade.

        Raises:
            Closing: nobody is known by the credentials.
        """
        socket, access = self._socket, self._service.access
        asked: list[str] = socket.scope.get("subprotocols", [])
        tokens = [name for name in asked if name.startswith(_BEARER)]
        try:
            access.check_host(socket)
            access.check_origin(socket)
            if tokens:
                # A page can set no header of a WebSocket.
                token = unquote(tokens[0].removeprefix(_BEARER))
                principal = await access.principal_of_token(socket, token)
            else:
                principal = await access.principal(socket)
        except Rejected as refused:
            await deny(socket, refused)
            return None
        if principal is not None:
            admit(socket, max_frame_bytes=self._service.limits.max_wire_body_bytes)
        # Browsers take no connection whose server picks none of the protocols that were asked for.
        chosen = next((name for name in asked if name not in tokens), next(iter(tokens), None))
        await accept(socket, chosen)
        forget_request(socket)
        if principal is None:
            raise Closing(CloseCode.UNAUTHORIZED, "a valid token is required")
        return principal

    async def _serve(self) -> None:
        principal = await self._enter()
        if principal is None:
            return
        with placed(self._service.sockets, principal):
            self._principal = principal
            await until_one_ends(
                self._receive(),
                self._leave(),
                others=lambda: [running.task for running in self._running.values()],
            )

    async def _leave(self) -> None:
        await self._leaves.wait()
        while self._running:
            await asyncio.wait([running.task for running in self._running.values()])
        raise Closing(CloseCode.RESTART, "the server is going away")

    async def _receive(self) -> None:
        """Take one frame after another: what is asked for is begun before the next is read."""
        limits = self._service.limits
        frames = Bucket(limits.frames_per_second, time.monotonic())
        while True:
            text = await receive_text(self._socket, max_bytes=limits.max_wire_body_bytes)
            if not frames.take(time.monotonic()):
                raise Closing(CloseCode.TOO_SLOW, "too many frames")
            try:
                data = parse_object(text)
                frame = parse_body(_Frame, data)
            except (BadCommand, BadFrame) as error:
                raise Closing(CloseCode.VIOLATION, str(error)[:100]) from error
            try:
                await self._take(frame, data)
            except (Rejected, BadCommand) as refused:
                said = refused.message if isinstance(refused, Rejected) else str(refused)
                await self._say("error", frame.requestId, errorText=said)
            # A whole conversation, and the next one may never come.
            del text, data

    async def _take(self, frame: _Frame, data: Json) -> None:
        id = frame.requestId
        if frame.type == "abort":
            await self._abort(id)
            return
        if id in self._running:
            raise Closing(CloseCode.VIOLATION, "requestId: is in use")
        self._service.access.check_rate(self._principal)
        with ExitStack() as place:
            place.enter_context(self._service.streams.taken(self._principal))
            reply = await self._reply(frame, data)
            if reply is None:
                await self._say("no-active", id)
                return
            place.callback(reply.exchange.follower.close)
            if frame.type == "resume":
                await self._say("start", id)
            task = asyncio.create_task(self._stream(id, reply))
            self._running[id] = _Running(reply, task)
            place.callback(self._running.pop, id)
            # Not in the task: one that is cancelled before it has begun runs no `finally`.
            leaving = place.pop_all()
            task.add_done_callback(lambda _: leaving.close())

    async def _reply(self, frame: _Frame, data: Json) -> Reply | None:
        service, principal = self._service, self._principal
        if frame.type == "resume":
            name = parse_body(_Resume, data).id
            return await resuming(service, principal, name, Version.V7)
        body = data.get("body")
        request = {**(body if isinstance(body, dict) else {}), **dict(_of_send(data))}
        return await replying(service, principal, parse_body(ChatRequest, request), Version.V7)

    async def _abort(self, id: str) -> None:
        running = self._running.get(id)
        if running is None:
            return  # It has ended, or never was.
        turn, name = running.reply.exchange.turn, running.reply.conversation
        await stopping(self._service, self._principal, name, turn)
        running.task.cancel()

    # Out

    async def _stream(self, id: str, reply: Reply) -> None:
        numbers = count()
        try:
            async for group in reply.chunks(idle_seconds=_NEVER_SECONDS):
                for chunk in group:
                    await self._say("chunk", id, sequence=next(numbers), chunk=chunk)
            await self._say("end", id)
        except (WebSocketDisconnect, RuntimeError, OSError):
            pass  # Nobody is there any more: who receives is told so, too.
        except Exception:
            # Boundary: the root of a stream.
            logger.exception("a stream failed")
            with suppress(WebSocketDisconnect, RuntimeError, OSError):
                await self._say("error", id, errorText="internal error")

    async def _say(self, type: str, id: str, **fields: Any) -> None:
        """Write a frame. One is written after another, whichever request it is of."""
        text = to_json({"type": type, "requestId": id, **fields}).decode()
        async with self._writing:
            await self._out.put(deque((text,)))


def _of_send(data: Json) -> Iterator[tuple[str, Any]]:
    for name in ("id", "messages", "trigger", "messageId"):
        if name in data:
            yield name, data[name]

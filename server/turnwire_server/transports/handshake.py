"""The WebSocket handshake: refuse or accept, find the principal."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any, Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect

from turnwire_protocol import (
    PROTOCOL,
    BadCommand,
    BadFrame,
    CloseCode,
    Code,
    Hello,
    parse_command,
)
from turnwire_server.core.limits import HELLO_BYTES, Places
from turnwire_server.errors import Rejected
from turnwire_server.transports.access import Access
from turnwire_server.transports.frames import Closing, receive_text, reject, reject_bad
from turnwire_server.transports.http import error_response

__all__ = [
    "RECONNECT_SECONDS",
    "Lobby",
    "Peer",
    "accept",
    "admit",
    "apart",
    "deny",
    "forget_request",
    "placed",
    "shake_hands",
]

RECONNECT_SECONDS = 1.0
"""When clients of a draining server may look for its successor."""

_MADE_OF_THE_REQUEST = ("_base_url", "_cookies", "_headers", "_query_params", "_url")
"""What Starlette's socket keeps of its request, once it was asked for."""


class Peer(Protocol):
    """A connection whose other end is told when the service goes away."""

    def going_away(self, reconnect_after_seconds: float) -> None:
        """The service drains; its successor may be looked for in so many seconds."""


class Lobby:
    """The sockets that have not said `hello`. When it is full, who waited longest must go: a client
    says it at once, so it is the silent who are shown out."""

    def __init__(self, max_sockets: int) -> None:
        self._max_sockets = max_sockets
        self._waiting: dict[asyncio.Timeout, None] = {}

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Wait here for so long.

        Raises:
            TimeoutError: the time is over.
            Closing: it was over early, for want of room.
        """
        if len(self._waiting) >= self._max_sockets:
            self._show_out()
        deadline = asyncio.timeout(seconds)
        self._waiting[deadline] = None
        try:
            async with deadline:
                yield
        except TimeoutError:
            if deadline in self._waiting:
                raise
            raise Closing(CloseCode.TOO_SLOW, "too many sockets without hello") from None
        finally:
            self._waiting.pop(deadline, None)

    def _show_out(self) -> None:
        longest = next(iter(self._waiting))
        del self._waiting[longest]
        if not longest.expired():
            longest.reschedule(asyncio.get_running_loop().time())


async def shake_hands(
    socket: WebSocket,
    access: Access,
    *,
    lobby: Lobby,
    hello_timeout_seconds: float,
    max_frames: int,
) -> str | None:
    """Accept the socket and return its principal; None if it was refused before the upgrade.

    `max_frames` may come until a valid `hello`.

    Raises:
        Closing: a wrong subprotocol, no valid `hello` in time, or others wanted the place.
    """
    try:
        access.check_host(socket)
        access.check_origin(socket)
        principal = await access.principal(socket)
    except Rejected as refused:
        await deny(socket, refused)
        return None
    asked = socket.scope.get("subprotocols", [])
    await accept(socket, PROTOCOL if PROTOCOL in asked else None)
    if asked and PROTOCOL not in asked:
        raise Closing(CloseCode.VIOLATION, f"the subprotocol is {PROTOCOL}")
    if principal is not None:
        return principal
    try:
        async with lobby.within(hello_timeout_seconds):
            return await _hello(socket, access, max_frames=max_frames)
    except TimeoutError:
        raise Closing(CloseCode.UNAUTHORIZED, "no hello in time") from None


async def deny(socket: WebSocket, refused: Rejected) -> None:
    """Answer the request for a socket as any other request that is refused."""
    denial = error_response(
        refused.code,
        refused.message,
        retryable=refused.retryable,
        retry_after_seconds=refused.retry_after_seconds,
    )
    await socket.send_denial_response(denial)


async def accept(socket: WebSocket, subprotocol: str | None) -> None:
    """Accept the socket.

    Raises:
        WebSocketDisconnect: the peer is gone.
    """
    try:
        await socket.accept(subprotocol=subprotocol)
    except OSError as gone:
        # Starlette translates this only of a socket that was accepted.
        raise WebSocketDisconnect(1006) from gone


def placed(places: Places, principal: str) -> AbstractContextManager[None]:
    """A place among the principal's sockets, from now on until the context ends.

    Raises:
        Closing: there is none left.
    """
    try:
        return places.taken(principal)
    except Rejected as refused:
        raise Closing(CloseCode.TOO_SLOW, refused.message) from refused


async def apart(socket: WebSocket, serve: Callable[[WebSocket], Coroutine[Any, Any, None]]) -> None:
    """Serve a socket, in its endpoint. Where the server is ours, all calls that led to the endpoint
    return first: they would wait with the socket, and hold more than it does."""
    ours = socket.scope.get("extensions", {}).get("turnwire")
    if ours is None:
        await serve(socket)
    else:
        ours["afterwards"](serve(WebSocket(socket.scope, ours["receive"], ours["send"])))


def forget_request(socket: WebSocket) -> None:
    """Nobody asks any more what the request for the socket said."""
    socket.scope = {"type": "websocket"}
    for name in _MADE_OF_THE_REQUEST:
        vars(socket).pop(name, None)


def admit(socket: WebSocket, *, max_frame_bytes: int | None = None) -> None:
    """It is known who this is. Where the server is ours, it lifts the bounds for strangers.

    `max_frame_bytes`: of a frame from now on, unless it is that of the limits.
    """
    ours = socket.scope.get("extensions", {}).get("turnwire")
    if ours is not None:
        ours["admit"](max_frame_bytes)


async def _hello(socket: WebSocket, access: Access, *, max_frames: int) -> str:
    """Wait for a valid `hello`; whatever else comes is rejected, but not for long."""
    for _ in range(max_frames):
        text = await receive_text(socket, max_bytes=HELLO_BYTES)
        try:
            command = parse_command(text)
        except BadCommand as error:
            await socket.send_text(reject_bad(error))
            continue
        except BadFrame as error:
            raise Closing(CloseCode.VIOLATION, str(error)) from error
        if not isinstance(command, Hello):
            refused = Rejected(Code.UNAUTHORIZED, "send hello first")
            await socket.send_text(reject(command.id, refused))
            continue
        try:
            principal = await access.principal_of_token(socket, command.token)
        except Rejected as refused:
            raise Closing(CloseCode.TOO_SLOW, refused.message) from refused
        if principal is None:
            raise Closing(CloseCode.UNAUTHORIZED, "the token is not valid")
        return principal
    raise Closing(CloseCode.TOO_SLOW, "too many frames before hello")

"""The WebSocket handshake: refuse or accept, find the principal, count its open sockets."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.websockets import WebSocket

from turnwire_protocol import (
    PROTOCOL,
    BadCommand,
    BadFrame,
    CloseCode,
    Code,
    Hello,
    parse_command,
)
from turnwire_server.errors import Rejected
from turnwire_server.transports.access import Access
from turnwire_server.transports.frames import Closing, receive_text, reject, reject_bad
from turnwire_server.transports.http import error_response

__all__ = ["Places", "shake_hands"]

_HELLO_BYTES = 4096


class Places:
    """How many sockets each principal has open."""

    def __init__(self, max_sockets: int) -> None:
        self._max_sockets = max_sockets
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, principal: str) -> Iterator[None]:
        """Count one more socket of the principal, for as long as the context lasts.

        Raises:
            Closing: there are too many.
        """
        if self._taken[principal] >= self._max_sockets:
            raise Closing(CloseCode.TOO_SLOW, "too many connections")
        self._taken[principal] += 1
        try:
            yield
        finally:
            self._taken[principal] -= 1
            if not self._taken[principal]:
                del self._taken[principal]


async def shake_hands(
    socket: WebSocket, access: Access, *, hello_timeout_seconds: float
) -> str | None:
    """Accept the socket and return its principal; None if it was refused before the upgrade.

    Raises:
        Closing: a wrong subprotocol, or no valid `hello` in time.
    """
    try:
        access.check_host(socket)
        access.check_origin(socket)
    except Rejected as refused:
        denial = error_response(refused.code, refused.message, retryable=refused.retryable)
        await socket.send_denial_response(denial)
        return None
    principal = await access.principal(socket)
    asked = socket.scope.get("subprotocols", [])
    await socket.accept(subprotocol=PROTOCOL if PROTOCOL in asked else None)
    if asked and PROTOCOL not in asked:
        raise Closing(CloseCode.VIOLATION, f"the subprotocol is {PROTOCOL}")
    if principal is not None:
        return principal
    try:
        async with asyncio.timeout(hello_timeout_seconds):
            return await _hello(socket, access)
    except TimeoutError:
        raise Closing(CloseCode.UNAUTHORIZED, "no hello in time") from None


async def _hello(socket: WebSocket, access: Access) -> str:
    """Wait for a valid `hello`; whatever else comes is rejected."""
    while True:
        text = await receive_text(socket, max_bytes=_HELLO_BYTES)
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
        principal = await access.principal_of_token(socket, command.token)
        if principal is None:
            raise Closing(CloseCode.UNAUTHORIZED, "the token is not valid")
        return principal

"""Takes connections from a listening socket, as far as there is room; knows no HTTP but a refusal.

asyncio's own server takes as many at once as the backlog holds before anybody else has a turn, and
logs each that finds no descriptor, without stopping.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable

from pydantic_core import to_json

from turnwire_protocol import Code
from turnwire_server.connections.room import Place, Room
from turnwire_server.rationed import RATIONED

__all__ = ["Acceptor"]

logger = logging.getLogger(__name__)
logger.addFilter(RATIONED)

_AT_ONCE = 4
_PAUSE_SECONDS = 0.001
"""After so many connections, so that a crowd at the door takes less than half of the time.

A turn of the loop would not do: where the loop never rests, the store's thread waits for the
interpreter's lock at each step.
"""

_OUT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_RETRY_SECONDS = 1.0

_MAX_REFUSED = 32
"""Refused connections that are still told so; they cost a descriptor each, of the reserve."""

_REFUSED_SECONDS = 2.0
_REFUSAL_BODY = to_json(
    {
        "error": {
            "code": Code.TOO_MANY,
            "message": "too many connections",
            "retryable": True,
            "retry_after_seconds": 1.0,
        }
    }
)
_REFUSAL = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_REFUSAL_BODY), _REFUSAL_BODY)
)


class Acceptor:
    """Accepts, while there is room; whoever finds none is told to come again."""

    def __init__(
        self,
        listener: socket.socket,
        room: Room,
        protocol_for: Callable[[Place], asyncio.BaseProtocol],
    ) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._room = room
        self._protocol_for = protocol_for
        self._connecting: set[asyncio.Task[None]] = set()
        self._refused = 0
        self._task = asyncio.create_task(self._accept(), name="accept")

    async def close(self) -> None:
        """Accept nothing more; those who are in stay."""
        tasks = [self._task, *self._connecting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_PAUSE_SECONDS)
            for _ in range(_AT_ONCE):
                try:
                    connection, address = await loop.sock_accept(self._listener)
                except OSError as error:
                    if error.errno in _OUT_OF:
                        await self._recover(error)
                    break
                self._take(connection, str(address[0]))

    async def _recover(self, error: OSError) -> None:
        """No descriptor is left: free those of who asks for nothing, and let the others end."""
        logger.warning("a connection cannot be accepted: %s", error.strerror)
        while self._room.displace():
            pass
        await asyncio.sleep(_RETRY_SECONDS)

    def _take(self, connection: socket.socket, address: str) -> None:
        place = self._room.enter(address)
        if place is not None:
            self._connect(connection, self._protocol_for(place), place)
            return
        logger.warning(
            "a connection from %s is refused: %d of limits.max_connections or"
            " max_connections_per_address are served",
            address,
            self._room.taken,
        )
        if self._refused < _MAX_REFUSED:
            self._refused += 1
            self._connect(connection, _Refusing(self._forget), None)
        else:
            connection.close()

    def _connect(
        self, connection: socket.socket, protocol: asyncio.BaseProtocol, place: Place | None
    ) -> None:
        task = asyncio.create_task(_connected(connection, protocol, place), name="connect")
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _forget(self) -> None:
        self._refused -= 1


async def _connected(
    connection: socket.socket, protocol: asyncio.BaseProtocol, place: Place | None
) -> None:
    loop = asyncio.get_running_loop()
    try:
        await loop.connect_accepted_socket(lambda: protocol, connection)
    except OSError as error:
        # Gone before it was there.
        logger.warning("a connection could not be set up: %s", error.strerror)
        connection.close()
        if place is not None:
            place.leave()


class _Refusing(asyncio.Protocol):
    """Answers the first bytes, whatever they are, with 429."""

    def __init__(self, forget: Callable[[], None]) -> None:
        self._forget = forget

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request, but not for long."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(_REFUSED_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        """What was read before the end is not lost on the way, as a reset would lose the answer."""
        self._transport.write(_REFUSAL)
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """One less."""
        self._deadline.cancel()
        self._forget()

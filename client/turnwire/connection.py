"""One WebSocket to one server, from the upgrade to its end; knows frames, not what they mean."""

import asyncio
import contextlib
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
)
from websockets.http11 import Response
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from turnwire.errors import (
    BadAddress,
    BadArgument,
    BadServer,
    CannotConnect,
    ConnectionLost,
    ConnectionRefused,
)
from turnwire_protocol import (
    CloseCode,
    Code,
    Event,
    Hello,
    Ping,
    Reject,
    Reply,
    Welcome,
    encode,
    may_reconnect,
    parse_event,
    parse_reply,
)
from turnwire_protocol.codes import PROTOCOL
from turnwire_protocol.commands import MAX_TOKEN_CHARACTERS
from turnwire_protocol.replies import REPLY_TYPES

__all__ = ["Connection", "bearer", "socket_address"]

SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
SOCKET_PATH = "/v1/ws"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
CLOSE_TIMEOUT_SECONDS = 2.0
PATIENT_SECONDS = 0.2
"""How long a client without a token waits for the welcome before it asks for an answer."""
ABNORMAL = 1006


def socket_address(url: str) -> str:
    """The WebSocket URL of the service at `url` (ws, wss, http or https; a path is a prefix).

    Raises:
        BadAddress: another scheme, no host, or a part that does not belong there.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise BadAddress(f"{url!r} is no URL: {error}") from error
    if parts.scheme not in SCHEMES or not parts.hostname or port == 0:
        raise BadAddress(f"{url!r}: expected something like http://127.0.0.1:8000")
    if parts.query or parts.fragment or parts.username is not None:
        raise BadAddress("no query, fragment or user in the URL: a token goes in `token`")
    path = parts.path.rstrip("/")
    if not path.endswith(SOCKET_PATH):
        path += SOCKET_PATH
    return urlunsplit((SCHEMES[parts.scheme], parts.netloc, path, "", ""))


def bearer(token: str) -> dict[str, str]:
    """The header that shows the token, which is in UTF-8; headers are written as Latin-1.

    Raises:
        BadArgument: it cannot be in a header. What it is, is never said.
    """
    try:
        value = token.encode().decode("latin-1")
    except UnicodeEncodeError:
        raise BadArgument("the token: half a surrogate pair cannot be sent") from None
    if len(token) > MAX_TOKEN_CHARACTERS or any(char < " " or char == "\x7f" for char in token):
        raise BadArgument(
            f"the token: {MAX_TOKEN_CHARACTERS} characters at most, and no line break or the like"
        )
    return {"Authorization": f"Bearer {value}"}


class Connection:
    """An open connection that has been welcomed.

    One task calls `receive` in a loop; anyone may `post`. A task of its own writes what was
    posted, in order: a server that does not read holds up nobody who wants to say something.
    """

    def __init__(self, ws: ClientConnection) -> None:
        self._ws = ws
        self._outbox: asyncio.Queue[str] = asyncio.Queue()
        self._writer = asyncio.create_task(self._write(), name="turnwire-writer")
        self._welcome: Welcome | None = None

    @classmethod
    async def open(cls, address: str, token: str | None, *, timeout_seconds: float) -> Self:
        """Connect, authenticate, and wait for `welcome`.

        Raises:
            BadAddress, BadArgument: of that name no host can be, or of that text no token.
            CannotConnect: nobody answered in time, or not in turnwire.v1.
            ConnectionRefused: by an HTTP status or a close code.
            BadServer: the first frame is not turnwire.v1.
        """
        # A proxy from the environment cannot reach this machine's own loopback.
        loopback = urlsplit(address).hostname in LOOPBACK
        try:
            async with asyncio.timeout(timeout_seconds):
                ws = await open_websocket(
                    address,
                    subprotocols=[Subprotocol(PROTOCOL)],
                    additional_headers=bearer(token) if token else None,
                    proxy=None if loopback else True,
                    compression=None,
                    open_timeout=None,
                    ping_interval=None,
                    close_timeout=CLOSE_TIMEOUT_SECONDS,
                    max_size=None,
                )
                connection = cls(ws)
                try:
                    await connection._enter(address, token)
                except BaseException:
                    await connection.abort()
                    raise
        except InvalidStatus as error:
            raise _refusal(address, error.response) from error
        except TimeoutError as error:
            raise CannotConnect(address, f"no answer in {timeout_seconds:g} seconds") from error
        except InvalidURI as error:
            raise BadAddress(str(error)) from error
        except UnicodeError as error:
            raise BadAddress(f"{address!r}: that can be no host's name") from error
        except (OSError, InvalidHandshake) as error:
            raise CannotConnect(address, str(error) or type(error).__name__) from error
        return connection

    async def _enter(self, address: str, token: str | None) -> None:
        if self._ws.subprotocol != PROTOCOL:
            raise CannotConnect(address, f"what answers there does not speak {PROTOCOL}")
        # The header is enough for most; `hello` is for a server, or a proxy before it, that does
        # not look at it. After a redirect to elsewhere neither is given.
        if token and self._ws.protocol.uri == parse_uri(address):
            self.post(Hello(id="hello", token=token))
        while self._welcome is None:
            try:
                message = self._decode(await self._first_frame(token))
            except ConnectionClosed as closed:
                loss = _loss(closed)
                reason = loss.reason or "closed before the welcome"
                if may_reconnect(loss.close_code):
                    raise CannotConnect(address, reason) from closed
                code = Code.UNAUTHORIZED if loss.close_code == CloseCode.UNAUTHORIZED else None
                raise ConnectionRefused(
                    address, reason, status=loss.close_code, code=code
                ) from closed
            match message:
                case Welcome():
                    self._welcome = message
                case Reject():
                    # What is asked here without a token, or with a `hello` it does not take.
                    reason = message.message if token else "a token is missing"
                    status = CloseCode.UNAUTHORIZED
                    raise ConnectionRefused(address, reason, status=status, code=message.code)

    async def _first_frame(self, token: str | None) -> bytes:
        """The next frame before the welcome.

        A server that wants a token waits for `hello` before it closes. Who has none asks at once:
        such a server refuses a `ping`. One that wants none has said `welcome` by then, or says it
        before `pong`.
        """
        if token is None:
            try:
                async with asyncio.timeout(PATIENT_SECONDS):
                    return await self._ws.recv(decode=False)
            except TimeoutError:
                self.post(Ping(id="anyone"))
        return await self._ws.recv(decode=False)

    @property
    def welcome(self) -> Welcome:
        """What the server said of itself."""
        if self._welcome is None:
            raise BadServer("no welcome yet")
        return self._welcome

    def post(self, command: BaseModel) -> None:
        """Send a command as soon as the socket takes it."""
        self._outbox.put_nowait(encode(command))

    async def receive(self) -> Reply | Event:
        """The next message; what is none that we know is skipped.

        After `heartbeat_seconds` of silence a `ping` is sent, and half of that later, when
        nothing at all has come, the connection counts as dead.

        Raises:
            ConnectionLost: it ended, however it did.
            BadServer: a message we know is malformed.
        """
        heartbeat_seconds = self.welcome.heartbeat_seconds
        while True:
            try:
                frame = await self._next_frame(heartbeat_seconds)
            except TimeoutError:
                self.post(Ping(id="ping"))
                try:
                    frame = await self._next_frame(heartbeat_seconds / 2)
                except TimeoutError as error:
                    raise ConnectionLost(ABNORMAL, "no heartbeat") from error
            message = self._decode(frame)
            if message is not None:
                return message

    async def _next_frame(self, timeout_seconds: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._ws.recv(decode=False)
        except ConnectionClosed as closed:
            raise _loss(closed) from closed

    def _decode(self, frame: bytes) -> Reply | Event | None:
        try:
            data = from_json(frame)
            if not isinstance(data, dict):
                raise BadServer("a frame that is not a JSON object")
            if data.get("type") in REPLY_TYPES:
                return parse_reply(data)
            if "conversation" in data and "seq" in data:
                return parse_event(data)
        except ValidationError as error:
            raise BadServer(f"a malformed {data['type']}: {error}") from error
        except ValueError as error:
            raise BadServer("a frame that is not JSON") from error
        # A connection-level message of a later minor version.
        return None

    async def _write(self) -> None:
        # That the connection is gone is the reader's to see.
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self._ws.send(await self._outbox.get())

    async def close(self) -> None:
        """Say goodbye (1000), bounded in time."""
        await self._stop_writing()
        await self._ws.close()

    async def abort(self) -> None:
        """Drop the connection without a word; for one that no longer answers."""
        self._ws.transport.abort()
        await self._stop_writing()
        await self._ws.wait_closed()

    async def _stop_writing(self) -> None:
        self._writer.cancel()
        await asyncio.wait([self._writer])


def _refusal(address: str, response: Response) -> ConnectionRefused:
    """What the service says, or what can be said where it was not the service that answered."""
    status, body = response.status_code, bytes(response.body or b"")
    try:
        told = Reject.model_validate(from_json(body)["error"])
    except (ValueError, TypeError, KeyError):
        words = body[:200].decode(errors="replace").strip() or response.reason_phrase
        return ConnectionRefused(address, words, status=status)
    return ConnectionRefused(address, told.message, status=status, code=told.code)


def _loss(closed: ConnectionClosed) -> ConnectionLost:
    if closed.rcvd is None:
        return ConnectionLost(ABNORMAL, "the connection broke")
    return ConnectionLost(closed.rcvd.code, closed.rcvd.reason)

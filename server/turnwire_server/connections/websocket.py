"""uvicorn's WebSocket protocol, hardened: peers that send too much or never read are cut off.

Reasons are in the uvicorn 0.54 source: a peer that never reads pins `send()` for ever, because its
ping time-out closes the transport instead of aborting it; pings are answered without looking at
what already waits to be written; and whatever came in one read is parsed to its end, at 5 to 8 µs
a frame, before anybody looks at it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.frames import Frame
from websockets.server import ServerProtocol

from turnwire_protocol import CloseCode
from turnwire_server.connections.reading import Line, Reads, Window
from turnwire_server.connections.room import Place
from turnwire_server.core.limits import HELLO_BYTES, Bucket, ServiceLimits
from turnwire_server.waiting import Flag, Mailbox

__all__ = ["HardenedProtocol"]

_MAX_UNSENT_BYTES = 256 * 1024


class TooManyFrames(Exception):
    """The peer sends more frames than its bucket holds."""


class BoundedFrames(ServerProtocol):
    """websockets' parser; it gives up in the middle of a read, before the frame that is too much.

    Frames of every kind count alike: the smallest cost as much as any.
    """

    def __init__(self, bucket: Bucket, clock: Callable[[], float], **options: Any) -> None:
        super().__init__(**options)
        self.bucket = bucket
        self.pieces = 0
        self._clock = clock
        self._last: Frame | None = None

    def forget(self) -> None:
        """What was received has been taken: the parser knows the last frame until the next one."""
        if self._last is not None:
            self._last.data = b""
            self._last = None

    def recv_frame(self, frame: Frame) -> None:
        """Take a frame, or fail the connection; `fail` drops what was read and not yet parsed."""
        self.pieces += 1
        self._last = frame
        if self.bucket.take(self._clock()):
            super().recv_frame(frame)
            return
        self.fail(CloseCode.TOO_SLOW, "too many frames")
        self.parser_exc = TooManyFrames()


class HardenedProtocol(WebSocketsSansIOProtocol, Reads):
    """One WebSocket. Until the app admits it (after `hello`) it may send next to nothing.

    The app finds `admit` in the scope's extension `turnwire`, `send_texts`, and `afterwards`: what
    it gives there is done once it has returned, with `receive` and `send` from there.
    """

    conn: BoundedFrames
    _rest: Coroutine[Any, Any, None] | None = None
    """What is left to do for the socket once the app has returned."""

    def __init__(
        self, *, place: Place, window: Window, line: Line, limits: ServiceLimits, **uvicorn: Any
    ) -> None:
        super().__init__(**uvicorn)
        self.window = window
        self.line = line
        self.queue = Mailbox()  # type: ignore[assignment]
        self.writable = Flag()  # type: ignore[assignment]
        self.writable.set()
        self._place = place
        self._limits = limits
        handful = limits.max_frames_before_hello
        self.conn = BoundedFrames(
            Bucket(1, self.loop.time(), size=handful),
            self.loop.time,
            max_size=min(HELLO_BYTES, limits.max_frame_bytes),
            logger=self.logger,
        )

    @property
    def pieces(self) -> int:
        """How many frames have come so far."""
        return self.conn.pieces

    @property
    def is_paused(self) -> bool:
        """Whether the app is to catch up first."""
        return self.read_paused

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The upgrade has begun: the place is still that of somebody unknown."""
        super().connection_made(transport)
        self._place.work()
        self._place.wait(self._give_way)

    def connection_lost(self, exc: Exception | None) -> None:
        """The place is free."""
        self._place.leave()
        super().connection_lost(exc)
        # The parser is a generator that knows the connection, which knows it: a circle, too.
        self.conn.parser.close()
        self.let_go()

    def data_received(self, data: bytes) -> None:
        """Take what was read; nothing of it is held once the app has it."""
        super().data_received(data)
        self.conn.forget()

    def admit(self, max_frame_bytes: int | None = None) -> None:
        """It is known who this is: what the limits say holds from now on.

        `max_frame_bytes`: in place of that of the limits.
        """
        self.conn.max_message_size = max_frame_bytes or self._limits.max_frame_bytes
        self.conn.bucket = Bucket(self._limits.frames_per_second, self.loop.time())
        self._place.work()

    def start_keepalive(self) -> None:
        """The handshake is over: what was asked and answered is of no use any more."""
        super().start_keepalive()
        # The parser knows the request to its end.
        self.request.headers.clear()
        del self.request, self.response
        self.scope = {"type": "websocket", "extensions": self.scope["extensions"]}  # type: ignore[typeddict-item]

    async def run_asgi(self) -> None:
        """Run the app; it is told how to admit, and how to send at once what comes at once."""
        extensions = self.scope["extensions"]
        extensions["turnwire"] = {
            "admit": self.admit,
            "afterwards": self._afterwards,
            "receive": self.receive,
            "send": self.send,
            "send_texts": self.send_texts,
        }
        self.app = self._run
        try:
            await super().run_asgi()
        finally:
            # Circles, which only the collector would find: many connections that come and go are
            # to leave nothing to it.
            del extensions["turnwire"], self.app

    def _afterwards(self, rest: Coroutine[Any, Any, None]) -> None:
        self._rest = rest

    async def _run(self, *asgi: Any) -> None:
        """The app, and then what it has left to do: a framework's calls around an endpoint hold
        13 KiB, as long as they wait for it."""
        try:
            await self.config.loaded_app(*asgi)
            del asgi
            if self._rest is not None:
                await self._rest
        finally:
            if self._rest is not None:
                self._rest.close()
                self._rest = None

    async def send_texts(self, texts: deque[str]) -> None:
        """Take these out and send each as a frame, all with one write. The path of every token.

        Raises:
            ClientDisconnected: nobody is there any more.
        """
        if not self.writable.is_set():
            await self.writable.wait()
        if self.disconnected or self.close_sent:
            raise ClientDisconnected
        try:
            while texts:
                self.conn.send_text(texts.popleft().encode())
        except InvalidState:
            raise ClientDisconnected from None
        self.transport.write(b"".join(self.conn.data_to_send()))

    def shutdown(self) -> None:
        """The server ends. A peer that is closing by itself at this moment is told nothing more:
        to uvicorn that is an error, which would keep all other connections from their end."""
        try:
            super().shutdown()
        except InvalidState:
            self.transport.close()

    def handle_ping(self) -> None:
        """Answer a ping, unless earlier answers pile up unread."""
        if self.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self.transport.abort()
            return
        super().handle_ping()

    def keepalive_timeout(self) -> None:
        """No pong in time: abort, because a close would wait for the unread bytes first."""
        super().keepalive_timeout()
        self.transport.abort()

    def handle_parser_exception(self) -> None:
        """Close with the parser's code. Who floods us and does not read is not told why."""
        is_deaf = self.transport.get_write_buffer_size() > 0
        if isinstance(self.conn.parser_exc, TooManyFrames):
            # The app is to see the end of it, and not all that came before.
            for message in [self.queue.get_nowait() for _ in range(self.queue.qsize())]:
                if message["type"] != "websocket.receive":
                    self.queue.put_nowait(message)
            self._cut_off(is_told=not is_deaf and self.conn.close_sent is not None)
        elif self.conn.parser_exc is not None and self.conn.close_sent is not None:
            self._cut_off(is_told=True)
        elif self.conn.close_sent is None:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
            self.close_sent = True
            self.transport.abort()
        else:
            super().handle_parser_exception()
        # Whatever the app still sends finds nobody: it is told so as after a lost connection.
        self.disconnected = True
        self.writable.set()

    def _cut_off(self, *, is_told: bool) -> None:
        sent = self.conn.close_sent
        code = CloseCode.TOO_SLOW if sent is None else sent.code
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code})
        self.close_sent = True
        if is_told:
            self.transport.write(b"".join(self.conn.data_to_send()))
        self._place.work()
        self._place.wait(self.transport.abort)
        self.read_paused = False
        self.hold(self._limits.flood_hold_seconds)
        # uvicorn closes as soon as the app has returned, unless somebody else will.
        self.close_timer = self.held

    def _give_way(self) -> None:
        if self.handshake_complete and not self.close_sent:
            self.conn.fail(CloseCode.TOO_SLOW, "too many connections, and no hello yet")
            self.handle_parser_exception()
        else:
            self.transport.abort()

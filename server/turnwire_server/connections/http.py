"""uvicorn's HTTP protocol, hardened: peers that begin a request and never end its headers are cut
off, and so are those who send a body in countless pieces.

It is the one on h11, whether or not httptools is there: h11 gives its events one by one, so that
they can be counted.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from turnwire_server.connections.reading import Line, Reads, Window
from turnwire_server.connections.room import Place
from turnwire_server.connections.websocket import HardenedProtocol
from turnwire_server.core.limits import Bucket, ServiceLimits

__all__ = ["HardenedHttpProtocol"]


class BoundedEvents(h11.Connection):
    """h11, which gives a peer up whose body comes in too many pieces at once.

    A chunk of one byte takes 6 on the wire and 15 µs of ours. What arrives alone is not counted:
    each read is a turn of the loop, in which others have theirs.
    """

    def __init__(self, bucket: Bucket, clock: Callable[[], float]) -> None:
        super().__init__(h11.SERVER)
        self._bucket = bucket
        self._clock = clock
        self._is_first = True
        self.pieces = 0
        self.is_flooded = False
        """Whether the peer was given up."""

    def receive_data(self, data: bytes) -> None:
        """Take what one read brought."""
        self._is_first = True
        super().receive_data(data)

    def next_event(self) -> Any:
        """The next event of it; none any more of a peer that was given up."""
        if self.is_flooded:
            return h11.NEED_DATA
        event = super().next_event()
        if type(event) is h11.Data:
            self.pieces += 1
            if not self._is_first and not self._bucket.take(self._clock()):
                self.is_flooded = True
                return h11.NEED_DATA
            self._is_first = False
        return event


class HardenedHttpProtocol(H11Protocol, Reads):
    """One connection, until it ends or becomes a WebSocket."""

    conn: BoundedEvents
    _deadline: asyncio.TimerHandle | None = None

    def __init__(
        self, *, place: Place, window: Window, line: Line, limits: ServiceLimits, **uvicorn: Any
    ) -> None:
        super().__init__(**uvicorn)
        self.window = window
        self.line = line
        self._place = place
        self._limits = limits
        self._upgraded: Callable[..., asyncio.Protocol] = partial(
            HardenedProtocol, place=place, window=window, line=line, limits=limits
        )
        self.ws_protocol_class = self._upgraded  # type: ignore[assignment]
        bucket = Bucket(limits.frames_per_second, self.loop.time())
        self.conn = BoundedEvents(bucket, self.loop.time)

    @property
    def pieces(self) -> int:
        """How many pieces of bodies have come so far."""
        return self.conn.pieces

    @property
    def is_paused(self) -> bool:
        """Whether the app is to catch up first."""
        return self.flow.read_paused

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection without a request must bring one in time."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take the data; then begin or end the wait for the rest of the headers."""
        super().data_received(data)
        self._watch()

    def handle_events(self) -> None:
        """Take what has come; of a flood nothing more."""
        super().handle_events()
        if self.conn.is_flooded and self.held is None:
            self._place.work()
            self._place.wait(self.transport.abort)
            self.hold(self._limits.flood_hold_seconds)

    def on_response_complete(self) -> None:
        """Until the next request the place is anybody's."""
        super().on_response_complete()
        if self._is_waiting():
            self._place.wait(self._give_way)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._place.leave()
        super().connection_lost(exc)
        self._relax()
        self.let_go()

    def send_400_response(self, msg: str) -> None:
        """Say that this is no HTTP, unless an answer is on its way already."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def _watch(self) -> None:
        if self.held is not None:
            self._relax()
        elif not self._is_waiting():
            self._relax()
            if not self._is_upgraded():
                self._place.work()
        elif self._deadline is None:
            self._place.wait(self._give_way)
            self._deadline = self.loop.call_later(
                self._limits.header_timeout_seconds, self._give_up
            )

    def _is_upgraded(self) -> bool:
        return self.transport.get_protocol() is not self

    def _is_waiting(self) -> bool:
        is_idle = self.cycle is None or self.cycle.response_complete
        return is_idle and not self._is_upgraded()

    def _give_up(self) -> None:
        self._deadline = None
        if self._is_waiting():
            self.transport.abort()

    def _give_way(self) -> None:
        self._relax()
        self.transport.close()

    def _relax(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

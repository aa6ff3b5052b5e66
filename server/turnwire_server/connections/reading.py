"""How much is read at once: asyncio's own 256 KiB are tens of thousands of the smallest frames.

What a read costs is not its bytes but the pieces they make: a frame of 6 bytes takes as long as one
of a thousand. So a connection begins with small reads; they grow as long as they bring few pieces,
and are small again as soon as one brings many. Those who bring many stand in line: one read of them
all is taken in a turn of the loop. So floods cost a millisecond a turn, however many connections
they come on; who sends little never waits; and a large frame is read in few turns.

Whoever is cut off for a flood is held for a moment before the connection ends: else he would be
back at once, and coming in, over and over, is what costs most.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque

__all__ = ["Line", "Reads", "Window"]

_LEAST_BYTES = 512
_MOST_BYTES = 64 * 1024
_MANY_PIECES = 8
"""In one read."""


class Window:
    """The memory that all connections of one event loop read into, one after another.

    A loop asks a `BufferedProtocol` for its buffer, fills it and says so, without turning to
    another connection in between; so one window is enough, and an idle connection holds none. What
    is to stay must be copied.
    """

    def __init__(self) -> None:
        self._memory = memoryview(bytearray(_MOST_BYTES))

    def part(self, size: int) -> memoryview:
        """What is to be read into."""
        return self._memory[:size]

    def copy(self, length: int) -> bytes:
        """What was read."""
        return bytes(self._memory[:length])


class Line:
    """Where the reads wait of those who bring many pieces: one is taken in a turn of the loop."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Reads, bytes]] = deque()
        self._is_called = False

    def stand(self, reads: "Reads", data: bytes) -> None:
        """Take this when it is its turn, after what waits already."""
        reads.transport.pause_reading()
        reads.in_line += 1
        self._waiting.append((reads, data))
        self._call()

    def _call(self) -> None:
        if not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._take)

    def _take(self) -> None:
        self._is_called = False
        reads, data = self._waiting.popleft()
        reads.in_line -= 1
        if self._waiting:
            self._call()
        if not reads.is_over:
            reads.take(data)
        # Where the app is to catch up first, uvicorn reads on when it has.
        if not (reads.is_over or reads.is_paused or reads.in_line):
            reads.transport.resume_reading()


class Reads(asyncio.BufferedProtocol, ABC):
    """What makes a protocol read through a window, and as much at once as its peer deserves."""

    window: Window
    line: Line
    transport: asyncio.Transport
    read_bytes = _LEAST_BYTES
    """How much the next read may bring."""
    brings_many = False
    """Whether the last one brought many pieces."""
    in_line = 0
    """How many of its reads wait there: uvicorn may read on in between."""
    held: asyncio.TimerHandle | None = None
    """Of a peer that was cut off: ends the connection."""

    @property
    @abstractmethod
    def pieces(self) -> int:
        """How many frames or chunks have come so far."""

    @property
    @abstractmethod
    def is_paused(self) -> bool:
        """Whether nothing is to be read until the app has received what there is."""

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Take what was read."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is taken of this peer."""
        return self.held is not None or self.transport.is_closing()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop reads into."""
        return self.window.part(self.read_bytes)

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read."""
        if self.is_over:
            return
        data = self.window.copy(nbytes)
        if self.brings_many or self.in_line:
            self.line.stand(self, data)
        else:
            self.take(data)

    def take(self, data: bytes) -> None:
        """Take what was read; how much it was says how much may be read next."""
        before = self.pieces
        self.data_received(data)
        self.brings_many = self.pieces - before > _MANY_PIECES
        if self.brings_many:
            self.read_bytes = _LEAST_BYTES
        elif len(data) == self.read_bytes:
            self.read_bytes = min(2 * self.read_bytes, _MOST_BYTES)

    def hold(self, seconds: float) -> None:
        """Take nothing more, and end the connection then."""
        self.transport.pause_reading()
        self.held = asyncio.get_running_loop().call_later(seconds, self.transport.abort)

    def let_go(self) -> None:
        """It has ended."""
        if self.held is not None:
            self.held.cancel()
        # asyncio's transport keeps some of its own methods: a circle, which only the collector
        # would find. Small, but there is one in each MiB of what the others leave behind.
        # Other loops' transports are not made of Python.
        for name, kept in list(getattr(self.transport, "__dict__", {}).items()):
            if getattr(kept, "__self__", None) is self.transport:
                delattr(self.transport, name)

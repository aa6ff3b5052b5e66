"""How much is read at once: asyncio's own 256 KiB are tens of thousands of the smallest frames."""

import asyncio

__all__ = ["READ_BYTES", "SmallReads", "Window"]

READ_BYTES = 16 * 1024


class Window:
    """The memory that all connections of one event loop read into, one after another.

    A loop asks a `BufferedProtocol` for its buffer, fills it and says so, without turning to
    another connection in between; so one window is enough, and an idle connection holds none. What
    is to stay must be copied.
    """

    def __init__(self, size: int = READ_BYTES) -> None:
        self._memory = memoryview(bytearray(size))

    def whole(self) -> memoryview:
        """What is to be read into."""
        return self._memory

    def copy(self, length: int) -> bytes:
        """What was read."""
        return bytes(self._memory[:length])


class SmallReads(asyncio.BufferedProtocol):
    """What makes a protocol read through a window, and so little at once."""

    window: Window

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop reads into."""
        return self.window.whole()

    def buffer_updated(self, nbytes: int) -> None:
        """So much was read."""
        self.data_received(self.window.copy(nbytes))

    def data_received(self, data: bytes) -> None:
        """Take what was read."""
        raise NotImplementedError

"""Controls: they stand between the events of an answer and delay or disturb it; know no HTTP."""

import asyncio
from dataclasses import dataclass

__all__ = ["Control", "Cut", "ErrorEvent", "Gate", "Pause", "Raw", "Stall"]


@dataclass(frozen=True)
class Pause:
    """Sends nothing for `seconds`."""

    seconds: float


class Gate:
    """Stops the stream here until the test opens it; everything before it has been sent by then.

    A gate opens once and stays open; an answer played twice passes it freely the second time.
    """

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._opened = asyncio.Event()

    async def reached(self) -> None:
        """Returns as soon as a stream has arrived at the gate."""
        await self._reached.wait()

    def open(self) -> None:
        """Lets every stream through, those to come as well."""
        self._opened.set()

    async def passed(self) -> None:
        """The stream's side: announces the arrival and waits for `open`."""
        self._reached.set()
        await self._opened.wait()


@dataclass(frozen=True)
class Cut:
    """Resets the TCP connection; the client sees neither an end nor an error event."""


@dataclass(frozen=True)
class Stall:
    """Sends nothing more and keeps the connection until the client goes."""


@dataclass(frozen=True)
class Raw:
    """Bytes sent as they are, whatever they break. A non-streaming request never sees them."""

    data: bytes


@dataclass(frozen=True)
class ErrorEvent:
    """Ends the stream with an `error` event inside the 200 response.

    Source: https://docs.claude.com/en/docs/build-with-claude/streaming#error-events
    """

    type: str = "overloaded_error"
    message: str = "Overloaded"


Control = Pause | Gate | Cut | Stall | Raw | ErrorEvent

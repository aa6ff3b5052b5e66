"""One of several processes that share a port; its parent (`workers.py`) says what it is to serve.

    python -m turnwire_server.worker DESCRIPTOR

The descriptor is a socket to the parent: an `Order` comes first, then words of `Told`; back go
reports. When the parent is gone, whatever became of it, the socket says so, and the worker ends.
"""

import asyncio
import contextlib
import logging
import socket
import sys
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from turnwire_server.app import Turnwire
from turnwire_server.errors import SettingsError, StoreError
from turnwire_server.serving import (
    End,
    Serving,
    listen_on,
    log_as,
    log_to_stderr,
    node_at,
    serve_on,
    settings_of,
)

__all__ = ["MAX_LINE_BYTES", "Alive", "Order", "Ready", "Refused", "Report", "Told", "Unfinished"]

logger = logging.getLogger(__name__)

MAX_LINE_BYTES = 16 * 1024 * 1024
"""Of what goes over the socket, an object of JSON or a word a line. Settings can be long."""


class Order(BaseModel):
    """What a worker is to be: which one (from 1), and what was given on the command line. So often
    it says that it is alive."""

    index: int
    alive_seconds: float
    given: dict[str, Any]


class Told(StrEnum):
    """What a worker is told later."""

    DRAIN = "drain"
    """All end: whoever comes meanwhile is told so, as by a service that is one process."""
    LEAVE = "leave"
    """This one ends: whoever comes finds the others."""


class Ready(BaseModel):
    """The worker serves."""

    kind: Literal["ready"] = "ready"
    is_demo: bool


class Refused(BaseModel):
    """The worker cannot start; `message` says why, with the remedy."""

    kind: Literal["refused"] = "refused"
    message: str


class Alive(BaseModel):
    """The worker's loop runs."""

    kind: Literal["alive"] = "alive"


class Unfinished(BaseModel):
    """How many turns run in a worker that has been told to end."""

    kind: Literal["unfinished"] = "unfinished"
    turns: int


class Report(BaseModel):
    """One line to the parent."""

    report: Annotated[Ready | Refused | Alive | Unfinished, Field(discriminator="kind")]


class _Parent:
    """The socket to the parent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._listening: asyncio.Task[None] | None = None
        self._living: asyncio.Task[None] | None = None

    async def order(self) -> Order | None:
        """What the worker is to be; None: the parent is gone already."""
        line = await self._reader.readline()
        return Order.model_validate_json(line) if line else None

    def report(self, report: Ready | Refused | Alive | Unfinished) -> None:
        """Tell the parent."""
        self._writer.write(Report(report=report).model_dump_json().encode() + b"\n")

    def obey(self, service: Serving) -> None:
        """Do what is told, from now on."""
        self._listening = asyncio.create_task(self._obey(service), name="parent")

    def live(self, *, seconds: float) -> None:
        """Say so often that this process does not stand still, from now on."""
        self._living = asyncio.create_task(self._live(seconds), name="alive")

    async def _live(self, seconds: float) -> None:
        while True:
            self.report(Alive())
            await asyncio.sleep(seconds)

    async def flush(self) -> None:
        """Wait until all reports are on their way."""
        await self._writer.drain()

    async def _obey(self, service: Serving) -> None:
        with contextlib.suppress(OSError):  # It was killed before it had read all.
            async for line in self._reader:
                self.report(Unfinished(turns=service.turnwire.hub.unfinished))
                if Told(line.decode().strip()) is Told.LEAVE:
                    await service.server.stop_accepting()
                    # Only then does the kernel give new connections to the others alone.
                    service.listener.close()
                service.server.stop()
        # A successor may want the port now, so nothing is waited for.
        logger.error("the parent is gone: what runs is interrupted")
        await service.turnwire.drain(0)
        service.server.stop()


async def _work(channel: socket.socket, end: End) -> int:
    reader, writer = await asyncio.open_unix_connection(sock=channel, limit=MAX_LINE_BYTES)
    parent = _Parent(reader, writer)
    order = await parent.order()
    if order is None:
        return 1
    log_to_stderr(f"#{order.index} ")
    # What is wrong with the names of variables the parent has said.
    logging.getLogger("turnwire_server.settings").setLevel(logging.ERROR)

    def started(service: Serving) -> None:
        parent.report(Ready(is_demo=service.is_demo))
        parent.live(seconds=order.alive_seconds)
        parent.obey(service)

    def draining(turnwire: Turnwire) -> None:
        """The parent says for all of them what they wait for."""

    try:
        settings = settings_of(order.given)
        log_as(settings.log_format, f"#{order.index}")
        listener = listen_on(settings, is_shared=True)
        node = f"{node_at(listener)}#{order.index}"
        await serve_on(
            listener,
            order.given,
            settings,
            node=node,
            end=end,
            started=started,
            draining=draining,
        )
    except (SettingsError, StoreError) as error:
        parent.report(Refused(message=str(error)))
        await parent.flush()
        return 1
    return 0


def _main() -> int:
    channel = socket.socket(fileno=int(sys.argv[1]))
    # What tools start would keep it open.
    channel.set_inheritable(False)
    return asyncio.run(_work(channel, End()))


if __name__ == "__main__":
    sys.exit(_main())

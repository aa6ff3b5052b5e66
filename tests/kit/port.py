"""A port of this machine for a process that has to be told one; it starts no process."""

import asyncio
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["listened", "reserved_port"]


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port of 127.0.0.1 that is given to nobody who asks for any, also while nobody listens.

    The socket that reserves it is bound and never listens. On Linux whoever names the port may
    listen there all the same, if both set SO_REUSEADDR, as asyncio, uvicorn and nginx do.
    Elsewhere that is an error, so that the port is only likely to be free.
    """
    with socket.socket() as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind(("127.0.0.1", 0))
        port = reservation.getsockname()[1]
        if sys.platform != "linux":
            reservation.close()
        yield port


async def listened(port: int, process: Process | None = None, host: str = "127.0.0.1") -> None:
    """Return once somebody listens there; fails if this process ends before. Has no limit."""
    while True:
        assert process is None or process.returncode is None, "it ended before it listened"
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.005)
            continue
        writer.close()
        return

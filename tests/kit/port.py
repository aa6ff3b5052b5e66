"""A port of this machine for a process that has to be told one; it starts no process."""

import asyncio
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import Iterator
from contextlib import closing, contextmanager

__all__ = ["answered", "listened", "reserved_port"]


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


async def listened(port: int, host: str = "127.0.0.1") -> None:
    """Return once somebody listens there. Has no limit."""
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.005)
            continue
        writer.close()
        return


async def answered(port: int, process: Process) -> None:
    """Return once this process speaks HTTP there; fails if it ends before. Has no limit.

    That somebody listens is not enough: Vite listens on the port to learn whether it is free, lets
    go of it, and then listens for good. Whoever came meanwhile finds the connection reset, or is
    never answered: so it is asked again each second.
    """
    while True:
        assert process.returncode is None, "it ended before it answered"
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            with closing(writer):
                # No request, so that no app has work of it; the parser says 400.
                writer.write(b"?\r\n\r\n")
                if await asyncio.wait_for(reader.read(5), 1) == b"HTTP/":
                    return
        except OSError:  # A TimeoutError is one.
            pass
        await asyncio.sleep(0.005)

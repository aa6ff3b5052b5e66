"""A port of this machine for a process that has to be told one; it starts no process."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["reserved_port"]


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

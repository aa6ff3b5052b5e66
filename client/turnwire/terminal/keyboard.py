"""Lines from the keyboard without blocking the loop; knows nothing of their use."""

import asyncio
import os

__all__ = ["read_line"]


async def read_line(descriptor: int) -> str | None:
    """The next line of a terminal, without its end; None after Ctrl-D.

    The terminal itself edits the line. A reader of the loop and not a thread, because a thread
    that sits in a read cannot be left.
    """
    loop = asyncio.get_running_loop()
    line: asyncio.Future[str | None] = loop.create_future()
    typed = bytearray()

    def settle(value: str | None) -> None:
        if not line.done():
            line.set_result(value)

    def read() -> None:
        piece = os.read(descriptor, 65536)
        typed.extend(piece)
        # Ctrl-D behind some text sends that text without an end of line; on an empty line, nothing.
        if not piece:
            settle(typed.decode(errors="replace") if typed else None)
        elif piece.endswith(b"\n"):
            settle(typed.decode(errors="replace").rstrip("\r\n"))

    loop.add_reader(descriptor, read)
    try:
        return await line
    finally:
        loop.remove_reader(descriptor)

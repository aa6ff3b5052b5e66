"""The `turnwire` program as a process: on pipes, and on a terminal of its own."""

import asyncio
import os
import pty
import sys
from asyncio.subprocess import PIPE, Process
from typing import Self

__all__ = ["Screen", "end_all", "ended", "start"]

PROGRAM = "from turnwire.cli import main; main()"
_running: list[Process] = []


async def start(*arguments: str, without: str = "", text: str = "") -> Process:
    """The program, with the module `without` not installed and `text` on standard input."""
    hide = f"import sys; sys.modules['{without}'] = None; " if without else ""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", hide + PROGRAM, *arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    _running.append(process)
    assert process.stdin is not None
    process.stdin.write(text.encode())
    process.stdin.close()
    return process


async def end_all() -> None:
    """Ends what a test left running: one that broke off, by its time-out for example."""
    while _running:
        process = _running.pop()
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def ended(process: Process) -> tuple[int | None, str, str]:
    """Exit code, standard output, standard error."""
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


class Screen:
    """The program on a terminal of its own."""

    def __init__(self, process: Process, descriptor: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._output = bytearray()
        self._grew = asyncio.Event()
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    @classmethod
    async def open(cls, url: str, *options: str) -> Self:
        controller, terminal = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, "chat", "--url", url, *options),
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
        )
        _running.append(process)
        os.close(terminal)
        return cls(process, controller)

    def _read(self) -> None:
        try:
            piece = os.read(self._descriptor, 65536)
        except OSError:
            # The other end is closed: the program has ended.
            piece = b""
        if not piece:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._output.extend(piece)
        self._grew.set()

    @property
    def shown(self) -> str:
        """What has come and was not waited for."""
        return self._output.decode(errors="replace")

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    async def sees(self, text: str) -> None:
        """Returns when `text` has come since the last time."""
        while (at := self._output.find(text.encode())) < 0:
            self._grew.clear()
            await self._grew.wait()
        del self._output[: at + len(text)]

    async def ended(self) -> int:
        code = await self.process.wait()
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        return code

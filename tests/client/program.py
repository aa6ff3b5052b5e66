"""The `turnwire` program as a process: on pipes, and on a terminal of its own."""

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pyte

from tests.kit.forked import Forked, fork

__all__ = ["Screen", "end_all", "ended", "start"]

ROWS = 24
PROGRAM = "from turnwire.cli import main; main()"
ON_TERMINAL = f"""
import fcntl, os, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
{PROGRAM}
"""
"""Without a controlling terminal Ctrl-C would be no signal."""
IMPORTS = (
    "turnwire.program",
    "turnwire.sync",
    "turnwire.terminal",
    "turnwire.terminal.once",
    "turnwire.terminal.display",
    "turnwire.terminal.program",
    "turnwire.terminal.questions",
    "turnwire.terminal.screen",
    "prompt_toolkit.shortcuts",
    "rich.markdown",
)
"""What it imports, some of it late."""
_running: list[Process | Forked] = []


async def start(*arguments: str, without: str = "", text: str = "") -> Process | Forked:
    """The program, with the module `without` not installed and `text` on standard input."""
    if without:
        # Nobody may have imported it before.
        hide = f"import sys; sys.modules['{without}'] = None; "
        command = (sys.executable, "-c", hide + PROGRAM, *arguments)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
        )
        _running.append(process)
        return process
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb", buffering=0) as given:
        given.write(text.encode())  # As much as a pipe holds.
        given.close()
        forked = await fork(
            *(PROGRAM, *arguments),
            folder=Path.cwd(),
            environment=os.environ,
            stdin=stdin,
            imports=IMPORTS,
        )
    _running.append(forked)
    return forked


async def end_all() -> None:
    """Ends what a test left running: one that broke off, by its time-out for example."""
    while _running:
        process = _running.pop()
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def ended(process: Process | Forked) -> tuple[int | None, str, str]:
    """Exit code, standard output, standard error."""
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


class _Emulated(pyte.HistoryScreen):
    def __init__(self, reply: Callable[[str], None], *, columns: int) -> None:
        super().__init__(columns, ROWS, history=1000)
        self._reply = reply

    def write_process_input(self, data: str) -> None:
        """What a terminal answers the program: where the cursor is, for one."""
        self._reply(data)


class Screen:
    """The program on a terminal of its own, `columns` wide, and what it shows there."""

    def __init__(self, process: Process | Forked, descriptor: int, *, columns: int) -> None:
        self.process = process
        self._descriptor = descriptor
        self._output = bytearray()
        self._grew = asyncio.Event()
        self._emulated = _Emulated(self.type, columns=columns)
        self._stream = pyte.ByteStream(self._emulated)
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    @classmethod
    async def open(
        cls,
        url: str,
        *options: str,
        columns: int = 80,
        home: Path | None = None,
        before: str = "",
    ) -> Self:
        """`before`: what it does first, in an interpreter of its own."""
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        environment = {**os.environ, "TERM": "xterm"}
        environment.pop("COLUMNS", None)
        environment["XDG_STATE_HOME"] = os.devnull if home is None else str(home)
        process: Process | Forked
        with os.fdopen(terminal, "r+b", buffering=0) as file:
            if before:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-c", before + ON_TERMINAL, "chat", "--url", url, *options),
                    stdin=file,
                    stdout=file,
                    stderr=file,
                    env=environment,
                )
            else:
                process = await fork(
                    *(ON_TERMINAL, "chat", "--url", url, *options),
                    folder=Path.cwd(),
                    environment=environment,
                    stdin=file,
                    stdout=file,
                    stderr=file,
                    imports=IMPORTS,
                )
        _running.append(process)
        return cls(process, controller, columns=columns)

    def _read(self) -> None:
        try:
            piece = os.read(self._descriptor, 65536)
        except OSError:
            # The other end is closed: the program has ended.
            piece = b""
        if not piece:
            asyncio.get_running_loop().remove_reader(self._descriptor)
        self._output.extend(piece)
        self._stream.feed(piece)
        self._grew.set()

    @property
    def shown(self) -> str:
        """What has come and was not waited for."""
        return self._output.decode(errors="replace")

    @property
    def lines(self) -> list[str]:
        """What is to be seen now, line by line, and above it what has scrolled away."""
        old = [
            "".join(line[column].data for column in range(self._emulated.columns))
            for line in self._emulated.history.top
        ]
        return [line.rstrip() for line in (*old, *self._emulated.display)]

    def type(self, text: str) -> None:
        """Half a surrogate pair of `os.fsdecode` is the byte that no UTF-8 has."""
        os.write(self._descriptor, os.fsencode(text))

    @property
    def marks_pastes(self) -> bool:
        """Whether the terminal has been told to mark what is pasted."""
        return 2004 << 5 in self._emulated.mode

    def paste(self, text: str) -> None:
        """As a terminal does it for a program that wants to know, and this one must."""
        assert self.marks_pastes
        self.type(f"\x1b[200~{text}\x1b[201~")

    async def sees(self, text: str) -> None:
        """Returns when `text` has come since the last time."""
        while (at := self._output.find(text.encode())) < 0:
            self._grew.clear()
            await self._grew.wait()
        del self._output[: at + len(text)]

    async def prompts(self, line: str = "> ") -> None:
        """Returns when the last line to be seen is this, with the cursor at its end."""

        def so(lines: list[str]) -> bool:
            last = [shown for shown in lines if shown][-1:]
            at = self._emulated.cursor.x
            return last == [line.rstrip()] and at == len(line) % self._emulated.columns

        await self.looks(so)

    async def looks(self, so: Callable[[list[str]], bool]) -> None:
        """Returns when what is to be seen is as wanted."""
        while not so(self.lines):
            self._grew.clear()
            await self._grew.wait()

    async def ended(self) -> int:
        code = await self.process.wait()
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        return code

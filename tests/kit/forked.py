"""Real processes of the service that need no time to start: forked by tests/kit/fork_server.py."""

import asyncio
import atexit
import functools
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from tests.kit.patience import PATIENCE_SECONDS

__all__ = ["SERVE", "SERVE_WORKERS", "UNHURRIED", "Forked", "fork", "forking_command"]

SERVE = "from turnwire_server.cli import serve; serve(prog_name='turnwire serve')"
"""The program that `turnwire serve` is."""

SERVE_WORKERS = f"from tests.kit.fork_python import fork_pythons; fork_pythons(); {SERVE}"
"""The same, with workers that are forks of it."""

UNHURRIED = {"TURNWIRE_STALL_TIMEOUT": "10000"}
"""For the environment of a service: an answer that a test holds, however long, has not stalled. It
would be asked for once more, and given what is programmed for somebody else."""

_ROOT = Path(__file__).parents[2]

_CLIENT = Path(__file__).with_name("fork_client.py")

_ASKING = threading.Lock()
"""One at a time: answers come in the order of the questions."""


class Forked:
    """A process, with what `asyncio.subprocess.Process` has of it."""

    def __init__(
        self,
        pid: int,
        status: asyncio.StreamReader,
        stdout: asyncio.StreamReader | None,
        stderr: asyncio.StreamReader | None,
    ) -> None:
        self.pid = pid
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        """Known once it was waited for."""
        self._status = asyncio.ensure_future(status.read())

    async def wait(self) -> int:
        """Returns when it has ended and its parent knows; minus the signal, where one did it."""
        told = await asyncio.shield(self._status)
        assert told, "the process that forks has ended"
        self.returncode = int(told)
        return self.returncode

    async def communicate(self) -> tuple[bytes, bytes]:
        """The rest of what it writes, once it has ended."""
        output, errors, _ = await asyncio.gather(
            _rest(self.stdout), _rest(self.stderr), self.wait()
        )
        return output, errors

    def send_signal(self, number: int) -> None:
        """Raises `ProcessLookupError` where it has ended."""
        os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


async def fork(
    program: str,
    *arguments: str,
    folder: Path,
    environment: Mapping[str, str],
    stdin: IO[bytes] | None = None,
    stdout: IO[bytes] | None = None,
    stderr: IO[bytes] | None = None,
    imports: tuple[str, ...] = (),
) -> Forked:
    """Starts the source text `program`, as `python -c` would; with pipes for what it writes where
    no file is given, and nothing to read.

    What it imports may have been imported already, by a process with another environment; the
    modules `imports` have been.
    """
    ends: list[int] = []
    readers: list[asyncio.StreamReader | None] = []
    ends.append(os.open(os.devnull, os.O_RDONLY) if stdin is None else os.dup(stdin.fileno()))
    for file in (stdout, stderr, None):
        if file is not None:
            readers.append(None)
            ends.append(os.dup(file.fileno()))
            continue
        reading, writing = os.pipe()
        readers.append(await _reader(reading))
        ends.append(writing)
    request = {
        "program": program,
        "arguments": arguments,
        "folder": str(folder),
        "environment": dict(environment),
        "imports": imports,
    }
    # In a thread: the first answer takes as long as all the imports.
    pid = await asyncio.to_thread(_asked, json.dumps(request), ends)
    for end in ends:
        os.close(end)
    status = readers[2]
    assert status is not None
    return Forked(pid, status, readers[0], readers[1])


def _asked(request: str, descriptors: list[int]) -> int:
    """The process that was started for it."""
    with _ASKING:
        server, _ = _server()
        socket.send_fds(server, [request.encode()], descriptors)
        return int(server.recv(64))


def forking_command(program: str, *arguments: str, imports: tuple[str, ...] = ()) -> list[str]:
    """A command for somebody who starts processes himself: what it starts has the descriptors,
    folder and environment that the command is given, and the command ends as that does."""
    _, name = _server()
    request = {"program": program, "arguments": arguments, "imports": imports}
    return [sys.executable, "-I", "-S", str(_CLIENT), name, json.dumps(request)]


@functools.cache
def _server() -> tuple[socket.socket, str]:
    """The process that forks, one for the tests of a worker, and the name under which others find
    it; it ends with the worker."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    name = f"turnwire-tests-{secrets.token_hex(8)}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"\0{name}")  # Not a file, which somebody would have to remove.
    listener.listen(100)
    given = [theirs.fileno(), listener.fileno()]
    # It has no business with what the tests have opened, not even with their output.
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.kit.fork_server", *map(str, given)],
        cwd=_ROOT,  # Where it finds itself, from wherever the tests are run.
        pass_fds=given,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    theirs.close()
    listener.close()
    ours.settimeout(PATIENCE_SECONDS)

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours, name


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", buffering=0)
    )
    return reader


async def _rest(reader: asyncio.StreamReader | None) -> bytes:
    return b"" if reader is None else await reader.read()

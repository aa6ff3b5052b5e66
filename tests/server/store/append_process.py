"""A process that appends for ever, to be killed."""

import asyncio
import functools
import multiprocessing
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.util import get_temp_dir
from pathlib import Path

from tests.kit.fence import fence_of
from tests.kit.patience import PATIENCE_SECONDS
from tests.server.store.store_rows import batch_of, join_all, opened

__all__ = ["NODE", "Appending", "appending"]

NODE = "the appending process"
"""Its name where a store tells nodes apart: the next one of the name finds it dead."""


# One process imports everything, and forks in milliseconds what the tests kill.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["pytest", "tests.server.store.append_process"])


class Appending:
    """The process, seen by the test."""

    def __init__(self, acknowledged: Connection, process: "multiprocessing.process.BaseProcess"):
        self._acknowledged = acknowledged
        self._process = process
        self.last_seq = -1
        """The last seq it told us is stored; 0 once it has opened an empty store."""

    def wait(self, acknowledgements: int) -> None:
        """Wait until it has told us that often what is stored; the first is at opening."""
        for _ in range(acknowledgements):
            assert self._acknowledged.poll(PATIENCE_SECONDS)
            self.last_seq = self._acknowledged.recv()

    def kill(self) -> None:
        """`kill -9`, wherever it is; then hear what it had still said."""
        self._process.kill()
        self._process.join()
        try:
            while True:
                self.last_seq = self._acknowledged.recv()
        except EOFError:
            pass


@contextmanager
def appending(place: Path | str) -> Iterator[Appending]:
    """A process that has the store in a file, or at the address of a PostgreSQL, and appends to
    `c_1`."""
    _shorten_sockets()
    acknowledged, telling = _context.Pipe(duplex=False)
    process = _context.Process(target=_run, args=(place, telling), daemon=True)
    process.start()
    telling.close()
    try:
        yield Appending(acknowledged, process)
    finally:
        process.kill()
        process.join()
        process.close()
        acknowledged.close()


@functools.cache
def _shorten_sockets() -> None:
    """A socket has a name of at most 107 bytes: the fork server's is not where TMPDIR says."""
    usual, tempfile.tempdir = tempfile.tempdir, "/tmp"
    try:
        get_temp_dir()  # It is made when it is first asked for, and removed at the end.
    finally:
        tempfile.tempdir = usual


def _run(place: Path | str, telling: Connection) -> None:
    asyncio.run(_append(place, telling))


async def _append(place: Path | str, telling: Connection) -> None:
    async with opened(place, node=NODE) as store:
        fence = await fence_of(store, "c_1")
        head = await store.head("c_1")
        seq = head.seq if head else 0
        telling.send(seq)
        while True:
            await store.append([batch_of(fence, seq + 1), batch_of(fence, seq + 2, seq + 9)])
            seq += 9
            telling.send(seq)
            if seq % 5 == 0:
                await store.compact("c_1", join_all)

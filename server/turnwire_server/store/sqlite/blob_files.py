"""The bytes of blobs: a folder with one file for each, named by its id; knows no database.

A file comes into being under another name, is written and synced, and is renamed when it is whole:
whatever has the name of a blob has all its bytes. What was not renamed when the process died is
removed when the folder is next opened.

All work is done on threads of its own, few of each kind: uploads are as fast as two threads write,
and a read waits for reads only.
"""

import asyncio
import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from turnwire_server.errors import StoreError

__all__ = ["BlobFile", "BlobFiles"]

T = TypeVar("T")

_PREFIX = "upload-"
_BLOB_PREFIX = "b_"
_THREADS = 2
_SYNC_BYTES = 1024 * 1024
"""What an upload may have written and not synced: a commit of the database, on the same disk, may
have to wait until it is."""


class BlobFiles:
    """The folder; it is made with the first file. One process at a time may use it."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._writing = ThreadPoolExecutor(_THREADS, thread_name_prefix="blob-write")
        self._reading = ThreadPoolExecutor(_THREADS, thread_name_prefix="blob-read")

    @property
    def folder(self) -> Path:
        """Where the files lie.

        Raises:
            StoreError: it is not open.
        """
        if self._folder is None:
            raise StoreError("the store is not open")
        return self._folder

    def open(self, folder: Path) -> None:
        """Remove what uploads have left that nobody will end. Blocks.

        Raises:
            OSError: it is no folder, or may not be read or written.
        """
        if folder.exists():
            for name in os.listdir(folder):
                if name.startswith(_PREFIX):
                    (folder / name).unlink()
        self._folder = folder

    def close(self) -> None:
        """Finish what has begun. Blocks."""
        self._writing.shutdown(wait=True)
        self._reading.shutdown(wait=True)

    def create(self) -> "BlobFile":
        """A file that is no blob yet; it comes into being with the first bytes."""
        return BlobFile(self, self.folder / f"{_PREFIX}{secrets.token_hex(8)}")

    async def place(self, file: "BlobFile", id: str) -> None:
        """The file, finished, is the blob of this id from now on."""
        await self.write(lambda: self._place(file.path, id))

    async def read(self, id: str, start: int, size: int) -> bytes | None:
        """Bytes of a blob; None if there is no such file."""

        # Opened anew for each part: a reader who goes away leaves no open file.
        def read() -> bytes | None:
            try:
                file = os.open(self.folder / id, os.O_RDONLY)
            except FileNotFoundError:
                return None
            try:
                return os.pread(file, size, start)
            finally:
                os.close(file)

        return await self._run(self._reading, read)

    async def remove(self, ids: list[str]) -> None:
        """Remove the files of these blobs, as far as they are there."""

        def remove() -> None:
            for id in ids:
                (self.folder / id).unlink(missing_ok=True)

        await self.write(remove)

    async def names(self) -> list[str]:
        """The ids of all blobs that have a file."""

        def names() -> list[str]:
            with suppress(FileNotFoundError):
                return [name for name in os.listdir(self.folder) if name.startswith(_BLOB_PREFIX)]
            return []

        return await self._run(self._reading, names)

    async def write(self, work: Callable[[], T]) -> T:
        """Do something on a writing thread."""
        return await self._run(self._writing, work)

    def write_later(self, work: Callable[[], None]) -> None:
        """Do something on a writing thread, and do not wait for it."""
        with suppress(RuntimeError):  # It has been closed.
            self._writing.submit(work)

    async def _run(self, executor: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(executor, work)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be used now: {error.strerror}") from error
        except RuntimeError as error:
            raise StoreError("the store is closed") from error

    def _place(self, path: Path, id: str) -> None:
        os.replace(path, self.folder / id)
        _sync_folder(self.folder)


class BlobFile:
    """A file that is being written, and hashed at once."""

    def __init__(self, files: BlobFiles, path: Path) -> None:
        self.path = path
        self.size = 0
        self._files = files
        self._file: int | None = None
        self._is_over = False
        """Finished or discarded: nothing more is written."""
        self._hash = hashlib.sha256()
        self._unsynced = 0
        self._mutex = threading.Lock()
        """Who waited for a write may have been cancelled, and then the file must stay open until
        the write is over: its number may be that of another file right after."""

    async def write(self, data: bytes) -> None:
        """See `Spool.write`."""
        self.size += len(data)
        await self._files.write(lambda: self._write(data))

    async def finish(self) -> str:
        """See `Spool.finish`."""
        await self._files.write(self._finish)
        return self._hash.hexdigest()

    def discard(self) -> None:
        """See `Spool.discard`."""
        self._files.write_later(self._discard)

    # On a writing thread

    def _write(self, data: bytes) -> None:
        with self._mutex:
            if self._is_over:
                return
            if self._file is None:
                self._file = self._open()
            self._hash.update(data)
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
            self._unsynced += len(data)
            if self._unsynced >= _SYNC_BYTES:
                os.fsync(self._file)
                self._unsynced = 0

    def _open(self) -> int:
        folder = self.path.parent
        if not folder.exists():
            folder.mkdir(exist_ok=True)
            _sync_folder(folder.parent)
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    def _finish(self) -> None:
        with self._mutex:
            if self._file is not None:
                os.fsync(self._file)
            self._close()

    def _discard(self) -> None:
        with self._mutex:
            self._close()
            with suppress(OSError):  # What stays is removed when the folder is next opened.
                self.path.unlink()

    def _close(self) -> None:
        self._is_over = True
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _sync_folder(folder: Path) -> None:
    """Make the names in the folder durable."""
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)

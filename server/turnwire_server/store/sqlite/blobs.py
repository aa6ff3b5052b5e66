"""Blobs of the SQLite store: what is known of them in the database, their bytes in files beside it.

A file is whole before its row is committed, and its row is gone before the file is removed. So a
crash leaves at most files without a row, which `tidy` removes.
"""

import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from turnwire_server.errors import StoreError
from turnwire_server.store.port import Blob, Row, Spool, Usage
from turnwire_server.store.sqlite import blob_statements as statements
from turnwire_server.store.sqlite.blob_files import BlobFile, BlobFiles

__all__ = ["ReadLog", "Run", "SqliteBlobs"]

T = TypeVar("T")

_PAGE = 500
"""Rows looked at in one piece."""
_PART_BYTES = 256 * 1024
_LOG_BYTES = 1024 * 1024
_ID = re.compile(rb"\bb_[0-9a-f]{32}\b")

ReadLog = Callable[[str, int, int], Awaitable[list[Row]]]


class Run(Protocol):
    """Does something with a connection of the database, on its thread."""

    async def __call__(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What the work returns."""


class SqliteBlobs:
    """`BlobStore` of one SQLite file.

    `write` commits what its work does, `read` sees what is committed. `read_log` gives rows of a
    log that hold anything after a seq, up to about so many bytes.
    """

    def __init__(self, files: BlobFiles, *, write: Run, read: Run, read_log: ReadLog) -> None:
        self._files = files
        self._write = write
        self._read = read
        self._read_log = read_log
        self._to_check: list[str] | None = None
        """Files that may have no row; None: not looked yet."""

    async def spool(self) -> Spool:
        """See `BlobStore.spool`."""
        return _Spool(self._files.create(), self._put)

    async def find(self, id: str) -> Blob | None:
        """See `BlobStore.find`."""
        return await self._read(lambda reader: statements.find(reader, id))

    async def read(self, id: str, start: int, size: int) -> bytes | None:
        """See `BlobStore.read`."""
        data = await self._files.read(id, start, size)
        if data is None:
            data = await self._read(lambda reader: statements.read_unmoved(reader, id, start, size))
        if data is None:  # It may have been moved between the two looks.
            data = await self._files.read(id, start, size)
        return data

    async def usage(self, owner: str) -> Usage:
        """See `BlobStore.usage`."""
        return await self._read(lambda reader: statements.usage(reader, owner))

    async def delete(self, id: str, *, unused_before: int | None = None) -> bool:
        """See `BlobStore.delete`."""
        if not await self._write(lambda writer: statements.delete(writer, id, unused_before)):
            return False
        with suppress(StoreError):  # A file without a row is removed after the next start.
            await self._files.remove([id])
        return True

    async def unused(self, *, before: int) -> AsyncIterator[str]:
        """See `BlobStore.unused`."""
        last: str | None = ""
        while last is not None:
            page, last = await self._read(_page(before, last))
            for id in page:
                yield id

    async def tidy(self) -> bool:
        """See `BlobStore.tidy`: files without a row, bytes in the database, uses not recorded."""
        if self._to_check is None:
            self._to_check = await self._files.names()
        if self._to_check:
            await self._check_files()
        elif (id := await self._read(statements.next_unmoved)) is not None:
            await self._move(id)
        elif (conversation := await self._read(statements.next_unread_log)) is not None:
            await self._record_uses(conversation)
        else:
            return False
        return True

    async def _put(self, file: BlobFile, blob: Blob, at: int) -> None:
        await self._files.place(file, blob.id)
        await self._write(lambda writer: statements.put(writer, blob, at))

    async def _check_files(self) -> None:
        assert self._to_check is not None
        ids, self._to_check = self._to_check[:_PAGE], self._to_check[_PAGE:]
        known = await self._read(lambda reader: statements.known(reader, ids))
        await self._files.remove([id for id in ids if id not in known])

    async def _move(self, id: str) -> None:
        file = self._files.create()
        try:
            while data := await self._read(_part(id, file.size)):
                await file.write(data)
            await file.finish()
            await self._files.place(file, id)
        finally:
            file.discard()
        await self._write(lambda writer: statements.forget_unmoved(writer, id))

    async def _record_uses(self, conversation: str) -> None:
        ids: set[str] = set()
        seq = 0
        while rows := await self._read_log(conversation, seq, _LOG_BYTES):
            # By the form of the id alone: one that only looks like it keeps a blob too long.
            ids.update(id.decode() for row in rows for id in _ID.findall(row.body))
            seq = rows[-1].last_seq
        await self._write(lambda writer: statements.record_uses(writer, conversation, ids))


class _Spool:
    """`Spool` into a file."""

    def __init__(
        self, file: BlobFile, put: Callable[[BlobFile, Blob, int], Awaitable[None]]
    ) -> None:
        self._file = file
        self._put = put
        self.write = file.write
        self.finish = file.finish
        self.discard = file.discard

    @property
    def size(self) -> int:
        """See `Spool.size`."""
        return self._file.size

    async def put(self, blob: Blob, *, at: int) -> None:
        """See `Spool.put`."""
        await self._put(self._file, blob, at)


def _page(before: int, after: str) -> Callable[[sqlite3.Connection], tuple[list[str], str | None]]:
    return lambda reader: statements.page_of_unused(reader, before, after, _PAGE)


def _part(id: str, start: int) -> Callable[[sqlite3.Connection], bytes | None]:
    return lambda reader: statements.read_unmoved(reader, id, start, _PART_BYTES)

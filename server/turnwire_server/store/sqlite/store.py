"""The default store: one SQLite file, its lock, its threads; knows no items, only their bytes."""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from turnwire_server.errors import SettingsError, StoreError
from turnwire_server.store.archive import Archive
from turnwire_server.store.nodes import LocalNodes
from turnwire_server.store.port import Batch, Claim, Fence, Head, Row, Spent, reach_of
from turnwire_server.store.sqlite import schema, statements
from turnwire_server.store.sqlite.archive import SqliteArchive
from turnwire_server.store.sqlite.blob_files import BlobFiles
from turnwire_server.store.sqlite.blobs import SqliteBlobs
from turnwire_server.store.sqlite.lane import Lane
from turnwire_server.store.sqlite.tail import Tail, follow_on

__all__ = ["SqliteStore"]

P = ParamSpec("P")
T = TypeVar("T")

_BUSY_TIMEOUT_SECONDS = 1.0


class SqliteStore:
    """`Store` over one file, which belongs to one process at a time.

    All writes happen on one thread and connection, all reads on another pair: a write that blocks
    or fails holds up no read (the file is in WAL mode). A write that returned has been synced.
    """

    is_shared = False
    nodes = LocalNodes()

    def __init__(self, path: str | Path, *, max_tail_rows: int = 20_000) -> None:
        """`max_tail_rows`: how far back a row may lie in the tail while others are appended."""
        self._path = Path(path)
        self._files = BlobFiles()
        self.blobs = SqliteBlobs(
            self._files, write=self._write, read=self._read, read_log=self._rows
        )
        """See `Store.blobs`."""
        self.archive: Archive = SqliteArchive(
            write=self._write, read=self._read, read_log=self._rows
        )
        """All that is in the file."""
        self._max_tail_rows = max_tail_rows
        self._lock: int | None = None
        """Held from `open` to `close`."""
        self._reader: sqlite3.Connection | None = None
        """Held as long, so that dropping the writer never closes the file and its log."""
        self._tail = Tail()
        self._is_tail_known = True
        """False after a failed commit that may have taken effect."""
        self._writer: sqlite3.Connection | None = None
        """None also between a failure and the next write."""
        self._writing = Lane("sqlite-write")
        self._reading = Lane("sqlite-read")

    async def open(self) -> None:
        """Lock the file, creating it and its folder if need be, and bring it up to date.

        Raises:
            SettingsError: in use by another process, too new, not a database, not writable.
        """
        await self._writing.run(self._open)

    async def close(self) -> None:
        """Fold the write-ahead log into the file, and let another process have it."""
        await self._writing.run(self._close)
        self._writing.close()

    async def claim(
        self, conversation: str, owner: str, epoch: str, *, is_new: bool = False
    ) -> Claim:
        """See `Store.claim`."""
        head, is_open = (None, False) if is_new else await self._end(conversation)
        if head is None:
            return Claim(Fence(conversation, owner, epoch))
        fence = Fence(conversation, head.owner, head.epoch)
        return Claim(fence, head=head.seq, is_open=is_open)

    async def release(self, fence: Fence) -> None:
        """Nobody else is there to claim it."""

    async def append(self, batches: list[Batch]) -> None:
        """See `Store.append`. Fenced means: deleted meanwhile, and begun anew."""
        await self._writing.run(lambda: self._append(batches))

    async def reach(self, fence: Fence) -> int:
        """See `Store.reach`."""
        return reach_of(fence, await self.head(fence.conversation))

    async def read(self, conversation: str, after: int, *, max_bytes: int) -> list[bytes]:
        """See `Store.read`."""
        return [row.body for row in await self._rows(conversation, after, max_bytes)]

    async def compact(
        self, conversation: str, join: Callable[[list[bytes]], list[Row]], *, after: int = 0
    ) -> None:
        """See `Store.compact`. `join` runs on the writer's thread: appends wait for it.

        Raises:
            ValueError: what `join` returned does not cover the same seqs; nothing was changed.
        """
        await self._writing.run(lambda: self._compact(conversation, join, after))

    async def head(self, conversation: str) -> Head | None:
        """See `Store.head`."""
        head, _ = await self._end(conversation)
        return head

    async def _end(self, conversation: str) -> tuple[Head | None, bool]:
        """The head, and whether the last batch left a turn unfinished."""
        if not self._is_tail_known:
            await self._write(_nothing)
        unsettled = self._tail.get(conversation)
        seqs = {} if unsettled is None else {(conversation, unsettled.epoch): unsettled.seq}
        found = await self._read(statements.read_end, conversation)
        return (None, False) if found is None else (_with_seq_of_tail(found[0], seqs), found[1])

    async def list_heads(
        self, owner: str, *, limit: int, before: str | None, query: str | None = None
    ) -> list[Head]:
        """See `Store.list_heads`."""
        seqs = self._tail.seqs()
        heads = await self._read(statements.list_heads, owner, limit, before, query)
        return [_with_seq_of_tail(head, seqs) for head in heads]

    async def orphans(self) -> list[Head]:
        """See `Store.orphans`."""
        seqs = self._tail.seqs()
        return [_with_seq_of_tail(head, seqs) for head in await self._read(statements.list_open)]

    async def count_open(self, owner: str) -> int:
        """See `Store.count_open`."""
        return await self._read(statements.count_open, owner)

    async def list_hidden(self, *, before: str, limit: int) -> list[Head]:
        """See `Store.list_hidden`."""
        seqs = self._tail.seqs()
        heads = await self._read(statements.list_hidden, before, limit)
        return [_with_seq_of_tail(head, seqs) for head in heads]

    async def count(self, owner: str) -> int:
        """See `Store.count`."""
        return await self._read(statements.count, owner)

    async def spent(self, owner: str, day: str) -> Spent:
        """See `Store.spent`."""
        return await self._read(statements.read_spent, owner, day)

    async def rename(self, conversation: str, title: str) -> None:
        """See `Store.rename`."""
        await self._write(statements.rename, conversation, title)

    async def delete(self, conversation: str) -> None:
        """See `Store.delete`."""
        await self._writing.run(lambda: self._delete(conversation))

    async def vacuum(self) -> None:
        """Give the room of what was deleted back to the disk. Appends wait for it, and it needs as
        much room again meanwhile: for a database that nobody uses."""
        await self._writing.run(self._vacuum)

    async def _rows(self, conversation: str, after: int, max_bytes: int) -> list[Row]:
        later = self._tail.rows(conversation)
        rows = await self._read(statements.read, conversation, after, max_bytes)
        return follow_on(rows, later, after=after, max_bytes=max_bytes)

    async def _write(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        return await self._writing.run(lambda: self._commit(work, *args, **kwargs))

    async def _read(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        def read() -> T:
            if self._reader is None:
                raise StoreError(f"{self._path} is not open")
            try:
                return work(self._reader, *args, **kwargs)
            except sqlite3.Error as error:
                raise StoreError(f"{self._path} cannot be read now: {error}") from error

        return await self._reading.run(read)

    # On the writer's thread

    def _vacuum(self) -> None:
        if self._writer is None:
            raise StoreError(f"{self._path} is not open")
        try:
            self._writer.execute("VACUUM")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise StoreError(f"{self._path} cannot be rewritten: {error}") from error

    def _append(self, batches: list[Batch]) -> None:
        if not batches:
            self._commit(statements.probe, self._tail)
            return
        old: list[str] = []

        def append(writer: sqlite3.Connection) -> list[Batch]:
            # The rows of a long turn must not keep those of all other turns in the tail.
            old.extend(self._tail.oldest(beyond=self._max_tail_rows, rows=len(batches)))
            if old:
                statements.place(writer, old, self._tail)
            return statements.append(writer, batches, self._tail)

        fresh = self._commit(append)
        for conversation in old:
            self._tail.settle(conversation)
        for batch in fresh:
            fence, row = batch.fence, statements.row_of(batch)
            self._tail.add(fence.conversation, fence.epoch, row, is_open=batch.is_open)

    def _compact(
        self, conversation: str, join: Callable[[list[bytes]], list[Row]], after: int
    ) -> None:
        with self._unsynced():
            self._commit(
                lambda writer: statements.compact(writer, conversation, join, after, self._tail)
            )
        self._tail.settle(conversation)

    def _delete(self, conversation: str) -> None:
        self._commit(statements.delete, conversation)
        self._tail.settle(conversation)

    def _commit(
        self,
        work: Callable[Concatenate[sqlite3.Connection, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        if self._lock is None:
            raise StoreError(f"{self._path} is not open")
        is_in_doubt = False
        try:
            if self._writer is None:
                self._writer = self._connect()
            if not self._is_tail_known:
                self._tail = statements.read_tail(self._writer)
                self._is_tail_known = True
            self._writer.execute("BEGIN IMMEDIATE")
            result = work(self._writer, *args, **kwargs)
            is_in_doubt = True
            self._writer.execute("COMMIT")
        except BaseException as error:
            # The next write gets a new connection: nothing of this failure sticks to it.
            self._drop_writer()
            if is_in_doubt:
                self._look_again()
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"{self._path} cannot be written now: {error}") from error
            raise
        return result

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        """For a write that says nothing new. Should the power go before the next synced commit,
        which syncs what was written before it too, the rows lie where they lay."""
        writer = self._writer
        try:
            if writer is not None:
                writer.execute("PRAGMA synchronous = NORMAL")
            yield
            if writer is not None:
                writer.execute("PRAGMA synchronous = FULL")
        except BaseException as error:
            # A new connection syncs.
            self._drop_writer()
            if isinstance(error, sqlite3.Error):
                raise StoreError(f"{self._path} cannot be written now: {error}") from error
            raise

    def _look_again(self) -> None:
        """Read the tail after a commit in doubt, on the reader's connection, which did not fail."""
        self._is_tail_known = False
        if self._reader is not None:
            with suppress(sqlite3.Error):
                self._tail = statements.read_tail(self._reader)
                self._is_tail_known = True

    def _open(self) -> None:
        try:
            self._path = self._path.resolve()  # One lock, whichever link leads to the file.
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _lock_file(self._path)
            if self._path.is_dir():
                raise SettingsError("it is a folder. Choose a file with --db")
            self._writer = self._connect()
            if not os.access(self._path, os.W_OK):  # SQLite would go on, for reading only.
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            schema.version_of(self._writer)  # Refuses before anything is written.
            self._writer.execute("PRAGMA journal_mode = WAL")
            self._writer.execute("BEGIN IMMEDIATE")
            schema.upgrade(self._writer)
            self._writer.execute("COMMIT")
            self._reader = self._connect()
            self._tail = statements.read_tail(self._reader)
            self._files.open(Path(f"{self._path}.blobs"))
        except BaseException as error:
            self._release()
            if isinstance(error, SettingsError):
                raise SettingsError(f"db: {self._path} cannot be opened: {error}") from error
            if isinstance(error, OSError | sqlite3.Error):
                reason = error.strerror if isinstance(error, OSError) else error
                raise SettingsError(
                    f"db: {self._path} cannot be opened: {reason}."
                    " Make it a writable SQLite file, or choose another with --db"
                ) from error
            raise

    def _close(self) -> None:
        self._files.close()
        self._reading.close()
        self._reading.join()
        if self._writer is not None:
            # Should it fail: all is durable in the write-ahead log, which the next open reads.
            with suppress(sqlite3.Error):
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._release()

    def _release(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._drop_writer()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path,
            timeout=_BUSY_TIMEOUT_SECONDS,
            isolation_level=None,  # Transactions begin and end where we say so.
            check_same_thread=False,  # The writer's thread opens and closes the reader's, too.
        )
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _drop_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()  # Which rolls back.


def _nothing(writer: sqlite3.Connection) -> None:
    """A write of nothing: before it, `_commit` finds out what became of the last one."""


def _with_seq_of_tail(head: Head, seqs: dict[tuple[str, str], int]) -> Head:
    """The head, brought forward to the seq that the tail (read before it) has."""
    return replace(head, seq=max(head.seq, seqs.get((head.conversation, head.epoch), head.seq)))


def _lock_file(path: Path) -> int:
    """A descriptor that holds the file's lock until it is closed, by `kill -9` at the latest.

    The lock has a file of its own, because closing any descriptor of the database would drop
    SQLite's own locks on it (https://sqlite.org/howtocorrupt.html, 2.2).
    """
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise SettingsError(
            "another process uses it. Stop that one, or choose another file with --db;"
            " one process serves many streams at once"
        ) from error
    except BaseException:
        os.close(lock)
        raise
    return lock

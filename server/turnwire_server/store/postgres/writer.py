"""The one connection on which a node appends; knows no statements.

A connection that failed is never used again, and what was under way on it is in doubt. The next one
gets a new number first, which waits for a statement that still runs and voids one that comes late:
what is read on it says what became of all that was sent before.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from turnwire_server.errors import Fenced, StoreError
from turnwire_server.store.postgres.address import FAILURES, Address, Connection, told
from turnwire_server.store.postgres.node import PostgresNode

__all__ = ["PostgresWriter", "Writing"]

T = TypeVar("T")


class Writing:
    """The connection, with what every append on it is checked against."""

    def __init__(self, connection: Connection, node: str, number: int) -> None:
        self.connection = connection
        self.node = node
        self.number = number


class PostgresWriter:
    """Does one piece of work after another, in the order in which they come."""

    def __init__(self, address: Address, node: PostgresNode) -> None:
        self._address = address
        self._node = node
        self._writing: Writing | None = None
        self._turn = asyncio.Lock()
        self._is_closed = False

    async def run(self, work: Callable[[Writing], Awaitable[T]]) -> T:
        """What the work returns.

        Raises:
            Fenced: the work did.
            StoreError: PostgreSQL cannot be used now; the work may have taken effect all the same.
        """
        async with self._turn:
            if self._is_closed:
                raise StoreError("the store is closed")
            try:
                return await work(await self._ready())
            except Fenced:
                raise
            except BaseException as error:
                self._drop()
                if isinstance(error, FAILURES):
                    raise StoreError(f"PostgreSQL cannot be written now: {told(error)}") from error
                raise

    async def close(self) -> None:
        """End what runs, and let go of the connection."""
        async with self._turn:
            self._is_closed = True
            self._drop()

    async def _ready(self) -> Writing:
        writing = self._writing
        if writing is None or writing.connection.is_closed() or not self._node.is_now(writing.node):
            self._drop()
            connection = await self._address.connect("writer")
            try:
                node, number = await self._node.new_writer(connection)
            except BaseException:
                connection.terminate()
                raise
            self._writing = writing = Writing(connection, node, number)
        return writing

    def _drop(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            # Not `close`, which waits for the server's answer.
            writing.connection.terminate()

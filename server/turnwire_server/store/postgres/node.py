"""This process as a node of a PostgreSQL store: who it is, and its lease on being alive.

A node is an incarnation: its id is new at each start, and whenever its lease was lost. One row says
that it is alive; every append renews it in the statement that appends, and the heartbeat does where
nothing is appended. Once the row is gone the node is dead, for good: no append of it takes effect
any more, so whatever it held may be claimed by others. Either the renewal comes first or the
deletion does; there is no third order, because it is one row. The only clock is the database's.

A node that cannot renew its lease does not wait to be told: a while before it can be dead it gives
up by its own clock what it has under way, and is another node when it can write again.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable
from importlib.metadata import version

from turnwire_server.store.postgres.address import (
    FAILURES,
    Address,
    Connection,
    Session,
    told,
)
from turnwire_server.timestamp import timestamp

__all__ = ["PostgresNode"]

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5
_GIVE_UP = 0.8
"""After this part of the lease: the others may see it run out when nothing is shown here any more.
"""


class PostgresNode:
    """The incarnation that this process is now.

    `name` is of the place in which one process at a time can be, such as the port it listens on:
    whoever had the name before is dead. None: there is no such place.
    """

    def __init__(self, address: Address, *, name: str | None, lease_seconds: float) -> None:
        self.name = name
        self.lease_seconds = lease_seconds
        self._address = address
        self._id: str | None = None
        self._connection: Connection | None = None
        """The heartbeat's own, so that it never waits for anybody."""
        self._renewed_at = time.monotonic()
        """When the last renewal was sent that has succeeded: the lease counts from then or later.
        """
        self._timer: asyncio.TimerHandle | None = None
        self._last_id: str | None = None
        """Of the incarnation before: the next one removes it, should it still seem to live."""
        self.alike: str | None = None
        """What other nodes are to compare theirs with; see `PostgresNodes`."""
        self.silent_since: str | None = timestamp()
        """See `Nodes.silent_since`."""
        self._entering = asyncio.Lock()
        self._beating: asyncio.Task[None] | None = None
        self.on_lost: Callable[[], None] | None = None
        """Called when this incarnation turns out to be dead."""

    async def start(self, connection: Connection) -> None:
        """Come to life, and keep alive over this connection, which is the node's from now on.

        Raises:
            FAILURES: it cannot be written.
        """
        self._connection = connection
        await self._enter(connection)
        self._beating = asyncio.create_task(self._beat(), name="heartbeat")
        self._watch()

    async def close(self) -> None:
        """Die, so that others need not wait for the lease to run out."""
        if self._timer is not None:
            self._timer.cancel()
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        if self._connection is not None:
            with contextlib.suppress(*FAILURES):  # Its lease runs out then.
                await self._connection.execute(_LEAVE, self._id)
                await self._connection.close(timeout=_RETRY_SECONDS)
            self._drop()

    def is_now(self, id: str) -> bool:
        """Whether this is the incarnation, as far as is known."""
        return id == self._id

    def renewed(self, id: str, sent_at: float) -> None:
        """The lease of that incarnation was renewed by what was sent then (monotonic seconds)."""
        if id == self._id:
            self._renewed_at = max(self._renewed_at, sent_at)

    async def id(self, session: Session) -> str:
        """The id of the living incarnation: a new one where the last has been lost.

        Raises:
            FAILURES: it cannot be written.
        """
        if self._id is None:
            async with self._entering:
                if self._id is None:
                    await self._enter(session)
        assert self._id is not None
        return self._id

    def lose(self, id: str) -> None:
        """This incarnation is dead: what it held is not ours any more."""
        if id == self._id:
            logger.error("node=%s has lost its lease: what it had under way is given up", id)
            self._id, self._last_id, self.silent_since = None, id, timestamp()
            if self.on_lost is not None:
                self.on_lost()

    async def new_writer(self, connection: Connection) -> tuple[str, int]:
        """The incarnation's id, and the number of this connection, on which it appends from now on.

        What was sent on an earlier one, and may still be on its way, has no effect any more.

        Raises:
            FAILURES: it cannot be written.
        """
        while True:
            id = await self.id(connection)
            sent_at = time.monotonic()
            number = await connection.fetchval(_NEW_WRITER, id, self.lease_seconds)
            if number is not None:
                self.renewed(id, sent_at)
                return id, number
            self.lose(id)

    async def _enter(self, session: Session) -> None:
        id, sent_at = f"n_{secrets.token_hex(8)}", time.monotonic()
        await session.execute(
            _ENTER,
            id,
            self.name,
            version("turnwire"),
            self.lease_seconds,
            self._last_id,
            self.alike,
        )
        self._id, self._renewed_at, self.silent_since = id, sent_at, None
        logger.info("node=%s is alive", id)

    def _watch(self) -> None:
        """Give up in time. A timer, because whoever waits for PostgreSQL may wait for long."""
        left = _GIVE_UP * self.lease_seconds - (time.monotonic() - self._renewed_at)
        if left <= 0:
            left = self.lease_seconds / 3
            if self._id is not None:
                self.lose(self._id)
        self._timer = asyncio.get_running_loop().call_later(left, self._watch)

    async def _beat(self) -> None:
        period = self.lease_seconds / 3
        while True:
            await asyncio.sleep(max(period - (time.monotonic() - self._renewed_at), 0.0))
            if time.monotonic() - self._renewed_at < period:
                continue  # An append has done it.
            try:
                await self._renew()
            except FAILURES as error:
                logger.warning("the lease is not renewed, to be tried again: %s", told(error))
                self._drop()
                await asyncio.sleep(min(_RETRY_SECONDS, period))

    async def _renew(self) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._address.connect("heartbeat")
        id, sent_at = await self.id(self._connection), time.monotonic()
        if await self._connection.fetchval(_RENEW, id, self.lease_seconds) is None:
            self.lose(id)
            await self.id(self._connection)
        self.renewed(id, sent_at)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


_LEASE = "clock_timestamp() + make_interval(secs => ${})"

# Whoever had the name is dead: this process has the port now. So is who it was before.
_ENTER = f"""WITH predecessors AS (DELETE FROM nodes WHERE name = $2 OR id = $5 RETURNING id),
    unread AS (DELETE FROM readers WHERE node IN (SELECT id FROM predecessors)),
    unheard AS (DELETE FROM mail WHERE to_node IN (SELECT id FROM predecessors))
    INSERT INTO nodes (id, name, version, lease_until, alike)
    VALUES ($1, $2, $3, {_LEASE.format(4)}, $6)"""

_RENEW = f"UPDATE nodes SET lease_until = {_LEASE.format(2)} WHERE id = $1 RETURNING true"

_NEW_WRITER = f"""UPDATE nodes SET writer = writer + 1, lease_until = {_LEASE.format(2)}
    WHERE id = $1 RETURNING writer"""

# Its conversations are let go of first: a delete alone would leave them to be found one by one.
_LEAVE = """WITH unbegun AS (DELETE FROM conversations WHERE node = $1 AND created_at IS NULL),
    idle AS (UPDATE conversations SET node = NULL WHERE node = $1 AND created_at IS NOT NULL),
    unread AS (DELETE FROM readers WHERE node = $1),
    unheard AS (DELETE FROM mail WHERE to_node = $1)
    DELETE FROM nodes WHERE id = $1"""

"""The nodes of a PostgreSQL store: rows in two tables, and NOTIFY as the bell.

Each node listens on a channel of its own. What it is told there is only that there is something;
what that is, it reads. A bell that is lost costs a second, after which everybody looks.

What goes out is gathered: while one statement is under way, all that comes up is kept for the next.
It has a connection of its own, which waits for no disk, and never is part of an append: a NOTIFY
holds a lock of the whole server until its commit is on the disk
(https://www.postgresql.org/docs/current/sql-notify.html, and `AsyncQueueLock` in its source).
"""

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import Mapping

from turnwire_server.errors import StoreError
from turnwire_server.store.nodes import News, Watcher
from turnwire_server.store.postgres.address import (
    FAILURES,
    Address,
    Ask,
    Connection,
    Session,
    answering,
    told,
)
from turnwire_server.store.postgres.node import PostgresNode
from turnwire_server.store.postgres.outgoing import Mail, Outgoing

__all__ = ["PostgresNodes"]

logger = logging.getLogger(__name__)

_ASK_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 0.25
_FAREWELL_SECONDS = 1.0
_NEWS_ROWS = 50
"""Of one conversation in one read; whoever is so far behind reads on by itself."""


class PostgresNodes:
    """`Nodes` over the tables `readers` and `mail`.

    `ask_seconds`: how long an answer is waited for. `look_seconds`: how often a node looks whether
    it was told something that it has not heard.
    """

    def __init__(
        self,
        address: Address,
        node: PostgresNode,
        ask: Ask,
        *,
        ask_seconds: float = _ASK_SECONDS,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        self._address = address
        self._node = node
        self._ask = ask
        self._ask_seconds = ask_seconds
        self._look_seconds = look_seconds
        self._watcher: Watcher | None = None
        self._attended: dict[str, None] = {}
        self._asked: dict[str, asyncio.Future[str]] = {}
        self._outgoing = Outgoing()
        self._has_outgoing = asyncio.Event()
        self._rung = asyncio.Event()
        self._server: str | None = None
        """What `this_server` of `schema.py` said last."""
        self._tasks: list[asyncio.Task[None]] = []
        self._errands: set[asyncio.Task[None]] = set()

    async def start(self, watcher: Watcher, alike: Mapping[str, str]) -> None:
        """See `Nodes.start`."""
        self._watcher = watcher
        await self._ask(lambda session, me: self._compare(session, me, alike))
        self._node.on_lost = self._lost
        # Here and not by the tasks: what ends early does not cut them off in the middle of it.
        with answering():
            listener = await self._address.connect("listener")
            messenger = await self._messenger()
        self._tasks = [
            asyncio.create_task(self._listen(listener), name="listener"),
            asyncio.create_task(self._post(messenger), name="messenger"),
        ]

    async def close(self) -> None:
        """See `Nodes.close`. What is to be said is said first, if PostgreSQL takes it soon."""
        said: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outgoing.known.append(said)
        self._has_outgoing.set()
        await asyncio.wait([said], timeout=_FAREWELL_SECONDS)
        tasks = [*self._tasks, *self._errands]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def silent_since(self) -> str | None:
        """See `Nodes.silent_since`."""
        return self._node.silent_since

    async def _compare(self, session: Session, me: str, alike: Mapping[str, str]) -> None:
        """Say where this node has something else than another one, in the program's log."""
        salt = await session.fetchval("SELECT salt FROM meta")
        digests = {name: _digest(salt, name, text) for name, text in alike.items()}
        self._node.alike = json.dumps(digests)
        await session.execute("UPDATE nodes SET alike = $2 WHERE id = $1", me, self._node.alike)
        for id, name, theirs in await session.fetch(_OTHERS, me):
            for what, digest in json.loads(theirs).items():
                if digests.get(what, digest) != digest:
                    logger.warning("%s: node=%s (%s) has another one", what, id, name)

    def _lost(self) -> None:
        assert self._watcher is not None
        self._watcher.on_lost()
        self._rung.set()

    # To others

    async def ask(self, holder: str, errand: str) -> str:
        """See `Nodes.ask`."""
        id = f"m_{secrets.token_hex(8)}"
        answer = self._asked[id] = asyncio.get_running_loop().create_future()
        self._outgoing.mail.append(Mail(id, holder, None, errand))
        self._has_outgoing.set()
        try:
            async with asyncio.timeout(self._ask_seconds):
                said: str = await answer
                return said
        except TimeoutError as error:
            logger.warning("node=%s does not answer", holder)
            raise StoreError(f"node {holder} does not answer") from error
        finally:
            del self._asked[id]
            if not answer.done() or answer.cancelled():
                # It must not be done later, when nobody waits for it any more.
                self._outgoing.withdraw(id)
                self._has_outgoing.set()

    async def attend(self, conversation: str) -> None:
        """See `Nodes.attend`."""
        self._attended[conversation] = None
        known: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outgoing.known.append(known)
        self._outgoing.reads[conversation] = True
        self._has_outgoing.set()
        await known

    def leave(self, conversation: str) -> None:
        """See `Nodes.leave`."""
        self._attended.pop(conversation, None)
        self._outgoing.reads[conversation] = False
        self._has_outgoing.set()

    def wake(self, node: str, conversation: str) -> None:
        """See `Nodes.wake`."""
        self._outgoing.wakes.setdefault(node, {})[conversation] = None
        self._has_outgoing.set()

    async def _messenger(self) -> Connection:
        connection = await self._address.connect("messenger")
        # What it writes is gone with the server anyway, and missed by nobody.
        await connection.execute("SET synchronous_commit = off")
        return connection

    async def _post(self, connection: Connection) -> None:
        try:
            while True:
                await self._has_outgoing.wait()
                self._has_outgoing.clear()
                outgoing, self._outgoing = self._outgoing, Outgoing()
                try:
                    if connection.is_closed():
                        connection = await self._messenger()
                    await outgoing.say(connection, await self._node.id(connection))
                except FAILURES as error:
                    logger.warning("other nodes are not told now, tried again: %s", told(error))
                    self._put_back(outgoing)
                    connection.terminate()
                    await asyncio.sleep(_RETRY_SECONDS)
        finally:
            connection.terminate()

    def _put_back(self, outgoing: Outgoing) -> None:
        for mail in outgoing.mail:
            if (asked := self._asked.get(mail.id)) is not None and not asked.done():
                # It may be there, and done already: said again it would be done twice.
                asked.set_exception(StoreError("the holder cannot be asked now"))
        self._outgoing.take_back(outgoing)
        self._has_outgoing.set()

    # From others

    async def _listen(self, connection: Connection) -> None:
        while True:
            try:
                if connection.is_closed():
                    connection = await self._address.connect("listener")
                await self._hear_all(connection)
            except FAILURES as error:
                logger.warning("other nodes are not heard now, tried again: %s", told(error))
            finally:
                connection.terminate()
            await asyncio.sleep(_RETRY_SECONDS)

    async def _hear_all(self, connection: Connection) -> None:
        """Hear what this incarnation is told, for as long as it lives and the connection does."""
        assert self._watcher is not None
        me = await self._node.id(connection)
        await connection.add_listener(f"tw_{me}", self._hear)
        # Another incarnation had told it, if any, and bells may have rung meanwhile.
        self._outgoing.reads = {**dict.fromkeys(self._attended, True), **self._outgoing.reads}
        self._has_outgoing.set()
        self._watcher.on_rows(list(self._attended))
        server = await connection.fetchval("SELECT this_server()")
        if self._server is not None and server != self._server:
            logger.warning("PostgreSQL is another server now: its last commits may be missing")
            self._watcher.on_failover()
        self._server = server
        while self._node.is_now(me):
            self._rung.clear()
            for mail in await connection.fetch(_COLLECT, me):
                self._take(Mail(mail["id"], mail["from_node"], mail["answers"], mail["body"]))
            try:
                async with asyncio.timeout(self._look_seconds):
                    await self._rung.wait()
            except TimeoutError:
                continue

    def _hear(self, connection: object, process: int, channel: str, payload: object) -> None:
        assert self._watcher is not None
        kind, _, text = str(payload).partition(" ")
        if kind == "m":
            self._rung.set()
        elif kind == "w":
            self._watcher.on_rows(text.split(" "))
        elif kind == "r":
            self._watcher.on_readers(text.split(" "))

    def _take(self, mail: Mail) -> None:
        if mail.answers is None:
            errand = asyncio.create_task(self._serve(mail), name=f"errand {mail.id}")
            self._errands.add(errand)
            errand.add_done_callback(self._errands.discard)
        elif (asked := self._asked.get(mail.answers)) is not None and not asked.done():
            asked.set_result(mail.body)

    async def _serve(self, mail: Mail) -> None:
        assert self._watcher is not None
        answer = await self._watcher.on_errand(mail.body)
        id = f"m_{secrets.token_hex(8)}"
        self._outgoing.mail.append(Mail(id, mail.to_node, mail.id, answer))
        self._has_outgoing.set()

    async def readers(self, conversation: str) -> list[str]:
        """See `Nodes.readers`."""

        async def readers(session: Session, me: str) -> list[str]:
            return [row["node"] for row in await session.fetch(_READERS, conversation, me)]

        return await self._ask(readers)

    async def news(self, cursors: Mapping[str, int]) -> dict[str, News]:
        """See `Nodes.news`."""

        async def news(session: Session, me: str) -> dict[str, News]:
            found = await session.fetch(
                _NEWS, list(cursors), list(cursors.values()), me, _NEWS_ROWS
            )
            return {
                id: News(epoch, holder, bodies, len(bodies) < _NEWS_ROWS)
                for id, epoch, holder, bodies in found
            }

        return await self._ask(news)


def _digest(salt: str, name: str, text: str) -> str:
    """So little of it that who reads the database can try no token: thousands look like this."""
    return hashlib.sha256("\0".join((salt, name, text)).encode()).hexdigest()[:4]


_OTHERS = """SELECT id, name, alike FROM nodes
    WHERE id <> $1 AND alike IS NOT NULL AND lease_until > clock_timestamp()"""

_COLLECT = """WITH taken AS (
        DELETE FROM mail WHERE to_node = $1 RETURNING number, id, from_node, answers, body
    ) SELECT id, from_node, answers, body FROM taken ORDER BY number"""

_READERS = """SELECT node FROM readers WHERE conversation = $1 AND node <> $2
    AND EXISTS (SELECT FROM nodes WHERE nodes.id = readers.node)"""

# From the last row on that begins at or before the first seq wanted: it may be a joined one.
_NEWS = """SELECT known.id, epoch,
        CASE WHEN node <> $3 AND EXISTS (SELECT FROM nodes WHERE nodes.id = node) THEN node END,
        ARRAY(SELECT body FROM batches WHERE conversation = known.id AND last_seq > after
            AND first_seq >= coalesce((SELECT first_seq FROM batches
                WHERE conversation = known.id AND first_seq <= after + 1
                ORDER BY first_seq DESC LIMIT 1), 0)
            ORDER BY first_seq LIMIT $4)
    FROM unnest($1::text[], $2::bigint[]) AS known (id, after)
    JOIN conversations ON conversations.id = known.id AND created_at IS NOT NULL"""

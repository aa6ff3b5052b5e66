"""Keeps one connection to a server standing, with what was asked and what is followed on it."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from itertools import count
from weakref import WeakValueDictionary

from turnwire.backoff import Backoff
from turnwire.connection import Connection
from turnwire.errors import (
    BadArgument,
    BadServer,
    CannotConnect,
    ConnectionLost,
    ConnectionRefused,
    ConversationClosed,
    Rejected,
    TurnwireError,
    WireClosed,
    rejected,
)
from turnwire.pending import Lasting, Pending
from turnwire.replica import Replica, Subscription
from turnwire_protocol import (
    Ack,
    Closed,
    Code,
    Done,
    Event,
    GoingAway,
    Pong,
    Progress,
    Reject,
    Reply,
    Reset,
    Send,
    Subscribe,
    Unsubscribe,
    Verdict,
    Welcome,
    encode,
    fails_unacknowledged,
    may_reconnect,
)

__all__ = ["Session", "State"]

logger = logging.getLogger("turnwire")

Watcher = Callable[[Replica, Event | None], None]
"""Called with each event that a replica took, and without one where a subscription of it stands."""


class State(Enum):
    """How the wire stands."""

    NEW = auto()
    """Not yet opened."""
    OPEN = auto()
    """Connected and welcomed."""
    HEALING = auto()
    """The connection was lost; another is being made."""
    CLOSED = auto()
    """Left, or lost for good."""


class Session:
    """The commands and subscriptions of one wire, over as many connections as it takes.

    One task keeps it: it reads, applies, and connects again. Everything else is synchronous, so
    that a command and a subscription never interleave with an event half-way.
    """

    def __init__(
        self,
        address: str,
        token: str | None,
        *,
        heal: bool,
        open_timeout_seconds: float,
        backoff: Backoff,
    ) -> None:
        self.state = State.NEW
        self._address = address
        self._token = token
        self._heal = heal
        self._open_timeout_seconds = open_timeout_seconds
        self._backoff = replace(backoff)
        self._ids = count(1)
        self._connection: Connection | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._failure: TurnwireError = WireClosed("the wire is not open yet: use `async with`")
        self._pending = Pending()
        self._asked: dict[str, Replica] = {}
        self._replicas: WeakValueDictionary[str, Replica] = WeakValueDictionary()
        self._active: set[Replica] = set()
        self._reconnect_after_seconds: float | None = None
        self._watcher: Watcher = lambda replica, event: None
        self._runner: str | None = None

    def watch(self, watcher: Watcher, *, runner: str) -> None:
        """Have `watcher` see all events; `runner` is its name on the server."""
        self._watcher, self._runner = watcher, runner

    async def open(self) -> None:
        """Connect once, and from then on stay connected."""
        connection = await self._connect()
        self._begin(connection)
        self._keeper = asyncio.create_task(self._keep(connection), name="turnwire-reader")

    async def close(self) -> None:
        """Leave; calls that still wait raise `WireClosed`."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        self._end(WireClosed("the wire was left"))

    @property
    def max_blob_bytes(self) -> int | None:
        """The largest image or document the server takes, where it has said."""
        return self._connection.welcome.limits.max_blob_bytes if self._connection else None

    @property
    def is_demo(self) -> bool:
        """Whether the server has said that a simulator answers."""
        return bool(self._connection and self._connection.welcome.demo)

    @property
    def models(self) -> list[str]:
        """What the server says a `send` may name, the default first; empty while not connected."""
        return self._connection.welcome.models if self._connection else []

    def next_id(self) -> str:
        """An id for a command, unique on this wire."""
        return str(next(self._ids))

    async def command(
        self, command: Lasting, acked: Callable[[Ack], None] = lambda ack: None
    ) -> None:
        """Have a command take effect, over reconnects; returns at its ack.

        `acked` is called at once, before the next message is read; what it raises, this raises.

        Raises:
            Rejected: the server says no.
            BadArgument: it is larger than the server takes, or has something that is no JSON.
            ConnectionLost, ConnectionRefused, BadServer, WireClosed: it cannot be known whether it
                took effect.
        """
        if self.state in (State.NEW, State.CLOSED):
            raise self._failure
        # Also while there is no connection: the next one would not outlive it.
        try:
            size = len(encode(command).encode())
        except ValueError as error:
            raise BadArgument(f"it cannot be sent as JSON: {error}") from error
        if self._connection:
            limit = self._connection.welcome.limits.max_frame_bytes
            if size > limit:
                raise BadArgument(f"{size} bytes in one message; the server takes {limit}")
        outcome = self._pending.add(command, acked)
        self._post_pending(command)
        try:
            await outcome
        finally:
            self._pending.forget(command.id)

    def post(self, command: Progress) -> None:
        """Send a command at once or never; its reply is ignored."""
        if self._connection:
            self._connection.post(command)

    def replica(self, conversation: str) -> Replica:
        """The copy of a conversation that this session feeds; a new one, empty, if there is none
        or it has failed."""
        replica = self._replicas.get(conversation)
        if replica is None or replica.failure is not None:
            replica = self.new_replica(conversation)
        return replica

    def new_replica(
        self, conversation: str, *, after: int = 0, epoch: str | None = None
    ) -> Replica:
        """A copy that begins after `after`; it replaces one that is not in use."""
        replica = Replica(conversation, backoff=replace(self._backoff), after=after, epoch=epoch)
        self._replicas[conversation] = replica
        if self.state in (State.NEW, State.CLOSED):
            replica.fail(self._failure)
        return replica

    def retain(self, replica: Replica) -> None:
        """Keep the replica fed over reconnects; undone by `release`."""
        self._active.add(replica)

    def subscribe(self, replica: Replica) -> None:
        """Have the events after the replica's cursor sent, unless that is so already."""
        if not replica.is_wanted:
            return
        self._active.add(replica)
        if self._connection and replica.subscription is Subscription.NONE:
            command = Subscribe(
                id=self.next_id(),
                conversation=replica.conversation,
                after=replica.cursor.seq,
                epoch=replica.cursor.epoch,
                runner=self._runner,
            )
            replica.ask(command.id)
            self._asked[command.id] = replica
            self._connection.post(command)

    def look_again(self, replica: Replica) -> None:
        """Have the server say, as of now, where the log ends: `head_count` counts the answers."""
        if replica.asked:
            self._asked.pop(replica.asked, None)
        # What comes before the new ack is dropped, and comes again behind it.
        replica.detach()
        self.subscribe(replica)

    def release(self, replica: Replica) -> None:
        """Stop following if it is no longer in use: servers bound the number of subscriptions."""
        if replica.is_wanted:
            return
        self._active.discard(replica)
        if replica.asked:
            self._asked.pop(replica.asked, None)
        if self._connection and replica.subscription is not Subscription.NONE:
            self._connection.post(Unsubscribe(id=self.next_id(), conversation=replica.conversation))
        replica.detach()

    async def _keep(self, connection: Connection) -> None:
        try:
            while True:
                loss = await self._read(connection)
                if not self._heal or not may_reconnect(loss.close_code):
                    raise loss
                if fails_unacknowledged(loss.close_code):
                    self._pending.fail(loss)
                connection = await self._reconnect(loss)
                self._begin(connection)
        except TurnwireError as failure:
            self._end(failure)
        except Exception:
            # The root of the task: without it a mistake of ours would leave everyone waiting.
            logger.exception("the client failed")
            self._end(BadServer("the client could not go on; see the log"))

    async def _read(self, connection: Connection) -> ConnectionLost:
        graceful = True
        try:
            while True:
                self._take(await connection.receive())
        except ConnectionLost as loss:
            graceful = False
            return loss
        finally:
            self._connection = None
            self._asked.clear()
            for replica in self._active:
                replica.detach()
            await (connection.close() if graceful else connection.abort())

    async def _connect(self) -> Connection:
        return await Connection.open(
            self._address, self._token, timeout_seconds=self._open_timeout_seconds
        )

    async def _reconnect(self, loss: ConnectionLost) -> Connection:
        self.state = State.HEALING
        loop = asyncio.get_running_loop()
        reason: TurnwireError = loss
        while True:
            delay_seconds = self._backoff.lost(loop.time())
            delay_seconds += self._reconnect_after_seconds or 0.0
            self._reconnect_after_seconds = None
            logger.info("%s; connecting again in %.1f s", reason, delay_seconds)
            await asyncio.sleep(delay_seconds)
            try:
                return await self._connect()
            except ConnectionRefused as refused:
                if refused.status in (401, 403) or (
                    refused.status >= 1000 and not may_reconnect(refused.status)
                ):
                    raise
                reason = refused
            except CannotConnect as error:
                reason = error

    def _begin(self, connection: Connection) -> None:
        self.state = State.OPEN
        self._connection = connection
        self._backoff.opened(asyncio.get_running_loop().time())
        for replica in list(self._active):
            self.subscribe(replica)
        for command in self._pending.commands:
            self._post_pending(command)

    def _post_pending(self, command: Lasting) -> None:
        # A draining server starts nothing: a send waits here for the next connection.
        draining = self._reconnect_after_seconds is not None
        if self._connection and not (draining and isinstance(command, Send)):
            self._connection.post(command)

    def _take(self, message: Reply | Event) -> None:
        match message:
            case Ack():
                self._take_ack(message)
            case Reject():
                self._take_reject(message)
            case Reset():
                self._take_reset(message)
            case Closed():
                self._take_closed(message)
            case GoingAway():
                self._reconnect_after_seconds = message.reconnect_after_seconds
            case Welcome() | Pong():
                pass
            case _:
                self._take_event(message)

    def _take_reset(self, reset: Reset) -> None:
        replica = self._replicas.get(reset.conversation)
        if replica and replica.start_over(reset) and replica.subscription is Subscription.LIVE:
            # Not the answer to our `subscribe`: nothing has told how far the replay goes.
            self.look_again(replica)

    def _take_event(self, event: Event) -> None:
        replica = self._replicas.get(event.conversation)
        if replica is None:
            return
        verdict = replica.receive(event)
        if verdict is Verdict.RESUBSCRIBE:
            replica.detach()
            self.subscribe(replica)
        elif verdict is Verdict.APPLY:
            self._watcher(replica, event)
            if isinstance(event, Done):
                self.release(replica)

    def _take_ack(self, ack: Ack) -> None:
        if replica := self._asked.pop(ack.id, None):
            replica.backoff.opened(asyncio.get_running_loop().time())
            replica.confirm_subscription(ack)
            self._watcher(replica, None)
            self.release(replica)
        else:
            self._pending.take_ack(ack)

    def _take_reject(self, reject: Reject) -> None:
        if reject.id is None:
            logger.warning("the server rejected something: %s", reject.message)
        elif replica := self._asked.pop(reject.id, None):
            self._lose_subscription(replica, rejected(reject))
        elif reject.code == Code.DRAINING and self._reconnect_after_seconds is not None:
            pass  # It crossed with `going_away`: it waits for the next connection like the others.
        else:
            self._pending.take_reject(reject)

    def _take_closed(self, closed: Closed) -> None:
        replica = self._replicas.get(closed.conversation)
        if replica and replica.subscription is Subscription.LIVE:
            self._lose_subscription(
                replica, ConversationClosed(closed.code, "", retryable=closed.retryable)
            )

    def _lose_subscription(self, replica: Replica, reason: Rejected | ConversationClosed) -> None:
        replica.detach()
        if not reason.retryable:
            replica.fail(reason)
            self.release(replica)
            return
        loop = asyncio.get_running_loop()
        delay_seconds = replica.backoff.lost(loop.time()) + (reason.retry_after_seconds or 0.0)
        loop.call_later(delay_seconds, self.subscribe, replica)

    def _end(self, failure: TurnwireError) -> None:
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self._failure = failure
        self._pending.fail(failure)
        self._active.clear()
        for replica in list(self._replicas.values()):
            replica.fail(failure)

"""The WebSocket transport: frames in, commands to the core; events and replies out as frames.

One task always receives (an unread socket blocks pongs), one handles commands in their order, one
writes. Nothing here decides anything.
"""

import asyncio
import time
from collections import deque
from collections.abc import Collection, Coroutine
from itertools import count

from pydantic import BaseModel
from starlette.websockets import WebSocket

from turnwire_protocol import (
    Ack,
    BadCommand,
    BadFrame,
    CloseCode,
    Code,
    Command,
    GoingAway,
    Hello,
    Limits,
    Ping,
    Pong,
    Send,
    Subscribe,
    Unsubscribe,
    Welcome,
    encode,
    parse_command,
)
from turnwire_server.core.hub import Hub
from turnwire_server.core.limits import Bucket, Places, ServiceLimits
from turnwire_server.core.log.follower import Follower, Frame
from turnwire_server.core.receipts import Accepted, Receipt
from turnwire_server.errors import Rejected
from turnwire_server.transports.access import Access
from turnwire_server.transports.frames import Closing, receive_text, reject, reject_bad
from turnwire_server.transports.handshake import (
    RECONNECT_SECONDS,
    Lobby,
    admit,
    forget_request,
    placed,
    shake_hands,
)
from turnwire_server.transports.socket import Socket, until_one_ends
from turnwire_server.waiting import Flag, Mailbox

__all__ = ["Connection"]

_MAX_WAITING = 128
"""Commands received and not yet handled; beyond, they are rejected."""

_AT_ONCE = 16
"""Frames received before other tasks have their turn."""

_MAX_UNREAD = 1024
"""Replies waiting to be written; beyond, the peer asks and does not read."""


class _Subscription:
    """A follower's place on this connection. Dormant until its ack is queued."""

    def __init__(self, *, after: int = 0, lasts: bool = True) -> None:
        self.follower: Follower | None = None
        self._after = after
        self._turns: set[str] | None = None if lasts else set()
        """With the last `done` of these it ends; None: it lasts."""

    def extend(self, accepted: Accepted, *, lasts: bool) -> None:
        """A send came on it: it lasts from now on, or until the `done` of that turn too."""
        if lasts:
            self._turns = None
        elif self._turns is not None:
            after = self._after if self.follower is None else self.follower.after
            # Of a key that is repeated late the `done` may lie behind the cursor.
            if accepted.done_seq is None or accepted.done_seq > after:
                self._turns.add(accepted.ack.turn or "")

    def may_end_with(self, frame: Frame) -> bool:
        """Whether this event may be its last: that is known once it is written."""
        return self._turns is not None and frame.type == "done"

    def ends_with(self, frame: Frame) -> bool:
        """Whether this event, which has been written, is its last."""
        return frame.type == "done" and self.ends_without(frame.turn)

    def ends_without(self, turn: str) -> bool:
        """Whether nothing is left that it waits for, now that the turn is over or never was."""
        if self._turns is not None:
            self._turns.discard(turn)
        return self._turns is not None and not self._turns


class Connection:
    """One socket, from the handshake to its close."""

    def __init__(
        self,
        socket: WebSocket,
        *,
        access: Access,
        hub: Hub,
        lobby: Lobby,
        places: Places,
        limits: ServiceLimits,
        models: list[str],
        client_options: Collection[str] = (),
        is_demo: bool = False,
        max_waiting: int = _MAX_WAITING,
    ) -> None:
        self._socket = socket
        self._access = access
        self._hub = hub
        self._lobby = lobby
        self._places = places
        self._limits = limits
        self._models = models
        self._client_options = sorted(client_options)
        self._is_demo = is_demo
        self._principal = ""
        self._commands: Mailbox[Command] = Mailbox()
        self._max_waiting = max_waiting
        self._bucket = Bucket(limits.max_commands_per_second, time.monotonic())
        self._replies: deque[str] = deque()
        self._subscriptions: dict[str, _Subscription] = {}
        self._woken: dict[str, None] = {}
        """Conversations with something to read, in the order they were woken."""
        self._ready = Flag()
        self._acks: set[asyncio.Task[None]] = set()
        self._out = Socket(socket, self._replies)

    async def run(self) -> None:
        """Serve the socket until it closes. Never raises."""
        try:
            await self._out.serve(self._serve())
        finally:
            for subscription in self._subscriptions.values():
                if subscription.follower is not None:
                    subscription.follower.close()
            # Each knows how to wake this, which knows each: only the collector would find them.
            self._subscriptions.clear()

    async def _serve(self) -> None:
        """Shake hands; then receive, handle and write until one of them ends. Raises why it did."""
        principal = await shake_hands(
            self._socket,
            self._access,
            lobby=self._lobby,
            hello_timeout_seconds=self._limits.hello_timeout_seconds,
            max_frames=self._limits.max_frames_before_hello,
        )
        if principal is None:
            return
        with placed(self._places, principal):
            admit(self._socket)
            forget_request(self._socket)
            self._principal = principal
            self._reply(self._welcome())
            if self._hub.is_draining:
                # It has come since, or was still shaking hands when the others were told.
                self.going_away(RECONNECT_SECONDS)
            await until_one_ends(
                self._receive(), self._handle(), self._write(), others=lambda: self._acks
            )

    def going_away(self, reconnect_after_seconds: float) -> None:
        """The server drains: tell the client."""
        if self._principal:  # Before `welcome` nothing may be said.
            self._reply(GoingAway(reconnect_after_seconds=reconnect_after_seconds))

    def _welcome(self) -> Welcome:
        limits = self._limits
        return Welcome(
            limits=Limits(
                max_frame_bytes=limits.max_frame_bytes,
                max_subscriptions=limits.max_subscriptions,
                max_running_turns=limits.max_running_turns,
                max_commands_per_second=limits.max_commands_per_second,
                max_blob_bytes=limits.max_blob_bytes,
            ),
            models=self._models,
            client_options=self._client_options,
            heartbeat_seconds=limits.heartbeat_seconds,
            demo=True if self._is_demo else None,
        )

    # Receiving

    async def _receive(self) -> None:
        # Behind a server that is not ours this is the only bound; behind ours control frames and
        # fragments count too.
        frames = Bucket(self._limits.frames_per_second, time.monotonic())
        for number in count(1):
            if number % _AT_ONCE == 0:
                # What has arrived is received without waiting: others are to have their turn.
                await asyncio.sleep(0)
            text = await receive_text(self._socket, max_bytes=self._limits.max_frame_bytes)
            if not frames.take(time.monotonic()):
                raise Closing(CloseCode.TOO_SLOW, "too many frames")
            try:
                self._sort(parse_command(text))
            except BadCommand as error:
                self._send(reject_bad(error))
            except BadFrame as error:
                raise Closing(CloseCode.VIOLATION, str(error)) from error
            # It may be large, and the next one may never come.
            del text
            if len(self._replies) > _MAX_UNREAD:
                raise Closing(CloseCode.TOO_SLOW, "too many commands, and replies unread")

    def _sort(self, command: Command) -> None:
        if isinstance(command, Ping):
            # However much waits: it asks whether anyone is there.
            self._reply(Pong(id=command.id))
        elif self._bucket.take(time.monotonic()) and self._commands.qsize() < self._max_waiting:
            self._commands.put_nowait(command)
        else:
            refused = Rejected(Code.TOO_MANY, "too many commands at once", retry_after_seconds=1.0)
            self._send(reject(command.id, refused))

    # Commands

    async def _handle(self) -> None:
        while True:
            # It has no name here, under which it would be held until the next one comes.
            await self._answer(await self._commands.get())

    async def _answer(self, command: Command) -> None:
        try:
            await self._take(command)
        except Rejected as refused:
            self._send(reject(command.id, refused))

    async def _take(self, command: Command) -> None:
        match command:
            case Send():
                self._limit_subscriptions(command.conversation)
                accepted = await self._hub.send(self._principal, command)
                self._await_ack(command, accepted)
            case Subscribe():
                await self._subscribe(command)
            case Unsubscribe():
                self._drop(command.conversation)
                self._reply(Ack(id=command.id, conversation=command.conversation))
            case Hello():
                self._reply(Ack(id=command.id))
            case _:
                self._acknowledge(command, await self._hub.submit(self._principal, command))

    async def _subscribe(self, command: Subscribe) -> None:
        conversation = command.conversation
        self._limit_subscriptions(conversation)
        follower, head = await self._hub.follow(
            self._principal,
            conversation,
            after=command.after,
            epoch=command.epoch,
            wake=lambda: self._wake(conversation),
            last=command.last,
        )
        self._drop(conversation)
        subscription = self._subscriptions[conversation] = _Subscription()
        self._reply(Ack(id=command.id, head=head, epoch=follower.epoch, after=follower.after))
        self._activate(subscription, follower)

    def _acknowledge(self, command: Command, receipt: Receipt) -> None:
        """The ack goes out when it may; later commands do not wait for it."""
        durable = receipt.durable
        if durable is None:
            self._reply(receipt.ack)
            return

        async def ack() -> None:
            try:
                await durable
            except Rejected as rejected:
                self._send(reject(command.id, rejected))
            else:
                self._reply(receipt.ack)

        self._spawn(ack())

    def _await_ack(self, command: Send, accepted: Accepted) -> None:
        """The subscription takes its place now, in arrival order; it begins with the ack."""
        conversation = accepted.ack.conversation or ""
        lasts = command.follow != "turn"
        subscription = None
        if conversation not in self._subscriptions:
            subscription = _Subscription(after=accepted.ack.after or 0, lasts=lasts)
            self._subscriptions[conversation] = subscription
        self._subscriptions[conversation].extend(accepted, lasts=lasts)

        async def ack() -> None:
            try:
                # Shielded: others wait for it too, after this connection is gone.
                await asyncio.shield(accepted.durable)
            except Rejected as refused:
                current = self._subscriptions.get(conversation)
                if current is not None and (
                    current is subscription or current.ends_without(accepted.ack.turn or "")
                ):
                    self._drop(conversation)
                self._send(reject(command.id, refused))
                return
            self._reply(accepted.ack.model_copy(update={"id": command.id}))
            if subscription is not None and subscription is self._subscriptions.get(conversation):
                follower = accepted.follow(lambda: self._wake(conversation))
                self._activate(subscription, follower)

        self._spawn(ack())

    def _spawn(self, ack: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(ack, name="ws ack")
        self._acks.add(task)
        task.add_done_callback(self._acks.discard)

    def _activate(self, subscription: _Subscription, follower: Follower) -> None:
        subscription.follower = follower
        if follower.reset is not None:
            self._reply(follower.reset)
        self._wake(follower.conversation)

    def _drop(self, conversation: str) -> None:
        subscription = self._subscriptions.pop(conversation, None)
        if subscription is not None and subscription.follower is not None:
            subscription.follower.close()

    def _limit_subscriptions(self, conversation: str | None) -> None:
        many = len(self._subscriptions) >= self._limits.max_subscriptions
        if many and conversation not in self._subscriptions:
            raise Rejected(Code.TOO_MANY, "too many subscriptions on this connection")

    # Writing

    def _reply(self, reply: BaseModel) -> None:
        self._send(encode(reply))

    def _send(self, text: str) -> None:
        self._replies.append(text)
        self._ready.set()

    def _wake(self, conversation: str) -> None:
        self._woken[conversation] = None
        self._ready.set()

    async def _write(self) -> None:
        """Replies first, then one read of each conversation that has news, in turn."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._replies or self._woken:
                await self._out.put(self._replies)
                if not self._woken:
                    break
                conversation = next(iter(self._woken))
                del self._woken[conversation]
                subscription = self._subscriptions.get(conversation)
                if subscription is not None and subscription.follower is not None:
                    await self._write_events(subscription, subscription.follower)

    async def _write_events(self, subscription: _Subscription, follower: Follower) -> None:
        conversation = follower.conversation
        frames, texts = deque(await follower.read()), deque[str]()
        while frames:
            frame = frames.popleft()
            texts.append(frame.text)
            if frames and not subscription.may_end_with(frame):
                continue
            await self._out.put(texts)
            if subscription.ends_with(frame):
                if self._subscriptions.get(conversation) is subscription:
                    self._drop(conversation)
                return
        # Ended or replaced meanwhile: the ack of that is queued and goes out after these events.
        if self._subscriptions.get(conversation) is not subscription:
            return
        if follower.closed is not None:
            self._drop(conversation)
            self._reply(follower.closed)
        elif follower.is_behind:
            self._woken[conversation] = None

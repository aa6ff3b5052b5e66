"""The WebSocket transport: frames in, commands to the core; events and replies out as frames.

One task always receives (an unread socket blocks pongs), one handles commands in their order, one
writes. Nothing here decides anything.
"""

import asyncio
import logging
import time
from collections import deque

from pydantic import BaseModel
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from turnwire_protocol import (
    PROTOCOL,
    Ack,
    BadCommand,
    BadFrame,
    CloseCode,
    Code,
    Command,
    GoingAway,
    Hello,
    Ping,
    Pong,
    Reject,
    Send,
    Subscribe,
    Unsubscribe,
    Welcome,
    encode,
    is_retryable,
    parse_command,
)
from turnwire_protocol import (
    Limits as WelcomeLimits,
)
from turnwire_server.core.conversation import Accepted
from turnwire_server.core.conversations import Conversations
from turnwire_server.core.follower import Follower
from turnwire_server.core.limits import Bucket, Limits
from turnwire_server.errors import Refused
from turnwire_server.transports.access import Access

__all__ = ["Connection"]

logger = logging.getLogger(__name__)

_HELLO_BYTES = 4096
_MAX_WAITING = 128
"""Commands received and not yet handled; beyond, they are rejected."""


class _Closing(Exception):
    """The connection is to be closed by us."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class _Subscription:
    """A follower's place on this connection. Dormant until its ack is queued."""

    def __init__(self) -> None:
        self.follower: Follower | None = None


class Connection:
    """One socket, from the handshake to its close."""

    def __init__(
        self,
        socket: WebSocket,
        *,
        access: Access,
        conversations: Conversations,
        limits: Limits,
        models: list[str],
    ) -> None:
        self._socket = socket
        self._access = access
        self._conversations = conversations
        self._limits = limits
        self._models = models
        self._principal = ""
        self._commands: asyncio.Queue[Command] = asyncio.Queue(_MAX_WAITING)
        self._bucket = Bucket(limits.max_commands_per_second, time.monotonic())
        self._replies: deque[str] = deque()
        self._subscriptions: dict[str, _Subscription] = {}
        self._woken: dict[str, None] = {}
        """Conversations with something to read, in the order they were woken."""
        self._ready = asyncio.Event()
        self._acks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve the socket until it closes. Never raises."""
        try:
            if not await self._handshake():
                return
            tasks = [
                asyncio.create_task(work)
                for work in (self._receive(), self._handle(), self._write())
            ]
            done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in (*pending, *self._acks):
                task.cancel()
            await asyncio.gather(*pending, *self._acks, return_exceptions=True)
            for task in done:
                task.result()
        except _Closing as closing:
            await self._close(closing.code, closing.reason)
        except WebSocketDisconnect:
            pass
        except Exception:
            # Boundary: the root of a connection.
            logger.exception("connection failed")
            await self._close(CloseCode.INTERNAL, "internal error")
        finally:
            for subscription in self._subscriptions.values():
                if subscription.follower is not None:
                    subscription.follower.close()

    def going_away(self, reconnect_after_seconds: float) -> None:
        """The server drains: tell the client."""
        self._reply(GoingAway(reconnect_after_seconds=reconnect_after_seconds))

    # Handshake

    async def _handshake(self) -> bool:
        """Accept, or refuse with an HTTP status; then find out who it is."""
        socket = self._socket
        try:
            self._access.check_host(socket)
            self._access.check_origin(socket)
        except Refused as refused:
            await socket.send_denial_response(Response(refused.message, status_code=403))
            return False
        principal = await self._access.principal(socket)
        asked = socket.scope.get("subprotocols", [])
        await socket.accept(subprotocol=PROTOCOL if PROTOCOL in asked else None)
        if asked and PROTOCOL not in asked:
            raise _Closing(CloseCode.VIOLATION, f"the subprotocol is {PROTOCOL}")
        if principal is None:
            principal = await self._hello()
        self._principal = principal
        limits = WelcomeLimits(
            max_frame_bytes=self._limits.max_frame_bytes,
            max_subscriptions=self._limits.max_subscriptions,
            max_running_turns=self._limits.max_running_turns,
            max_commands_per_second=self._limits.max_commands_per_second,
        )
        self._reply(
            Welcome(
                limits=limits,
                models=self._models,
                heartbeat_seconds=self._limits.heartbeat_seconds,
            )
        )
        return True

    async def _hello(self) -> str:
        """Wait for a valid `hello`; other commands are rejected, without end they are not."""
        try:
            async with asyncio.timeout(self._limits.hello_timeout_seconds):
                while True:
                    text = await self._frame(_HELLO_BYTES)
                    try:
                        command = parse_command(text)
                    except BadCommand as error:
                        await self._socket.send_text(_reject_bad(error))
                        continue
                    except BadFrame as error:
                        raise _Closing(CloseCode.VIOLATION, str(error)) from error
                    if not isinstance(command, Hello):
                        refused = Refused(Code.UNAUTHORIZED, "send hello first")
                        await self._socket.send_text(_reject(command.id, refused))
                        continue
                    principal = await self._access.principal_of_token(self._socket, command.token)
                    if principal is None:
                        raise _Closing(CloseCode.UNAUTHORIZED, "the token is not valid")
                    return principal
        except TimeoutError:
            raise _Closing(CloseCode.UNAUTHORIZED, "no hello in time") from None

    # Receiving

    async def _frame(self, max_bytes: int) -> str:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"], message.get("reason"))
        text = message.get("text")
        if not isinstance(text, str):
            raise _Closing(CloseCode.VIOLATION, "binary frames are not part of the protocol")
        if len(text) > max_bytes or len(text.encode()) > max_bytes:
            raise _Closing(CloseCode.TOO_LARGE, f"frames are at most {max_bytes} bytes")
        return text

    async def _receive(self) -> None:
        while True:
            text = await self._frame(self._limits.max_frame_bytes)
            try:
                command = parse_command(text)
            except BadCommand as error:
                self._send(_reject_bad(error))
                continue
            except BadFrame as error:
                raise _Closing(CloseCode.VIOLATION, str(error)) from error
            if not self._bucket.take(time.monotonic()) or self._commands.full():
                refused = Refused(
                    Code.TOO_MANY, "too many commands at once", retry_after_seconds=1.0
                )
                self._send(_reject(command.id, refused))
                if len(self._replies) > 10 * _MAX_WAITING:
                    raise _Closing(CloseCode.TOO_SLOW, "too many commands, and replies unread")
            elif isinstance(command, Ping):
                self._reply(Pong(id=command.id))
            else:
                self._commands.put_nowait(command)

    # Commands

    async def _handle(self) -> None:
        while True:
            command = await self._commands.get()
            try:
                await self._take(command)
            except Refused as refused:
                self._send(_reject(command.id, refused))

    async def _take(self, command: Command) -> None:
        match command:
            case Send():
                self._limit_subscriptions(command.conversation)
                accepted = await self._conversations.send(self._principal, command)
                self._await_ack(command, accepted)
            case Subscribe():
                await self._subscribe(command)
            case Unsubscribe():
                self._drop(command.conversation)
                self._reply(Ack(id=command.id, conversation=command.conversation))
            case Hello():
                self._reply(Ack(id=command.id))
            case _:
                self._reply(await self._conversations.submit(self._principal, command))

    async def _subscribe(self, command: Subscribe) -> None:
        conversation = command.conversation
        self._limit_subscriptions(conversation)
        follower, head = await self._conversations.follow(
            self._principal,
            conversation,
            after=command.after,
            epoch=command.epoch,
            wake=lambda: self._wake(conversation),
        )
        self._drop(conversation)
        subscription = self._subscriptions[conversation] = _Subscription()
        self._reply(Ack(id=command.id, head=head, epoch=follower.epoch, after=follower.after))
        self._activate(subscription, follower)

    def _await_ack(self, command: Send, accepted: Accepted) -> None:
        """The subscription takes its place now, in arrival order; it begins with the ack."""
        conversation = accepted.ack.conversation or ""
        subscription = None
        if conversation not in self._subscriptions:
            subscription = self._subscriptions[conversation] = _Subscription()

        async def ack() -> None:
            try:
                await accepted.durable
            except Refused as refused:
                if subscription is not None and subscription is self._subscriptions.get(
                    conversation
                ):
                    del self._subscriptions[conversation]
                self._send(_reject(command.id, refused))
                return
            self._reply(accepted.ack.model_copy(update={"id": command.id}))
            if subscription is not None and subscription is self._subscriptions.get(conversation):
                follower = accepted.follow(lambda: self._wake(conversation))
                self._activate(subscription, follower)

        task = asyncio.create_task(ack(), name="ws ack")
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
            raise Refused(Code.TOO_MANY, "too many subscriptions on this connection")

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
        send = self._socket.send_text
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._replies or self._woken:
                while self._replies:
                    await send(self._replies.popleft())
                if not self._woken:
                    break
                conversation = next(iter(self._woken))
                del self._woken[conversation]
                subscription = self._subscriptions.get(conversation)
                follower = subscription.follower if subscription else None
                if follower is None:
                    continue
                for frame in await follower.read():
                    # An unsubscribe that was acked meanwhile ends it here.
                    if self._subscriptions.get(conversation) is not subscription:
                        break
                    await send(frame.text)
                if follower.closed is not None:
                    self._drop(conversation)
                    self._reply(follower.closed)
                elif follower.is_behind:
                    self._woken[conversation] = None

    async def _close(self, code: CloseCode, reason: str) -> None:
        # What was said before the close is still worth sending, but not worth waiting for.
        try:
            async with asyncio.timeout(1):
                while self._replies:
                    await self._socket.send_text(self._replies.popleft())
                await self._socket.close(code, reason)
        except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
            logger.debug("close %d was not delivered", code)


def _reject(command_id: str | None, refused: Refused) -> str:
    return encode(
        Reject(
            id=command_id,
            code=refused.code,
            message=refused.message,
            retryable=refused.retryable,
            retry_after_seconds=refused.retry_after_seconds,
        )
    )


def _reject_bad(error: BadCommand) -> str:
    code = Code.BAD_COMMAND
    reject = Reject(
        id=error.command_id, code=code, message=str(error), retryable=is_retryable(code)
    )
    return encode(reject)

"""Finds or opens conversations; the port that every transport talks to."""

import asyncio
import hashlib
import secrets
from collections.abc import Callable

from turnwire_protocol import Ack, Cancel, Code, Command, Decide, SendBody, ToolOutput
from turnwire_server.core.committer import Committer
from turnwire_server.core.conversation import Accepted, Conversation
from turnwire_server.core.follower import Follower
from turnwire_server.core.limits import Limits
from turnwire_server.core.turn import Services
from turnwire_server.errors import Refused
from turnwire_server.store.port import Head, Store

__all__ = ["Conversations"]

_MAX_IDLE = 1000


class Conversations:
    """All conversations of this process. Somebody else's looks like an unknown one."""

    def __init__(self, store: Store, services: Services, limits: Limits) -> None:
        self._store = store
        self._services = services
        self._limits = limits
        self._committer = Committer(store)
        self._open: dict[str, asyncio.Task[Conversation]] = {}
        self.is_draining = False

    async def start(self) -> None:
        """Open the store and begin to commit."""
        await self._store.open()
        self._committer.start()

    async def close(self) -> None:
        """End what runs, store what waits."""
        for conversation in self._live():
            if conversation.running is not None:
                conversation.running.end("interrupted")
        await self._committer.close()
        await self._store.close()

    async def send(self, principal: str, send: SendBody) -> Accepted:
        """A user's message, into its conversation or a new one.

        Raises:
            Refused: it took no effect.
        """
        if self.is_draining:
            raise Refused(Code.DRAINING, "the server is going away", retry_after_seconds=1.0)
        if send.conversation is not None:
            conversation = await self._find(principal, send.conversation)
        else:
            conversation = await self._create(principal, send.key)
        running = sum(live.running is not None and live.owner == principal for live in self._live())
        if running >= self._limits.max_running_turns and conversation.running is None:
            raise Refused(Code.TOO_MANY, f"{running} turns of yours are running already")
        return conversation.send(principal, send)

    async def submit(self, principal: str, command: Command) -> Ack:
        """Any command that is answered by a plain ack.

        Raises:
            Refused: it took no effect.
        """
        match command:
            case Cancel():
                conversation = await self._find(principal, command.conversation)
                ack = conversation.cancel(command)
                return ack.model_copy(update={"id": command.id})
            case Decide() | ToolOutput():
                await self._find(principal, command.conversation)
                raise Refused(Code.UNSUPPORTED, "type: not supported by this server yet")
            case _:
                raise Refused(Code.BAD_COMMAND, "type: not a command to a conversation")

    async def follow(
        self,
        principal: str,
        conversation: str,
        *,
        after: int,
        epoch: str | None,
        wake: Callable[[], None],
    ) -> tuple[Follower, int]:
        """A cursor over the conversation, and the head it has now.

        Raises:
            Refused: unknown conversation.
        """
        found = await self._find(principal, conversation)
        return found.follow(after, epoch, wake), found.head

    async def list_heads(self, principal: str, *, limit: int, before: str | None) -> list[Head]:
        """The principal's conversations, newest first."""
        return await self._store.list_heads(principal, limit=limit, before=before)

    async def delete(self, principal: str, conversation: str) -> None:
        """Cancel what runs, end all subscriptions, forget the log.

        Raises:
            Refused: unknown conversation.
        """
        found = await self._find(principal, conversation)
        found.close(Code.UNKNOWN_CONVERSATION)
        self._open.pop(conversation, None)
        await self._store.delete(conversation)

    # Opening

    def _live(self) -> list[Conversation]:
        return [
            task.result()
            for task in self._open.values()
            if task.done() and not task.cancelled() and task.exception() is None
        ]

    async def _find(self, principal: str, id: str) -> Conversation:
        task = self._open.get(id)
        if task is None:
            head = await self._store.head(id)
            if head is None or head.owner != principal:
                raise _unknown()
            task = self._opening(id, principal)
        conversation = await asyncio.shield(task)
        if conversation.owner != principal:
            raise _unknown()
        return conversation

    async def _create(self, principal: str, key: str | None) -> Conversation:
        """A new conversation; with a key its id derives from it, so that a repetition finds it."""
        if key is None:
            id = f"c_{secrets.token_hex(12)}"
        else:
            digest = hashlib.sha256(f"{principal}\0{key}".encode()).hexdigest()
            id = f"c_{digest[:24]}"
        return await asyncio.shield(self._opening(id, principal))

    def _opening(self, id: str, principal: str) -> asyncio.Task[Conversation]:
        """Single-flight: whoever comes while it opens waits for the same."""
        task = self._open.get(id)
        if task is None:
            self._evict()
            task = asyncio.create_task(self._load(id, principal), name=f"open {id}")
            self._open[id] = task
            task.add_done_callback(lambda done: self._opened(id, done))
        return task

    def _opened(self, id: str, task: asyncio.Task[Conversation]) -> None:
        if task.cancelled() or task.exception() is not None:
            self._open.pop(id, None)

    async def _load(self, id: str, principal: str) -> Conversation:
        fence = await self._store.claim(id, principal, secrets.token_hex(6))
        conversation = Conversation(
            fence, store=self._store, committer=self._committer, services=self._services
        )
        await conversation.load()
        return conversation

    def _evict(self) -> None:
        """Let go of the oldest idle ones; their logs are in the store."""
        if len(self._open) < _MAX_IDLE:
            return
        idle = [live.conversation for live in self._live() if live.is_idle]
        for id in idle[: _MAX_IDLE // 10]:
            del self._open[id]


def _unknown() -> Refused:
    return Refused(Code.UNKNOWN_CONVERSATION, "conversation: no such conversation")

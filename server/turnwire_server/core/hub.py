"""The hub: finds or opens conversations. It is the port that every transport talks to.

A transport takes a principal and a command or a cursor from its peer, calls `send`, `submit` or
`follow`, and writes what the follower gives. Nothing here knows a wire.
"""

import asyncio
import contextlib
import hashlib
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from turnwire_protocol import Ack, Cancel, Code, Command, Decide, Progress, SendBody, ToolOutput
from turnwire_server.core.blobs.housekeeper import Housekeeper
from turnwire_server.core.conversation import Accepted, Conversation, PastTurn, Receipt
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.core.log.codec import join
from turnwire_server.core.log.committer import Committer, Trouble
from turnwire_server.core.log.follower import Follower
from turnwire_server.core.turn.options import resolve
from turnwire_server.core.turn.turn import Services
from turnwire_server.core.turn_index import Record
from turnwire_server.errors import Rejected, StoreError, Unreadable
from turnwire_server.store.port import Head, Store

__all__ = ["Hub"]

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MAX_OPEN = 1000
"""Conversations; beyond, idle ones are let go."""
_HANG_UP_SECONDS = 2.0
_COMPACTION_DELAY_SECONDS = 1.0
_ANSWER_SECONDS = 10.0
"""How long a command waits for what it wants to know of the store."""


class Hub:
    """All conversations of this process. Somebody else's looks like an unknown one."""

    def __init__(
        self,
        store: Store,
        services: Services,
        limits: ServiceLimits,
        *,
        max_open: int = _MAX_OPEN,
    ) -> None:
        self._store = store
        self._services = services
        self._limits = limits
        self._max_open = max_open
        self._committer = Committer(store)
        self._housekeeper = Housekeeper(services.blobs)
        self._open: dict[str, asyncio.Task[Conversation]] = {}
        self._entering: Counter[str] = Counter()
        """Conversations that somebody waits for, to use them: how many do."""
        self._deleting: dict[str, asyncio.Event] = {}
        """Set once the conversation is gone, or could not be deleted."""
        self._quiet = asyncio.Event()
        self._finished: dict[str, int] = {}
        """Conversations whose rows after a seq may be compacted."""
        self._compactor: asyncio.Task[None] | None = None
        self._busy: dict[str, set[Conversation]] = {}
        """Conversations of each principal that may have an unfinished turn. May hold stale ones
        after a message was withdrawn; `send` removes them."""
        self._is_silent = False
        """Whether the store left the last question without an answer: said in the log once."""
        self._unreadable: set[str] = set()
        """Conversations of which the log has said that they cannot be read."""
        self.is_draining = False
        self._has_hung_up = False

    async def start(self) -> None:
        """Open the store, end what an earlier process left unfinished, begin to commit.

        Raises:
            SettingsError, StoreError: the store cannot be opened, or not read.
        """
        await self._store.open()
        self._committer.start()
        self._housekeeper.start()
        for head in await self._store.list_open():
            try:
                await self._opening(head.conversation, head.owner)
            except StoreError as error:
                # One bad log keeps nobody else from being served. It is refused to who asks.
                self._name_unreadable(head.conversation, error)
                continue
            logger.info("recovered conversation=%s", head.conversation)

    async def drain(self, grace_seconds: float) -> None:
        """Begin nothing new, let what runs finish within the grace time, then end it."""
        self.is_draining = True
        for conversation in self._live():
            conversation.drain()
        try:
            async with asyncio.timeout(grace_seconds):
                while any(conversation.is_open for conversation in self._live()):
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            for conversation in self._live():
                conversation.interrupt()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANG_UP_SECONDS):
                await asyncio.gather(*(conversation.hang_up() for conversation in self._live()))
        # Also those whose end cannot be stored, and those who come now: a server waits for them.
        self._has_hung_up = True
        for conversation in self._live():
            conversation.end_streams()

    @property
    def unfinished(self) -> int:
        """How many conversations have a turn that runs or waits."""
        return sum(conversation.is_busy for conversation in self._live())

    async def close(self) -> None:
        """End what runs, store what waits."""
        for conversation in self._live():
            conversation.interrupt()
        if self._compactor is not None:
            self._compactor.cancel()
            await asyncio.gather(self._compactor, return_exceptions=True)
        await self._committer.close()
        await self._housekeeper.close()
        await self._store.close()

    @property
    def trouble(self) -> Trouble | None:
        """Since when and why the store cannot be written, if it cannot."""
        return self._committer.trouble

    # Commands

    async def send(
        self,
        principal: str,
        send: SendBody,
        *,
        name: str | None = None,
        past: Sequence[PastTurn] = (),
    ) -> Accepted:
        """A user's message, into its conversation or a new one.

        With `name`, which another front end gave its conversation, into the one of that name, see
        `named`; `send.conversation` must not be given then. `past` is what was said in it before:
        a new conversation begins with these turns, one that has begun has its own.

        Raises:
            Rejected: it took no effect.
        """
        if self.is_draining:
            raise Rejected(Code.DRAINING, "the server is going away", retry_after_seconds=1.0)
        try:
            await self._check_blobs(principal, send)
            if name is not None:
                conversation = await self._create(await self.named(principal, name), principal)
            elif send.conversation is not None:
                conversation = await self._find(principal, send.conversation)
            else:
                conversation = await self._create(self.id_of(principal, send), principal)
        except Rejected as rejected:
            if rejected.code is Code.STORAGE_UNAVAILABLE:
                # What is wrong with the message itself needs no store to be said.
                resolve(send, self._services.policy, tools=self._services.toolset.names)
            raise
        busy = {other for other in self._busy.pop(principal, ()) if other.is_busy}
        if busy:
            self._busy[principal] = busy
        if len(busy) >= self._limits.max_running_turns and conversation not in busy:
            raise Rejected(Code.TOO_MANY, f"{len(busy)} turns of yours are running already")
        accepted = conversation.send(principal, send, past)
        # A repeated key has started nothing; and what is refused comes here not at all.
        if conversation.is_busy:
            self._busy.setdefault(principal, set()).add(conversation)
        return accepted

    async def _check_blobs(self, principal: str, send: SendBody) -> None:
        try:
            await self._services.blobs.check(principal, send.content)
        except Rejected as refused:
            # A message that was accepted stays so, though its blobs may have been deleted since.
            if refused.code is not Code.BAD_COMMAND or not await self._has_accepted(
                principal, send
            ):
                raise

    async def _has_accepted(self, principal: str, send: SendBody) -> bool:
        if send.key is None:
            return False
        try:
            conversation = await self._find(principal, self.id_of(principal, send))
        except Rejected:
            return False
        return conversation.has_key(send.key)

    def id_of(self, principal: str, send: SendBody) -> str:
        """The conversation of a message. One that begins a conversation and has a key gets an id
        that derives from it, so that a repetition finds it; without a key, a new one each time."""
        if send.conversation is not None:
            return send.conversation
        if send.key is None:
            return f"c_{secrets.token_hex(12)}"
        return _derived(principal, send.key)

    async def named(self, principal: str, name: str) -> str:
        """The id of the conversation that another front end calls `name`, begun or not.

        One of the principal's own, where `name` is its id; otherwise the id derives from the name.
        """
        with contextlib.suppress(Rejected):
            return (await self._find(principal, name)).conversation
        return _derived(principal, "name", name)

    async def turns(self, principal: str, conversation: str) -> Sequence[Record]:
        """All turns of a conversation, in their order, void ones too; not to be changed.

        Raises:
            Rejected: unknown conversation.
        """
        return (await self._find(principal, conversation)).turns

    async def submit(self, principal: str, command: Command) -> Receipt:
        """Any command that is answered by a plain ack.

        Raises:
            Rejected: it took no effect.
        """
        match command:
            case Cancel():
                conversation = await self._find(principal, command.conversation)
                ack = conversation.cancel(command)
                return Receipt(ack.model_copy(update={"id": command.id}))
            case Decide() | ToolOutput() | Progress():
                conversation = await self._find(principal, command.conversation)
                if isinstance(command, ToolOutput):
                    await self._services.blobs.check(principal, command.content)
                return Receipt(Ack(id=command.id), conversation.answer(command))
            case _:
                raise Rejected(Code.BAD_COMMAND, "type: not a command to a conversation")

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
            Rejected: unknown conversation.
        """
        found = await self._find(principal, conversation)
        return found.follow(after, epoch, wake), found.head

    async def list_heads(self, principal: str, *, limit: int, before: str | None) -> list[Head]:
        """The principal's conversations, newest first."""
        return await self._asked(
            self._store.list_heads(principal, limit=limit, before=before),
            within_seconds=_ANSWER_SECONDS,
        )

    async def head(self, principal: str, conversation: str) -> Head:
        """What is known of the conversation without reading it.

        Raises:
            Rejected: unknown conversation.
        """
        head = await self._asked(self._store.head(conversation), within_seconds=_ANSWER_SECONDS)
        if head is None or head.owner != principal:
            raise _unknown()
        return head

    async def delete(self, principal: str, conversation: str) -> None:
        """Cancel what runs, end all subscriptions, forget the log.

        Raises:
            Rejected: unknown conversation.
        """
        try:
            found = await self._find(principal, conversation)
        except Rejected as rejected:
            # What cannot be read can still be got rid of.
            if not isinstance(rejected.__cause__, Unreadable):
                raise
        else:
            found.close(Code.UNKNOWN_CONVERSATION)
        self._open.pop(conversation, None)
        self._finished.pop(conversation, None)
        self._unreadable.discard(conversation)
        # Whoever asks meanwhile must not open what is about to go.
        over = self._deleting[conversation] = asyncio.Event()
        try:
            await self._asked(self._store.delete(conversation))
        finally:
            del self._deleting[conversation]
            over.set()
        self._housekeeper.wake()  # Nothing else may name its blobs.

    async def rename(self, principal: str, conversation: str, title: str) -> None:
        """Give the conversation another title.

        Raises:
            Rejected: unknown conversation, or the store cannot be written.
        """
        await self._find(principal, conversation)
        await self._asked(self._store.rename(conversation, title))

    # Opening

    def _live(self) -> list[Conversation]:
        return [
            task.result()
            for task in self._open.values()
            if task.done() and not task.cancelled() and task.exception() is None
        ]

    async def _find(self, principal: str, id: str) -> Conversation:
        while id not in self._deleting:
            if self._opened(id) is None:
                await self.head(principal, id)
                if id in self._deleting:
                    break
            conversation = await self._enter(id, principal)
            if conversation is None:
                continue
            # An id that was derived from a key, whose send was refused, has no log.
            if conversation.owner != principal or conversation.is_empty:
                break
            return conversation
        raise _unknown()

    async def _create(self, id: str, principal: str) -> Conversation:
        """The conversation, begun if there is none."""
        while True:
            # What is about to go must not be opened; once it is gone, its key begins another one.
            while (deleting := self._deleting.get(id)) is not None:
                await deleting.wait()
            conversation = await self._enter(id, principal)
            if conversation is not None:
                return conversation

    async def _enter(self, id: str, principal: str) -> Conversation | None:
        """The conversation, opened if need be; None if it has been deleted or lost meanwhile.

        Between its opening and the moment at which who waited for it goes on, others have their
        turn. It must not be evicted then: who took it would read and write beside all others.
        """
        task = self._opening(id, principal)
        self._entering[id] += 1
        try:
            conversation = await self._asked(asyncio.shield(task))
        finally:
            self._entering[id] -= 1
            if not self._entering[id]:
                del self._entering[id]
        return conversation if self._opened(id) is task else None

    def _opening(self, id: str, principal: str) -> asyncio.Task[Conversation]:
        """Single-flight: whoever comes while it opens waits for the same."""
        task = self._opened(id)
        if task is None:
            self._evict()
            task = asyncio.create_task(self._load(id, principal), name=f"open {id}")
            self._open[id] = task
            # One that fails is let go of at once: its id may have been made up for it.
            task.add_done_callback(lambda task: self._opened(id))
        return task

    def _opened(self, id: str) -> asyncio.Task[Conversation] | None:
        """The conversation, open or opening; one that failed to open or is over is let go."""
        task = self._open.get(id)
        if task is not None and task.done():
            failed = task.cancelled() or task.exception() is not None
            if failed or task.result().is_closed:
                del self._open[id]
                return None
        return task

    async def _load(self, id: str, principal: str) -> Conversation:
        fence = await self._store.claim(id, principal, secrets.token_hex(6))
        conversation = Conversation(
            fence,
            store=self._store,
            committer=self._committer,
            services=self._services,
            on_done=self._turn_done,
        )
        try:
            await conversation.load()
        except Unreadable as error:
            self._name_unreadable(id, error)
            raise
        if self.is_draining:
            conversation.drain()
        if self._has_hung_up:
            conversation.end_streams()
        return conversation

    def _name_unreadable(self, id: str, error: StoreError) -> None:
        """In the log, once: it is asked for again and again."""
        if id not in self._unreadable:
            self._unreadable.add(id)
            logger.error("conversation=%s cannot be read and is refused: %s", id, error)

    def _evict(self) -> None:
        """Let go of the oldest idle ones, a tenth at once; their logs are in the store."""
        if len(self._open) < self._max_open:
            return
        live = [one for one in self._live() if one.conversation not in self._entering]
        idle = [one.conversation for one in live if one.is_idle]
        for id in idle[: max(self._max_open // 10, 1)]:
            del self._open[id]

    async def _asked(self, answer: Awaitable[T], *, within_seconds: float | None = None) -> T:
        """What the store answers; its trouble refuses the command.

        `within_seconds`: so does its silence, where a question has no effect and a short answer.
        """
        try:
            async with asyncio.timeout(within_seconds):
                found = await answer
        except StoreError as error:
            raise Rejected.because_of_the_store(error) from error
        except TimeoutError as error:
            if not self._is_silent:
                logger.warning("the store hangs: a read has no answer after %g s", _ANSWER_SECONDS)
            self._is_silent = True
            raise Rejected.because_of_the_store() from error
        self._is_silent = False
        return found

    def _rest(self, id: str) -> None:
        """Forget that it is busy, if it is not any more."""
        task = self._open.get(id)
        if task is None or not task.done() or task.exception() is not None:
            return
        conversation = task.result()
        busy = self._busy.get(conversation.owner, set())
        if not conversation.is_busy:
            busy.discard(conversation)
        if not busy:
            self._busy.pop(conversation.owner, None)

    # Compaction

    def _turn_done(self, conversation: str, after: int) -> None:
        self._quiet.set()
        self._rest(conversation)
        self._finished.setdefault(conversation, after)
        if self._compactor is None or self._compactor.done():
            self._compactor = asyncio.create_task(self._compact(), name="compactor")

    async def _compact(self) -> None:
        """Join the rows of finished turns, one conversation after another, in the background."""
        while self._finished:
            await asyncio.sleep(_COMPACTION_DELAY_SECONDS)
            finished, self._finished = self._finished, {}
            for id, after in finished.items():
                try:
                    await self._store.compact(id, join, after=after)
                except Unreadable as error:
                    self._name_unreadable(id, error)
                except StoreError as error:
                    logger.warning("compaction failed, to be tried again: %s", error)
                    self._finished.setdefault(id, after)
                except Exception:
                    # Boundary: one log that cannot be read must not hold up all others.
                    logger.exception("compaction of conversation=%s failed", id)


def _derived(principal: str, *names: str) -> str:
    digest = hashlib.sha256("\0".join((principal, *names)).encode()).hexdigest()
    return f"c_{digest[:24]}"


def _unknown() -> Rejected:
    return Rejected(Code.UNKNOWN_CONVERSATION, "conversation: no such conversation")

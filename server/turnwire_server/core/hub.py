"""The hub: the port that every transport talks to.

A transport takes a principal and a command or a cursor from its peer, calls `send`, `submit` or
`follow`, and writes what the follower gives. Nothing here knows a wire.
"""

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence

from turnwire_protocol import Ack, Cancel, Code, Command, Decide, Progress, SendBody, ToolOutput
from turnwire_server.core.blobs.housekeeper import Housekeeper
from turnwire_server.core.compactor import Compactor
from turnwire_server.core.conversation import Conversation
from turnwire_server.core.errands import Errand, Errands, Outcome
from turnwire_server.core.hidden import Hidden
from turnwire_server.core.inquiry import Inquiries
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.core.log.committer import Committer
from turnwire_server.core.log.follower import Follower
from turnwire_server.core.made_files import open_made
from turnwire_server.core.open_conversations import OpenConversations
from turnwire_server.core.orphans import Orphans
from turnwire_server.core.past import PastTurn, checked
from turnwire_server.core.quotas import Quotas
from turnwire_server.core.receipts import Accepted, Receipt
from turnwire_server.core.sends import Destination, Sends
from turnwire_server.core.telemetry import Readings
from turnwire_server.core.titles import Titles
from turnwire_server.core.turn.services import Services
from turnwire_server.core.turn_index import Page, Record
from turnwire_server.errors import Held, Rejected
from turnwire_server.model.port import ProviderFile
from turnwire_server.store.nodes import Watcher
from turnwire_server.store.port import HIDDEN, Head, Store

__all__ = ["Hub"]

_HANG_UP_SECONDS = 2.0
_IDLE_SECONDS = 300.0
"""How long a conversation stays open that nobody uses, at least."""


class Hub:
    """All conversations of this process. Somebody else's looks like an unknown one."""

    def __init__(
        self,
        store: Store,
        services: Services,
        limits: ServiceLimits,
        *,
        alike: Callable[[], Mapping[str, str]] = dict,
        commit_interval_seconds: float = 0.0,
        max_open: int | None = None,
        idle_seconds: float = _IDLE_SECONDS,
    ) -> None:
        self._store = store
        self._alike = alike
        self._services = services
        self._max_file_bytes = limits.max_blob_bytes
        # One process's own file is quick, and pays for no server beside it.
        interval_seconds = commit_interval_seconds if store.is_shared else 0.0
        self._committer = Committer(store, interval_seconds=interval_seconds)
        self._housekeeper = Housekeeper(services.blobs)
        # Where others share the store, it is asked before anything is begun.
        self._inquiries = Inquiries(doubt=self._committer.doubt) if store.is_shared else Inquiries()
        self._open = OpenConversations(
            store,
            self._committer,
            services,
            self._inquiries,
            on_done=self._turn_done,
            max_open=max_open,
            max_open_bytes=limits.max_open_bytes,
            idle_seconds=idle_seconds,
        )
        self._hidden = Hidden(store, self.delete, keep_seconds=limits.keep_hidden_seconds)
        self._orphans = Orphans(store, recover=self._open.recover, compare=self._open.compare)
        self._compactor = Compactor(store, on_unreadable=self._open.name_unreadable)
        self._quiet = asyncio.Event()
        self._errands = Errands(store.nodes, self._perform)
        self._quotas = Quotas(store, self._inquiries, limits)
        name = services.policy.title_model
        self._titles = (
            None if name is None else Titles(store, services.model, name, services.telemetry)
        )
        self._sends = Sends(
            self._open,
            self._errands,
            services,
            self._quotas,
            is_shared=store.is_shared,
            titles=self._titles,
            on_decided=self._quiet.set,
        )

    async def start(self) -> None:
        """Open the store, end what an earlier process left unfinished, begin to commit.

        Raises:
            SettingsError, StoreError: the store cannot be opened, or not read.
        """
        await self._store.open()
        self._committer.start()
        self._housekeeper.start()
        if self._store.is_shared:
            await self._store.nodes.start(
                Watcher(
                    on_rows=self._open.attendance.on_rows,
                    on_readers=self._open.attendance.on_readers,
                    on_lost=self._open.lost,
                    on_failover=self._orphans.doubt,
                    on_errand=self._errands.answer,
                ),
                self._alike(),
            )
            self._open.attendance.start()
        await self._orphans.start()
        self._hidden.start()

    @property
    def is_draining(self) -> bool:
        """Whether nothing new is begun any more."""
        return self._sends.is_draining

    async def drain(self, grace_seconds: float) -> None:
        """Begin nothing new, let what runs finish within the grace time, then end it."""
        self._sends.drain()
        self._open.drain()
        try:
            async with asyncio.timeout(grace_seconds):
                while self._sends.undecided or any(one.is_busy for one in self._open.all()):
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            for conversation in self._open.all():
                conversation.interrupt()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_HANG_UP_SECONDS):
                await asyncio.gather(*(conversation.hang_up() for conversation in self._open.all()))
        # A server waits for them.
        self._open.end_streams()

    def readings(self) -> Readings:
        """What is here now: for metrics, when somebody looks at them."""
        committer = self._committer
        readings = Readings(
            commits=committer.commits,
            commit_seconds=committer.commit_seconds,
            commit_batches=committer.commit_batches,
            store_failures=committer.failures,
            output_chars=self._services.tally.output_chars,
            merged_events=self._services.tally.merged_events,
            blob_bytes=self._services.blobs.taken_bytes,
        )
        for conversation in self._open.all():
            conversation.add_to(readings)
        return readings

    @property
    def unfinished(self) -> int:
        """How many conversations have a turn that runs or waits."""
        return sum(conversation.is_busy for conversation in self._open.all())

    async def close(self) -> None:
        """End what runs, store what waits."""
        self._open.close()
        await self._orphans.close()
        await self._open.attendance.close()
        for conversation in self._open.all():
            conversation.interrupt()
        if self._titles is not None:
            await self._titles.close()
        await self._compactor.close()
        await self._hidden.close()
        await self._committer.close()
        self._open.give_up()
        await self._services.hooks.close()
        await self._housekeeper.close()
        await self._store.nodes.close()
        await self._store.close()

    @property
    def trouble_since(self) -> str | None:
        """Since when (RFC 3339, UTC) the store cannot be written, if it cannot."""
        if (trouble := self._committer.trouble) is not None:
            return trouble.since
        return self._store.nodes.silent_since

    # Commands

    async def send(
        self,
        principal: str,
        send: SendBody,
        *,
        name: str | None = None,
        hidden: str | None = None,
        past: Sequence[PastTurn] = (),
    ) -> Accepted:
        """A user's message, into its conversation or a new one.

        With `name`, which another front end gave its conversation, into the one of that name, see
        `named`; with `hidden` into the one that `hidden_of` gives. `send.conversation` must not be
        given then. `past` is what was said in it before: a new conversation begins with these
        turns, one that has begun has its own.

        Raises:
            Rejected: it took no effect.
        """

        async def destination() -> Destination:
            if hidden is not None:
                return Destination(self.hidden_of(principal, hidden))
            if name is not None:
                return Destination(await self.named(principal, name))
            is_new = send.conversation is None and send.key is None
            return Destination(self.id_of(principal, send), is_new)

        return await self._sends.send(principal, send, destination, past)

    async def begin(self, principal: str, past: Sequence[PastTurn]) -> str:
        """A new conversation of what was said elsewhere; returns its id once it is stored.

        Raises:
            Rejected: it took no effect; there must be a turn at least.
        """
        turns = checked(past)
        id = f"c_{secrets.token_hex(12)}"
        await self._sends.begin(principal, id, turns)
        return id

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

        Raises:
            Rejected: it cannot be read now.
        """
        try:
            return (await self._open.find(principal, name)).conversation
        except Rejected as refused:
            # One that cannot be read now must not become another one.
            if refused.code is not Code.UNKNOWN_CONVERSATION:
                raise
        return _derived(principal, "name", name)

    @staticmethod
    def hidden_of(principal: str, name: str) -> str:
        """The id of the principal's hidden conversation `name`, begun or not: one that is in no
        list, counts for no quota of conversations, and goes `keep_hidden_seconds` after its last
        change. Otherwise it is like any other."""
        return _derived(principal, "hidden", name, prefix=HIDDEN)

    async def turns(self, principal: str, conversation: str) -> Sequence[Record]:
        """All turns of a conversation, in their order, void ones too; not to be changed.

        Raises:
            Rejected: unknown conversation.
        """
        return (await self._open.find(principal, conversation)).turns

    async def is_resting(self, principal: str, conversation: str) -> bool:
        """Whether all that is unfinished there is a turn at rest: it waits for somebody outside.

        Raises:
            Rejected: unknown conversation.
        """
        return (await self._open.find(principal, conversation)).is_resting

    @property
    def tool_names(self) -> list[str]:
        """Of the server's own tools, as of now."""
        return self._services.toolset.names

    async def submit(self, principal: str, command: Command) -> Receipt:
        """Any command that is answered by a plain ack.

        Raises:
            Rejected: it took no effect.
        """
        if not isinstance(command, Cancel | Decide | ToolOutput | Progress):
            raise Rejected(Code.BAD_COMMAND, "type: not a command to a conversation")
        done = await self._errands.run(
            lambda: self._submit(principal, command),
            lambda: Errand(principal=principal, conversation=command.conversation, command=command),
        )
        return Receipt(done.given_ack) if isinstance(done, Outcome) else done

    async def _submit(
        self, principal: str, command: Cancel | Decide | ToolOutput | Progress
    ) -> Receipt:
        """The command, decided here: its turn runs here, or has nobody who runs it.

        Raises:
            Rejected: it took no effect.
            Held: another node has the conversation.
        """
        conversation = await self._open.find(principal, command.conversation)
        if isinstance(command, ToolOutput):
            await self._services.blobs.check(principal, command.content)
        if conversation.holder is not None:
            raise Held(conversation.holder)
        if isinstance(command, Cancel):
            ack = conversation.cancel(command)
            return Receipt(ack.model_copy(update={"id": command.id}))
        return Receipt(Ack(id=command.id), conversation.answer(command))

    async def _perform(self, errand: Errand) -> Outcome:
        """Do what another node asks, if the conversation is held here; see `Errands`."""
        principal, id = errand.principal, errand.conversation
        if errand.command is not None:
            receipt = await self._submit(principal, errand.command)
            if receipt.durable is not None:
                await receipt.durable
            return Outcome(ack=receipt.ack)
        if errand.send is not None:
            return await self._sends.perform(errand, errand.send)
        await self._open.delete(principal, id)
        return Outcome()

    async def follow(
        self,
        principal: str,
        conversation: str,
        *,
        after: int,
        epoch: str | None,
        wake: Callable[[], None],
        last: int | None = None,
    ) -> tuple[Follower, int]:
        """A cursor over the conversation, and the head it has now.

        With `last`, and from the start, it is where the last so many turns begin.

        Raises:
            Rejected: unknown conversation.
        """
        found = await self._open.find(principal, conversation)
        return found.follow(after, epoch, wake, last=last), found.head

    async def page(
        self,
        principal: str,
        conversation: str,
        *,
        last: int | None,
        before: str | None,
        with_replaced: bool,
    ) -> tuple[Page, Follower]:
        """The last so many turns, or all, of those before that one, and a cursor before them.

        `with_replaced`: and before those in whose place they were sent.

        Raises:
            Rejected: unknown conversation, or turn.
        """
        found = await self._open.find(principal, conversation)
        page = found.page(last, before=before, with_replaced=with_replaced)
        return page, found.follow(page.after, None, _nobody)

    async def open_file(self, principal: str, conversation: str, file: str) -> ProviderFile:
        """A file that a tool of the provider made in this conversation.

        Raises:
            Rejected: unknown conversation, no such file in it, or it cannot be had.
        """
        follower, head = await self.follow(
            principal, conversation, after=0, epoch=None, wake=_nobody
        )
        return await open_made(
            self._services.model,
            follower,
            file,
            head=head,
            max_bytes=self._max_file_bytes,
        )

    async def list_heads(
        self, principal: str, *, limit: int, before: str | None, query: str | None = None
    ) -> list[Head]:
        """The principal's conversations, newest first; with `query`, those that have it in their
        title."""
        listing = self._store.list_heads(principal, limit=limit, before=before, query=query)
        return await self._inquiries.read(listing)

    async def head(self, principal: str, conversation: str) -> Head:
        """What is known of the conversation without reading it.

        Raises:
            Rejected: unknown conversation.
        """
        return await self._open.head(principal, conversation)

    async def delete(self, principal: str, conversation: str) -> None:
        """Cancel what runs, end all subscriptions, forget the log.

        Raises:
            Rejected: unknown conversation.
        """
        await self._errands.run(
            lambda: self._open.delete(principal, conversation),
            lambda: Errand(principal=principal, conversation=conversation),
        )
        self._compactor.forget(conversation)
        self._housekeeper.wake()  # Nothing else may name its blobs.

    async def rename(self, principal: str, conversation: str, title: str) -> None:
        """Give the conversation another title.

        Raises:
            Rejected: unknown conversation, or the store cannot be written.
        """
        await self._open.find(principal, conversation)
        await self._inquiries.done(self._store.rename(conversation, title))

    def _turn_done(self, conversation: Conversation, after: int) -> None:
        self._quiet.set()
        self._quotas.rest(conversation)
        self._compactor.finished(conversation.conversation, after)


def _nobody() -> None:
    """The waker of a follower that is read right away."""


def _derived(principal: str, *names: str, prefix: str = "c_") -> str:
    digest = hashlib.sha256("\0".join((principal, *names)).encode()).hexdigest()
    return f"{prefix}{digest[:24]}"

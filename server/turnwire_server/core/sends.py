"""Sends: what becomes of a user's message, here or at the node that holds its conversation."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from turnwire_protocol import Code, SendBody
from turnwire_server.core.conversation import Conversation
from turnwire_server.core.errands import Errand, Errands, Outcome
from turnwire_server.core.open_conversations import OpenConversations
from turnwire_server.core.past import PastTurn
from turnwire_server.core.quotas import Quotas
from turnwire_server.core.receipts import Accepted
from turnwire_server.core.titles import Titles
from turnwire_server.core.turn.hooks import MessageContext
from turnwire_server.core.turn.options import resolve
from turnwire_server.core.turn.services import Services
from turnwire_server.errors import Held, Rejected
from turnwire_server.store.port import HIDDEN

__all__ = ["Destination", "Sends"]


class Destination(NamedTuple):
    """The conversation that a message goes to."""

    id: str
    is_new: bool = False
    """Whether the id was made up for the message, so that nobody can have used it before."""


class Sends:
    """Of all conversations. `on_decided` is called after each, whatever came of it."""

    def __init__(
        self,
        open: OpenConversations,
        errands: Errands,
        services: Services,
        quotas: Quotas,
        *,
        is_shared: bool,
        titles: Titles | None,
        on_decided: Callable[[], None],
    ) -> None:
        self._open = open
        self._errands = errands
        self._services = services
        self._quotas = quotas
        self._is_shared = is_shared
        self._titles = titles
        self._on_decided = on_decided
        self.is_draining = False
        self.undecided = 0
        """How many are being decided on, for which the store is asked. A drain waits for them: the
        turn that comes of one would not be there yet, and be cut off."""

    def drain(self) -> None:
        """Take no more."""
        self.is_draining = True

    async def send(
        self,
        principal: str,
        send: SendBody,
        destination: Callable[[], Awaitable[Destination]],
        past: Sequence[PastTurn],
    ) -> Accepted:
        """See `Hub.send`; `destination` finds the conversation.

        Raises:
            Rejected: it took no effect.
        """
        try:
            with self._deciding():
                found = await destination()
                if self._services.hooks.admits:
                    await self._admit(principal, send, found.id)
                return await self._sent(principal, send, found, past)
        except Rejected as rejected:
            if rejected.code is Code.STORAGE_UNAVAILABLE:
                # What is wrong with the message itself needs no store to be said.
                resolve(send, self._services.policy, tools=self._services.toolset.names)
                if self._is_shared and send.retract is not None:
                    await self._check_retract(principal, send)
            raise

    async def _admit(self, principal: str, send: SendBody, id: str) -> None:
        """Ask the app's hook, where nothing else refuses it, and unless it was accepted before.

        Raises:
            Rejected: it is not to be accepted.
        """
        resolve(send, self._services.policy, tools=self._services.toolset.names)
        if await self._that_accepted(principal, send, id) is not None:
            return
        await self._services.hooks.admit(
            MessageContext(
                principal=principal,
                conversation=id,
                message=send.content,
                key=send.key,
                state=self._services.hooks.state,
            )
        )

    async def begin(self, principal: str, id: str, past: Sequence[PastTurn]) -> None:
        """Begin a conversation of this new id with what was said elsewhere.

        Raises:
            Rejected: it took no effect.
        """
        with self._deciding():
            for said in past:
                await self._services.blobs.check(principal, said.content)
            standing = await self._quotas.standing(principal, begins=True)
            conversation = await self._open.hold(principal, id, begins=True, is_new=True)
            try:
                self._quotas.check_conversations(principal, conversation, standing)
                durable = conversation.begin(past)
            except Rejected:
                self._open.forget_unused(conversation)
                raise
        await durable

    async def perform(self, errand: Errand, send: SendBody) -> Outcome:
        """The message of a client of another node, into a conversation that is held here.

        Raises:
            Rejected: it took no effect.
            Held: it is held elsewhere by now.
        """
        with self._deciding():
            accepted = await self._send(
                errand.principal,
                send,
                Destination(errand.conversation),
                begins=errand.begins,
                past=errand.past,
            )
        await accepted.durable
        return Outcome(ack=accepted.ack, done_seq=accepted.done_seq)

    @contextmanager
    def _deciding(self) -> Iterator[None]:
        """One more is decided on.

        Raises:
            Rejected: the drain has begun.
        """
        if self.is_draining:
            raise Rejected(Code.DRAINING, "the server is going away", retry_after_seconds=1.0)
        self.undecided += 1
        try:
            yield
        finally:
            self.undecided -= 1
            self._on_decided()

    async def _sent(
        self, principal: str, send: SendBody, destination: Destination, past: Sequence[PastTurn]
    ) -> Accepted:
        begins = send.conversation is None
        done = await self._errands.run(
            lambda: self._sent_here(principal, send, destination, begins=begins, past=past),
            lambda: Errand(
                principal=principal,
                conversation=destination.id,
                send=_body(send),
                begins=begins,
                past=list(past),
            ),
        )
        return await self._accepted(principal, done) if isinstance(done, Outcome) else done

    async def _check_retract(self, principal: str, send: SendBody) -> None:
        """Whether it names a turn, where the log can be read though it cannot be claimed."""
        try:
            conversation = await self._open.find(principal, send.conversation or "")
        except Rejected:
            return
        conversation.check_retract(send)

    async def _accepted(self, principal: str, outcome: Outcome) -> Accepted:
        """What the holder has accepted, with the conversation as it is read here."""
        ack = outcome.given_ack
        conversation = await self._open.find(principal, ack.conversation or "")
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        durable.set_result(None)
        return Accepted(
            ack,
            durable=durable,
            follow=lambda wake: conversation.follow(ack.after or 0, ack.epoch, wake),
            done_seq=outcome.done_seq,
        )

    async def _send(
        self,
        principal: str,
        send: SendBody,
        destination: Destination,
        *,
        begins: bool,
        past: Sequence[PastTurn],
    ) -> Accepted:
        """The message, into the conversation, which is held here from now on.

        Raises:
            Rejected: it took no effect.
            Held: another node has it.
        """
        id = destination.id
        await self._check_blobs(principal, send, id)
        # Before the conversation is found: from there on nothing may be waited for.
        standing = await self._quotas.standing(principal, begins=begins)
        conversation = await self._open.hold(
            principal, id, begins=begins, is_new=destination.is_new
        )
        try:
            if send.key is not None and conversation.has_key(send.key):
                known = conversation.send(principal, send)
                self._open.forget_unused(conversation)
                return known
            self._quotas.check(principal, conversation, standing)
            is_new = conversation.is_empty and not id.startswith(HIDDEN)
            accepted = conversation.send(principal, send, past)
        except Rejected:
            self._open.forget_unused(conversation)
            raise
        self._quotas.begun(principal, conversation)
        # If it is withdrawn, no end of its turn says so to a drain.
        accepted.durable.add_done_callback(lambda durable: self._on_decided())
        if self._titles is not None and is_new:
            begin = past[0].content if past else send.content
            self._titles.begin(id, begin, accepted.durable)
        return accepted

    async def _check_blobs(self, principal: str, send: SendBody, id: str) -> None:
        try:
            await self._services.blobs.check(principal, send.content, takes_links=True)
        except Rejected as refused:
            # A message that was accepted stays so, though its blobs may have been deleted since.
            is_missing = refused.code is Code.BAD_COMMAND
            if not is_missing or await self._that_accepted(principal, send, id) is None:
                raise

    async def _that_accepted(self, principal: str, send: SendBody, id: str) -> Conversation | None:
        """The conversation, if this message is in its log, by its key."""
        if send.key is None:
            return None
        try:
            conversation = await self._open.find(principal, id)
        except Rejected:
            return None
        return conversation if conversation.has_key(send.key) else None

    async def _sent_here(
        self,
        principal: str,
        send: SendBody,
        destination: Destination,
        *,
        begins: bool,
        past: Sequence[PastTurn],
    ) -> Accepted:
        """See `_send`. The repetition of a message that is in the log asks nobody.

        Raises:
            Rejected: it took no effect; or its key was used for another message.
            Held: another node has it.
        """
        try:
            return await self._send(principal, send, destination, begins=begins, past=past)
        except Held:
            conversation = await self._that_accepted(principal, send, destination.id)
            if conversation is None:
                raise
            return conversation.send(principal, send)


def _body(send: SendBody) -> SendBody:
    """What a message says, whatever command it came in."""
    return SendBody.model_validate({name: getattr(send, name) for name in SendBody.model_fields})

"""A request for a chat completion, put to the hub: which turn answers it."""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import NamedTuple

from pydantic_core import to_json

from turnwire_protocol import Code, Event, SendBody, ToolOutput, ToolStart, parse_body
from turnwire_server.core.hub import Hub
from turnwire_server.core.turn_index import Record, digest_of, fingerprint_of
from turnwire_server.errors import Rejected
from turnwire_server.store.port import HIDDEN
from turnwire_server.wires.exchange import Exchange, answer, listen, turns_of
from turnwire_server.wires.openai.position import BESIDE, Position, position_of
from turnwire_server.wires.openai.request import RUNNER
from turnwire_server.wires.openai.talk import Talk
from turnwire_server.wires.question import key_of

__all__ = ["Asker", "Recent", "suffix_of"]

_ROUNDS = 3
"""Another tab may come between the look and the send; then the look is repeated."""
_MAX_RECENT = 4096
_SUFFIX = re.compile(rf"-({HIDDEN}[0-9a-f]{{24}})$", re.ASCII)


def suffix_of(conversation: str) -> str:
    """What goes behind the ids of a conversation's calls, so that their results find it: a hidden
    one has no other name that the client could give."""
    return f"-{conversation}" if conversation.startswith(HIDDEN) else ""


class Recent:
    """Under which name each of the last requests was answered that brought none, and no key.

    Only the SDK's retry looks here; it comes within seconds, to the same process.
    """

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}

    def name_of(self, principal: str, talk: Talk, send: SendBody, *, is_retry: bool) -> str:
        """A new one, or that of the same request before."""
        said = (principal, fingerprint_of(send), talk.past)
        digest = hashlib.blake2b(to_json(said), digest_size=16).digest()
        before = self._names.pop(digest, None)
        name = before if is_retry and before is not None else secrets.token_hex(12)
        self._names[digest] = name
        if len(self._names) > _MAX_RECENT:
            del self._names[next(iter(self._names))]
        return name


class Asker(NamedTuple):
    """Who asks, and what is known of the request beside its body."""

    hub: Hub
    recent: Recent
    principal: str
    name: str | None
    """The client's name of the conversation."""
    key: str | None
    """Its Idempotency-Key."""
    is_retry: bool
    """Whether the client says that it has sent this before, and had no answer."""

    async def ask(self, talk: Talk, send: SendBody) -> Exchange:
        """Have the last question answered, or read the answer there is.

        Raises:
            Rejected: it took no effect.
        """
        if self.name is None:
            return await self._ask_hidden(talk, send)
        for round in range(_ROUNDS):
            conversation, records = await turns_of(self.hub, self.principal, self.name)
            key = self.key and key_of(self.key)
            if key and (known := _of_key(records, key, send)) is not None:
                return await listen(self.hub, self.principal, conversation, known)
            position = _position_in(records, talk)
            if position is BESIDE:
                return await self._ask_hidden(talk, send)
            record = position.record
            if record is not None and self._is_again(record, send):
                return await listen(self.hub, self.principal, conversation, record)
            update = {
                # The same request, before the first one is there to be seen, is the same send.
                "key": key or f"{digest_of(send.content).hex()}~{len(records)}",
                "retract": record and record.turn,
            }
            try:
                accepted = await self.hub.send(
                    self.principal,
                    send.model_copy(update=update),
                    name=self.name,
                    past=talk.past,
                )
            except Rejected as refused:
                is_raced = refused.code in (Code.KEY_REUSED, Code.UNKNOWN_TURN)
                if not is_raced or round == _ROUNDS - 1:
                    raise
                continue
            await asyncio.shield(accepted.durable)
            return Exchange(accepted.ack.turn or "", accepted.follow(_nobody))
        raise AssertionError("the last round returns or raises")

    async def _ask_hidden(self, talk: Talk, send: SendBody) -> Exchange:
        hub, principal = self.hub, self.principal
        if self.key is None:
            name = self.recent.name_of(principal, talk, send, is_retry=self.is_retry)
        else:
            name = key_of(self.key)
        if self.key is not None or self.is_retry:
            conversation = hub.hidden_of(principal, name)
            try:
                records = await hub.turns(principal, conversation)
            except Rejected as refused:
                if refused.code is not Code.UNKNOWN_CONVERSATION:
                    raise
            else:
                if (known := _of_key(records, name, send)) is not None:
                    return await listen(hub, principal, conversation, known)
        keyed = send.model_copy(update={"key": name})
        accepted = await hub.send(principal, keyed, hidden=name, past=talk.past)
        await asyncio.shield(accepted.durable)
        return Exchange(accepted.ack.turn or "", accepted.follow(_nobody))

    async def go_on(self, talk: Talk) -> Exchange:
        """Give results of tools back into the turn that waits for them.

        Raises:
            Rejected, BadCommand: there is none.
        """
        hub, principal = self.hub, self.principal
        hidden = {match[1] for id in talk.outputs if (match := _SUFFIX.search(id))}
        if len(hidden) > 1:
            raise Rejected(Code.BAD_COMMAND, "tool_call_id: of more than one conversation")
        records: Sequence[Record] = ()
        is_hidden = bool(hidden)
        if is_hidden:
            conversation = hidden.pop()
            records = await hub.turns(principal, conversation)
        elif self.name is not None:
            conversation, records = await turns_of(hub, principal, self.name)
        live = [record for record in records if not record.is_void]
        if not live:
            raise _no_such_call()
        record = live[-1] if is_hidden else _position_in(records, talk).record or live[-1]
        outputs = {_SUFFIX.sub("", id): content for id, content in talk.outputs.items()}
        exchange = await answer(
            hub,
            principal,
            conversation,
            record.turn,
            [
                parse_body(
                    ToolOutput,
                    {
                        "id": "openai",
                        "conversation": conversation,
                        "tool_id": tool_id,
                        "runner": RUNNER,
                        "content": content,
                    },
                )
                for tool_id, content in outputs.items()
            ],
        )
        if not exchange.accepted:
            # The same request again reads what came of the first one; but to results of calls that
            # never were, nothing would ever come.
            exchange.follower.close()
            await self._check_calls(conversation, record, set(outputs))
            exchange = await listen(hub, principal, conversation, record)
        return exchange._replace(accepted=frozenset(outputs))

    async def _check_calls(self, conversation: str, record: Record, tool_ids: set[str]) -> None:
        def look(event: Event) -> None:
            if isinstance(event, ToolStart) and event.turn == record.turn:
                tool_ids.discard(event.tool_id)

        follower, head = await self.hub.follow(
            self.principal, conversation, after=record.after, epoch=None, wake=_nobody
        )
        try:
            await follower.tell(look, head=head)
        finally:
            follower.close()
        if tool_ids:
            raise _no_such_call()

    def _is_again(self, record: Record, send: SendBody) -> bool:
        """Whether a turn that is there answers this: the request came twice, or again because its
        answer was lost. Otherwise another answer is wanted."""
        is_same = record.content == digest_of(send.content)
        return is_same and (record.done_seq is None or self.is_retry)


def _of_key(records: Sequence[Record], key: str, send: SendBody) -> Record | None:
    """The turn that was sent with the key.

    Raises:
        Rejected: for another message.
    """
    record = next((record for record in records if record.key == key), None)
    if record is not None and record.content != digest_of(send.content):
        raise Rejected(Code.KEY_REUSED, "Idempotency-Key: was used for another message")
    return record


def _position_in(records: Sequence[Record], talk: Talk) -> Position:
    return position_of(
        [record for record in records if not record.is_void],
        [digest_of(question.content) for question in talk.questions],
        is_answered=[question.is_answered for question in talk.questions],
    )


def _no_such_call() -> Rejected:
    return Rejected(Code.UNKNOWN_TOOL_CALL, "tool_call_id: no call waits for this result")


def _nobody() -> None:
    """The waker of a follower that sets its own when it is read."""

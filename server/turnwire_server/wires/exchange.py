"""One request of another front end, put to the hub: a message to answer, or answers to calls."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from turnwire_protocol import Code, Decide, SendBody, ToolOutput
from turnwire_server.core.hub import Hub
from turnwire_server.core.log.follower import Follower
from turnwire_server.core.past import PastTurn
from turnwire_server.core.turn_index import Record
from turnwire_server.errors import Rejected
from turnwire_server.wires.question import asked, turn_of

__all__ = ["Exchange", "answer", "ask", "from_the_start", "listen", "turns_of"]

_ROUNDS = 3
"""Another tab may come between the look and the send; then the look is repeated."""
_TOO_LATE = (Code.ALREADY_DECIDED, Code.UNKNOWN_TOOL_CALL)


class Exchange(NamedTuple):
    """A turn, and a cursor before its first event, to be closed by who takes it."""

    turn: str
    follower: Follower
    accepted: frozenset[str] | None = None
    """The tool calls whose answers this request brought in time; None: it brought none at all."""


async def turns_of(hub: Hub, principal: str, name: str) -> tuple[str, Sequence[Record]]:
    """The conversation's id, and its turns; none where it has not begun.

    Raises:
        Rejected: it cannot be read now.
    """
    conversation = await hub.named(principal, name)
    try:
        return conversation, await hub.turns(principal, conversation)
    except Rejected as refused:
        if refused.code is not Code.UNKNOWN_CONVERSATION:
            raise
        return conversation, ()


async def from_the_start(hub: Hub, principal: str, name: str) -> tuple[Follower, int] | None:
    """A cursor before all of the conversation of that name, and its head; None: it has not begun.

    The caller closes it.

    Raises:
        Rejected: it cannot be read now.
    """
    conversation = await hub.named(principal, name)
    try:
        follower, head = await hub.follow(
            principal, conversation, after=0, epoch=None, wake=_nobody
        )
    except Rejected as refused:
        if refused.code is not Code.UNKNOWN_CONVERSATION:
            raise
        return None
    if not head:
        follower.close()
        return None
    return follower, head


async def listen(hub: Hub, principal: str, conversation: str, record: Record) -> Exchange:
    """Read a turn that there is, from its first event on.

    Raises:
        Rejected: the conversation is gone.
    """
    follower, _ = await hub.follow(
        principal, conversation, after=record.after, epoch=None, wake=_nobody
    )
    return Exchange(record.turn, follower)


async def ask(
    hub: Hub,
    principal: str,
    name: str,
    send: SendBody,
    *,
    message: str,
    again: bool = False,
    again_if_done: bool = False,
    past: Sequence[PastTurn] = (),
) -> Exchange:
    """Have a message answered in the conversation of that name; see `question.asked`.

    `message` is the id that the front end gave it, or empty; `send` has neither key nor retract.

    Raises:
        Rejected: it took no effect.
    """
    for round in range(_ROUNDS):
        conversation, turns = await turns_of(hub, principal, name)
        question = asked(
            turns, message=message, content=send.content, again=again, again_if_done=again_if_done
        )
        if question.attach is not None:
            return await listen(hub, principal, conversation, question.attach)
        keyed = send.model_copy(update={"key": question.key, "retract": question.retract})
        try:
            accepted = await hub.send(
                principal, keyed, name=name, past=_keyed_once(past, besides=question.key)
            )
        except Rejected as refused:
            if round == _ROUNDS - 1:
                raise
            if refused.code is Code.BUSY and await hub.is_resting(principal, conversation):
                # The streams of that turn have ended in "your move", and this is the move.
                send = send.model_copy(update={"if_busy": "interrupt"})
            elif refused.code not in (Code.KEY_REUSED, Code.UNKNOWN_TURN):
                raise
            continue
        # Shielded: whoever else waits for it must not lose it with this request.
        await asyncio.shield(accepted.durable)
        return Exchange(accepted.ack.turn or "", accepted.follow(_nobody))
    raise AssertionError("the last round returns or raises")


async def answer(
    hub: Hub,
    principal: str,
    conversation: str,
    message: str,
    answers: Sequence[Decide | ToolOutput],
) -> Exchange:
    """Answer calls of the turn that answers `message`, by the id of the message or of the turn.

    An answer that comes too late is none: the log says what became of the call.

    Raises:
        Rejected: there is no such turn, or an answer is not valid.
    """
    turns = await hub.turns(principal, conversation)
    record = next((turn for turn in turns if turn.turn == message), None) or turn_of(turns, message)
    if record is None:
        raise Rejected(Code.UNKNOWN_TURN, "there is no such answer in this conversation")
    # First, so that somebody is there when the turn goes on.
    exchange = await listen(hub, principal, conversation, record)
    accepted: set[str] = set()
    try:
        for one in answers:
            try:
                receipt = await hub.submit(principal, one)
                if receipt.durable is not None:
                    await receipt.durable
            except Rejected as refused:
                if refused.code not in _TOO_LATE:
                    raise
            else:
                accepted.add(one.tool_id)
    except BaseException:
        exchange.follower.close()
        raise
    return exchange._replace(accepted=frozenset(accepted))


def _keyed_once(past: Sequence[PastTurn], *, besides: str | None) -> list[PastTurn]:
    """The past, in which no key comes twice: pages may give the same id to several messages."""
    taken = {besides, ""}
    turns: list[PastTurn] = []
    for turn in past:
        turns.append(turn._replace(key=None) if turn.key in taken else turn)
        taken.add(turn.key)
    return turns


def _nobody() -> None:
    """The waker of a follower that sets its own when it is read."""

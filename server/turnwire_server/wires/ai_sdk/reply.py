"""What a page's request is answered by: the chunks of a turn, on whichever transport."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from turnwire_protocol import Cancel
from turnwire_server.core.turn_index import Record
from turnwire_server.transports.service import Service
from turnwire_server.wires.ai_sdk.chunks import Chunks
from turnwire_server.wires.ai_sdk.files import content_of
from turnwire_server.wires.ai_sdk.request import ChatRequest, Message, answers_of, past_of
from turnwire_server.wires.ai_sdk.values import Json, Version
from turnwire_server.wires.exchange import Exchange, answer, ask, listen, turns_of
from turnwire_server.wires.turn_reader import TurnReader

__all__ = ["Reply", "replying", "resuming", "stopping"]


@dataclass(slots=True, frozen=True)
class Reply:
    """A turn, to be told from where the page knows it; its follower is to be closed."""

    conversation: str
    exchange: Exchange
    version: Version

    async def chunks(self, *, idle_seconds: float) -> AsyncIterator[Sequence[Json]]:
        """All chunks as they come, in groups; an empty one about every `idle_seconds`."""
        turn, follower = self.exchange.turn, self.exchange.follower
        translator = Chunks(self.version, self.conversation, turn)
        reader = TurnReader(follower, turn, answered=self.exchange.accepted)
        async for group in reader.read(idle_seconds=idle_seconds):
            if not group:
                yield ()
                continue
            chunks = [chunk for heard in group for chunk in translator.of(heard)]
            if not follower.is_behind:
                chunks += translator.caught_up()
            if chunks:
                yield chunks
        if chunks := translator.end(reader.ending):
            yield chunks


async def replying(
    service: Service, principal: str, request: ChatRequest, version: Version
) -> Reply:
    """Do what the request asks for: put the question, or answer what was asked.

    Raises:
        Rejected, BadCommand: it took no effect.
    """
    conversation = await service.hub.named(principal, request.id)
    if (message := request.answered()) is not None:
        exchange = await _answer(service, principal, conversation, message)
    else:
        exchange = await _ask(service, principal, conversation, request)
    return Reply(conversation, exchange, version)


async def resuming(service: Service, principal: str, name: str, version: Version) -> Reply | None:
    """The turn that is unfinished, from its beginning; None if there is none.

    Raises:
        Rejected: the conversation cannot be read now.
    """
    conversation, turns = await turns_of(service.hub, principal, name)
    record = _unfinished(turns)
    if record is None:
        return None
    exchange = await listen(service.hub, principal, conversation, record)
    return Reply(conversation, exchange, version)


async def stopping(service: Service, principal: str, name: str, turn: str | None) -> str:
    """Stop that turn, or the one that runs; gives what became of the wish.

    Raises:
        Rejected: the conversation cannot be read now.
    """
    conversation, turns = await turns_of(service.hub, principal, name)
    if turn is None:
        record = _unfinished(turns)
    else:
        record = next((one for one in turns if one.turn == turn), None)
    if record is None:
        return "already_done"
    cancel = Cancel(id="ai-sdk", conversation=conversation, turn=record.turn)
    return (await service.hub.submit(principal, cancel)).ack.outcome or "already_done"


async def _ask(
    service: Service, principal: str, conversation: str, request: ChatRequest
) -> Exchange:
    message, before = request.asked()
    content = await content_of(message, blobs=service.blobs, owner=principal)
    send = request.send(
        content,
        runner=_runner(conversation),
        may_have_system="system" in service.policy.client_options,
        taken=service.hub.tool_names,
    )
    return await ask(
        service.hub,
        principal,
        request.id,
        send,
        message=message.name,
        again=request.wants_another,
        again_if_done=request.edits,
        past=past_of(before),
    )


async def _answer(
    service: Service, principal: str, conversation: str, message: Message
) -> Exchange:
    answers = answers_of(message, conversation=conversation, runner=_runner(conversation))
    exchange = await answer(service.hub, principal, conversation, answers.message, answers.given)
    # Also what was decided by another tab, or by a request that was refused for another answer: the
    # page has no result of a call that it has only decided, and is told what became of it.
    known = frozenset(exchange.accepted or ()).union(answers.decided)
    if not known:
        # They came too late, or by another way.
        known = frozenset(answers.waiting or [one.tool_id for one in answers.given])
    return exchange._replace(accepted=known)


def _runner(conversation: str) -> str:
    """The one client that runs the tools of pages: whichever of them is there."""
    return f"ai-sdk:{conversation}"


def _unfinished(turns: Sequence[Record]) -> Record | None:
    return next((one for one in turns if one.done_seq is None and not one.is_void), None)

"""What a request of an AG-UI client does: the runs that it reads, and Stop."""

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from typing import Any

from turnwire_protocol import (
    Cancel,
    Decide,
    Event,
    FoldedConversation,
    SendBody,
    ToolOutput,
    parse_body,
)
from turnwire_server.transports.service import Service
from turnwire_server.wires.ag_ui.content import content_of
from turnwire_server.wires.ag_ui.messages import answer_messages, result_id, user_message
from turnwire_server.wires.ag_ui.run import Run
from turnwire_server.wires.ag_ui.run_input import (
    Message,
    ResumeEntry,
    RunInput,
    client_tools_of,
    past_of,
)
from turnwire_server.wires.ag_ui.translator import Translator
from turnwire_server.wires.chunk_stream import Chunk, ChunkStream
from turnwire_server.wires.exchange import Exchange, answer, ask, from_the_start, turns_of
from turnwire_server.wires.turn_reader import TurnReader

__all__ = ["connect", "run", "stop"]

_REASON_CHARS = 4096


async def run(service: Service, principal: str, input: RunInput) -> ChunkStream:
    """Have the last user message answered, or go on with its answer, and stream that.

    Raises:
        Rejected, BadCommand: it took no effect.
    """
    with ExitStack() as place:
        # A place first: what is refused leaves no trace.
        place.enter_context(service.streams.taken(principal))
        had = [message for message in input.since if message.is_of_answer]
        exchange = await _exchange(service, principal, input, is_again=not had)
        place.callback(exchange.follower.close)
        # Where an answer was in time the page has had all up to it. Otherwise it may have missed
        # anything, and what it has of the answer is made anew.
        is_in_time = bool(exchange.accepted)
        translator = Translator(
            _run(input),
            exchange.turn,
            before=input.without_answer,
            given=[message.tool_call_id or "" for message in _given(had)] if is_in_time else (),
        )
        if is_in_time:
            resumed = {entry.interrupt_id for entry in input.resume or ()}
            answered = resumed.union(exchange.accepted or ())
            reader = TurnReader(exchange.follower, exchange.turn, answered=answered)
        else:
            reader = TurnReader(exchange.follower, exchange.turn)
        is_anew = bool(had) and not is_in_time
        has_thought = any(message.role == "reasoning" for message in had)
        begin = translator.begin_anew(has_thought=has_thought) if is_anew else translator.begin()
        groups = _groups(begin, reader, translator, idle_seconds=service.keepalive_seconds)
        return ChunkStream(groups, place.pop_all())


async def connect(service: Service, principal: str, input: RunInput, *, blobs: str) -> ChunkStream:
    """The conversation as it is, then the turn that is unfinished, if one is.

    `blobs` is where the page finds blobs.

    Raises:
        Rejected: it cannot be read now.
    """
    with ExitStack() as place:
        place.enter_context(service.streams.taken(principal))
        began = _run(input)
        begun = await from_the_start(service.hub, principal, input.thread_id)
        if begun is None:
            # Not an empty snapshot: the page may begin with messages of its own.
            return ChunkStream(_all([began.started(), began.finished()]), place.pop_all())
        follower, head = begun
        place.callback(follower.close)
        folded = FoldedConversation()
        before: dict[str, int] = {}
        """Of each turn, the seq before its first event."""

        def apply(event: Event) -> None:
            before.setdefault(event.turn, event.seq - 1)
            folded.apply(event)

        await follower.tell(apply, head=head)
        # By what the readers see: an end that is not durable yet is none.
        unfinished = next((turn for turn in folded.turns if turn.done is None), None)
        messages: list[Chunk] = []
        for turn in folded.turns:
            messages += [
                user_message(turn, blobs=blobs),
                *(answer_messages(turn) if turn.done else ()),
            ]
        if unfinished is None:
            snapshot = {"type": "MESSAGES_SNAPSHOT", "messages": messages}
            chunks = [began.started(), snapshot, began.finished()]
            return ChunkStream(_all(chunks), place.pop_all())
        # The same cursor, put back: whatever has become of the conversation, it is this one.
        follower.after = before[unfinished.turn]
        translator = Translator(began, unfinished.turn, before=messages)
        reader = TurnReader(follower, unfinished.turn)
        # All that it has of thoughts: those of the answers that are done are in the snapshot.
        has_thought = any(message.get("role") == "reasoning" for message in input.messages)
        begin = translator.begin_anew(has_thought=has_thought)
        groups = _groups(begin, reader, translator, idle_seconds=service.keepalive_seconds)
        return ChunkStream(groups, place.pop_all())


async def stop(service: Service, principal: str, thread: str) -> bool:
    """Stop what is unfinished in the conversation; whether anything was.

    Raises:
        Rejected: it cannot be read now.
    """
    conversation, records = await turns_of(service.hub, principal, thread)
    unfinished = [one for one in records if one.done_seq is None]
    # The waiting ones first, so that none of them begins.
    for record in reversed(unfinished):
        cancel = Cancel(id="ag-ui", conversation=conversation, turn=record.turn)
        await service.hub.submit(principal, cancel)
    return bool(unfinished)


def _run(input: RunInput) -> Run:
    return Run(thread=input.thread_id, run=input.run_id, version=input.protocol_version)


async def _exchange(
    service: Service, principal: str, input: RunInput, *, is_again: bool
) -> Exchange:
    conversation = await service.hub.named(principal, input.thread_id)
    runner = f"ag-ui:{conversation}"
    answers: list[Decide | ToolOutput] = [
        _decision(entry, conversation) for entry in input.resume or ()
    ]
    for message in _given(input.since):
        fields = {
            "id": "ag-ui",
            "conversation": conversation,
            "tool_id": message.tool_call_id,
            "runner": runner,
            "content": await content_of(message.content, service.blobs, principal),
            "is_error": bool(message.error),
        }
        answers.append(parse_body(ToolOutput, fields))
    hub = service.hub
    if answers:
        return await answer(hub, principal, conversation, input.asked.id, answers)
    send = await _send(service, principal, input, runner=runner)
    return await ask(
        hub,
        principal,
        input.thread_id,
        send,
        message=input.asked.id,
        # A page that has nothing of an answer that is done wants another one.
        again_if_done=is_again,
        past=past_of(input.before),
    )


async def _send(service: Service, principal: str, input: RunInput, *, runner: str) -> SendBody:
    fields: dict[str, Any] = input.options.model_dump(exclude_none=True)
    fields["content"] = await content_of(input.asked.content, service.blobs, principal)
    tools = client_tools_of(input.tools or (), taken=service.hub.tool_names)
    if tools:
        fields |= {"client_tools": tools, "runner": runner}
    # Every page has some; that it may not choose them is no reason to refuse it.
    if input.instructions and "system" in service.policy.client_options:
        system = (service.policy.system, input.instructions)
        fields["system"] = "\n\n".join(filter(None, system))
    return parse_body(SendBody, fields)


def _decision(entry: ResumeEntry, conversation: str) -> Decide:
    payload = entry.payload if isinstance(entry.payload, dict) else {}
    fields: dict[str, Any] = {
        "id": "ag-ui",
        "conversation": conversation,
        "tool_id": entry.interrupt_id,
    }
    if entry.status == "resolved" and payload.get("approved") is True:
        fields["decision"] = "allow"
        if isinstance(edited := payload.get("editedArgs"), dict):
            fields["input"] = edited
    else:
        fields["decision"] = "deny"
        if isinstance(reason := payload.get("reason"), str):
            fields["reason"] = reason[:_REASON_CHARS]
    return parse_body(Decide, fields)


def _given(messages: Sequence[Message]) -> list[Message]:
    """The results that the page gives itself, and not those that it has from here."""
    return [
        message
        for message in messages
        if message.role == "tool"
        and message.tool_call_id is not None
        and message.id != result_id(message.tool_call_id)
    ]


async def _groups(
    begin: Sequence[Chunk], reader: TurnReader, translator: Translator, *, idle_seconds: float
) -> AsyncIterator[Sequence[Chunk]]:
    yield begin
    async for group in reader.read(idle_seconds=idle_seconds):
        chunks = [chunk for heard in group for chunk in translator.apply(heard)]
        if chunks or not group:
            yield chunks
    yield translator.end(reader.ending)


async def _all(chunks: Sequence[Chunk]) -> AsyncIterator[Sequence[Chunk]]:
    yield chunks

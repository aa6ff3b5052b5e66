"""REST and SSE: the same commands and followers as the WebSocket, over HTTP."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AliasChoices, BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from turnwire_protocol import (
    Ack,
    Cancel,
    CancelBody,
    Code,
    Content,
    Decide,
    DecideBody,
    FoldedConversation,
    FoldedTurn,
    Progress,
    ProgressBody,
    SendBody,
    ToolOutput,
    ToolOutputBody,
    encode,
    parse_body,
    parse_sse_id,
)
from turnwire_server.core.log.follower import Follower
from turnwire_server.errors import Rejected
from turnwire_server.transports.answers import Answer, event_stream, json_answer
from turnwire_server.transports.endpoints import body_of, described, per_service
from turnwire_server.transports.http import (
    Responses,
    error_response,
    principal_of,
    refusals,
    unless_gone,
)
from turnwire_server.transports.service import service_of
from turnwire_server.transports.sse import EventStream

__all__ = ["rest_routes"]

_STREAM = event_stream()
_FOLLOWED: Responses = {
    **refusals(Code.BAD_COMMAND, Code.UNKNOWN_CONVERSATION),
    200: {"content": _STREAM},
}
_CHAT: Responses = {
    **refusals(
        Code.BAD_COMMAND,
        Code.UNKNOWN_CONVERSATION,
        Code.UNKNOWN_TURN,
        Code.BUSY,
        Code.KEY_REUSED,
        Code.TOO_LARGE,
        Code.TIMEOUT,
        # Of a turn that failed, to somebody who wants no stream.
        Code.RATE_LIMIT,
        Code.OVERLOADED,
        Code.AUTH_ERROR,
        Code.INVALID_REQUEST,
        Code.CONTEXT_TOO_LONG,
        Code.NOT_FOUND,
        Code.NETWORK_ERROR,
        Code.INTERNAL,
    ),
    200: {"content": {**_STREAM, **json_answer(Answer)}},
    204: {"description": "The turn is done and the reader has all of it: stop reconnecting."},
}

_NEVER = 3600.0
"""Seconds; nobody wants to hear that nothing came."""

_Command = Cancel | Decide | Progress | ToolOutput
_COMMANDS: dict[str, tuple[type[_Command], type[BaseModel], tuple[Code, ...]]] = {
    "cancel": (Cancel, CancelBody, (Code.UNKNOWN_TURN,)),
    "decide": (Decide, DecideBody, (Code.UNKNOWN_TOOL_CALL, Code.ALREADY_DECIDED)),
    "tool_output": (ToolOutput, ToolOutputBody, (Code.UNKNOWN_TOOL_CALL, Code.ALREADY_DECIDED)),
    "progress": (Progress, ProgressBody, (Code.UNKNOWN_TOOL_CALL,)),
}
"""The endpoints below a conversation that are commands, and what they alone refuse."""
_OF_COMMANDS = (Code.BAD_COMMAND, Code.UNKNOWN_CONVERSATION, Code.TOO_LARGE, Code.TIMEOUT)

Absent = SkipJsonSchema[None]
"""Neither a header nor a query can say null, and the document must not offer it."""

LastEventId = Annotated[
    str | Absent,
    Header(
        description="Where to go on: an event's `id`.",
        # For who reads the document; `parse_sse_id` looks.
        json_schema_extra={"pattern": "^[^:]+:[^:]+:[0-9]{1,16}$"},
    ),
]


class ChatBody(SendBody):
    """A `send`, without type and id; `message` is another name for `content`."""

    content: Content = Field(
        min_length=1,
        validation_alias=AliasChoices("content", "message"),
        json_schema_extra={"minItems": 1, "minLength": 1},
    )


def _make(router: APIRouter) -> None:
    async def chat(request: Request, send: SendBody, last_event_id: str | None) -> Response:
        # A place first: what is refused leaves no trace.
        with ExitStack() as place:
            place.enter_context(service_of(request).streams.taken(principal_of(request)))
            return await placed_chat(request, send, last_event_id, place)

    async def placed_chat(
        request: Request, send: SendBody, last_event_id: str | None, place: ExitStack
    ) -> Response:
        service, principal = service_of(request), principal_of(request)
        cursor = None if last_event_id is None else parse_sse_id(last_event_id)
        if cursor is not None:
            # Before anything is begun: what is refused leaves no trace.
            if send.key is None:
                raise Rejected(Code.BAD_COMMAND, "Last-Event-ID: goes with a key only")
            if cursor[0] != service.hub.id_of(principal, send):
                raise Rejected(Code.BAD_COMMAND, "Last-Event-ID: is of another conversation")
        if send.on_detach is None:
            send = send.model_copy(update={"on_detach": "cancel"})
        accepted = await service.hub.send(principal, send)
        # Shielded: whoever else waits for it must not lose it with this request.
        await asyncio.shield(accepted.durable)
        turn, conversation = accepted.ack.turn or "", accepted.ack.conversation or ""
        if cursor is None:
            follower = accepted.follow(_nobody)
        else:
            _, epoch, seq = cursor
            if (
                accepted.done_seq is not None
                and epoch == accepted.ack.epoch
                and seq >= accepted.done_seq
            ):
                return Response(status_code=204)
            after = max(seq, accepted.ack.after or 0)
            follower, _ = await service.hub.follow(
                principal, conversation, after=after, epoch=epoch, wake=_nobody
            )
        accept = request.headers.get("accept", "")
        if "application/json" in accept and "text/event-stream" not in accept:
            return await unless_gone(request, _answer(follower, turn))
        return EventStream(
            follower, place.pop_all(), turn=turn, keepalive_seconds=service.keepalive_seconds
        )

    @router.post(
        "/chat",
        responses=_CHAT,
        response_class=Response,
        response_model=None,
        openapi_extra=described(ChatBody),
    )
    async def post_chat(
        request: Request,
        body: Annotated[ChatBody, body_of(ChatBody)],
        idempotency_key: Annotated[str | Absent, Header(min_length=1, max_length=128)] = None,
        last_event_id: LastEventId = None,
    ) -> Response:
        """Send a message and stream the events of its turn, until its `done`.

        With `Accept: application/json`: wait, and return the finished answer.
        """
        if idempotency_key is not None:
            if body.key is not None and body.key != idempotency_key:
                raise Rejected(Code.BAD_COMMAND, "key: differs from the Idempotency-Key header")
            body = body.model_copy(update={"key": idempotency_key})
        return await chat(request, body, last_event_id)

    @router.get("/chat", responses=_CHAT, response_class=Response, response_model=None)
    async def get_chat(
        request: Request,
        message: Annotated[str, Query(min_length=1)],
        key: Annotated[str, Query(min_length=1, max_length=128)],
        conversation: Annotated[str | Absent, Query(min_length=1, max_length=128)] = None,
        last_event_id: LastEventId = None,
    ) -> Response:
        """The same for a plain `EventSource`, which reconnects by itself: `key` makes it attach."""
        given = {"content": message, "key": key, "conversation": conversation}
        said = {name: value for name, value in given.items() if value is not None}
        send = parse_body(SendBody, said)
        return await chat(request, send, last_event_id)

    @router.get(
        "/conversations/{conversation}/events",
        responses=_FOLLOWED,
        response_class=Response,
        response_model=None,
    )
    async def events(
        request: Request,
        conversation: str,
        after: Annotated[int, Query(ge=0)] = 0,
        last_event_id: LastEventId = None,
    ) -> Response:
        """All events of a conversation after a cursor, then live ones, without end."""
        epoch = None
        if last_event_id is not None:
            named, epoch, after = parse_sse_id(last_event_id)
            if named != conversation:
                raise Rejected(Code.BAD_COMMAND, "Last-Event-ID: is of another conversation")
        service, principal = service_of(request), principal_of(request)
        with ExitStack() as place:
            place.enter_context(service.streams.taken(principal))
            follower, _ = await service.hub.follow(
                principal, conversation, after=after, epoch=epoch, wake=_nobody
            )
            return EventStream(
                follower, place.pop_all(), keepalive_seconds=service.keepalive_seconds
            )

    for name, (command, body, refused) in _COMMANDS.items():
        router.add_api_route(
            f"/conversations/{{conversation}}/{name}",
            _submitting(command, body),
            methods=["POST"],
            name=name,
            responses=refusals(*_OF_COMMANDS, *refused),
            response_model=Ack,
            openapi_extra=described(body),
        )


rest_routes = per_service(_make)
"""The endpoints of the protocol over HTTP that are commands, or give streams (PROTOCOL.md "SSE and
REST")."""


def _submitting(
    command: type[_Command], body: type[BaseModel]
) -> Callable[..., Awaitable[Response]]:
    """The endpoint of a command whose body is `body`, answered by its ack."""

    async def submit(
        request: Request,
        conversation: str,
        given: Annotated[BaseModel, body_of(body)],
    ) -> Response:
        # The id of a command correlates its reply on a connection: here there is one reply.
        complete = command(id="rest", conversation=conversation, **dict(given))
        receipt = await service_of(request).hub.submit(principal_of(request), complete)
        if receipt.durable is not None:
            await receipt.durable
        return Response(encode(receipt.ack), media_type="application/json")

    submit.__doc__ = command.__doc__
    return submit


def _nobody() -> None:
    """The waker of a follower that is read right away, or sets its own."""


async def _answer(follower: Follower, turn: str) -> Response:
    """The folded turn, once it is done."""
    folded = FoldedConversation()
    try:
        async for frames in follower.stream(idle_seconds=_NEVER):
            for frame in frames:
                if frame.turn == turn:
                    folded.apply(frame.event)
                    if frame.type == "done":
                        return _finished(follower.conversation, folded.turns[turn])
    finally:
        follower.close()
    code = Code.DRAINING if follower.closed is None else Code(follower.closed.code)
    raise Rejected(code, "the conversation ended before the answer did")


def _finished(conversation: str, turn: FoldedTurn) -> JSONResponse:
    body = {"conversation": conversation, "text": turn.text, **turn.to_dict()}
    if turn.done is not None and turn.done.output is not None:
        body["output"] = turn.done.output
    error = body.pop("error", None)
    if error is None:
        return JSONResponse(body)
    return error_response(**error, **body)

"""The endpoints of OpenAI's chat completions and models."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse
from starlette.routing import BaseRoute

from turnwire_protocol import Code, Decide, ToolApproval
from turnwire_server.errors import Rejected
from turnwire_server.transports.endpoints import body_of, described, per_service, preflights
from turnwire_server.transports.http import principal_of, unless_gone
from turnwire_server.transports.service import Service, service_of
from turnwire_server.wires.chunk_stream import Chunk, ChunkStream
from turnwire_server.wires.exchange import Exchange
from turnwire_server.wires.openai.asking import Asker, Recent, suffix_of
from turnwire_server.wires.openai.chunks import Chunks, whole
from turnwire_server.wires.openai.errors import ERROR, refusal, refused
from turnwire_server.wires.openai.request import ChatRequest, models_of, send_of
from turnwire_server.wires.openai.talk import read_talk
from turnwire_server.wires.turn_reader import TurnReader

__all__ = ["openai_routes"]

_PREFIX = "/openai/v1"
_NEVER = 3600.0
"""Seconds; nobody wants to hear that nothing came."""
_DENIED = "Nobody can be asked for approval here."
_HEADERS = ("x-conversation-id", "x-openwebui-chat-id")
_NAME_CHARS = 512
_RECENT = Recent()
"""Of all services of the process: a name says nothing, and who brings it to another one begins a
conversation there."""


def _make(router: APIRouter) -> None:
    @router.post(
        "/chat/completions",
        responses=refused(Code.BAD_COMMAND, Code.NOT_FOUND, Code.TOO_LARGE, Code.TIMEOUT),
        response_class=Response,
        response_model=None,
        openapi_extra=described(ChatRequest),
    )
    async def complete(
        request: Request,
        body: Annotated[ChatRequest, body_of(ChatRequest, is_command=False)],
        idempotency_key: Annotated[str | None, Header(min_length=1, max_length=512)] = None,
    ) -> Response:
        """Answer the last message of the list."""
        service, principal = service_of(request), principal_of(request)
        with ExitStack() as place:
            place.enter_context(service.streams.taken(principal))
            # What is wrong with it is said before its images are stored.
            send_of(body, service.policy, content="…", system=None)
            talk = await read_talk(body.messages, partial(service.blobs.keep, principal))
            asker = Asker(
                service.hub,
                _RECENT,
                principal,
                _name_of(request.headers, body),
                idempotency_key,
                is_retry=request.headers.get("x-stainless-retry-count", "0") != "0",
            )
            if talk.outputs:
                exchange = await asker.go_on(talk)
            else:
                content = talk.questions[-1].content
                send = send_of(body, service.policy, content=content, system=talk.system)
                exchange = await asker.ask(talk, send)
            conversation = exchange.follower.conversation
            headers = {"x-conversation-id": conversation}
            includes_usage = body.includes_usage or not body.stream
            chunks = Chunks(
                exchange.turn,
                model=body.model,
                includes_usage=includes_usage,
                suffix=suffix_of(conversation),
            )
            if not body.stream:
                told = _told(service, principal, exchange, chunks, idle_seconds=_NEVER)
                try:
                    return await unless_gone(request, _whole(told, chunks, headers))
                finally:
                    exchange.follower.close()
            told = _told(
                service, principal, exchange, chunks, idle_seconds=service.keepalive_seconds
            )
            place.callback(exchange.follower.close)
            return ChunkStream(told, place.pop_all(), headers=headers, last=b"data: [DONE]\n\n")

    @router.get("/models", responses=refused(), response_model=None)
    async def list_models(request: Request) -> dict[str, Any]:
        """The models that a request may name."""
        return {"object": "list", "data": list(map(_model, models_of(service_of(request).policy)))}

    @router.get("/models/{model}", responses=refused(Code.NOT_FOUND), response_model=None)
    async def retrieve_model(request: Request, model: str) -> dict[str, Any]:
        """One of them."""
        if model not in models_of(service_of(request).policy):
            raise Rejected(Code.NOT_FOUND, f"The model {model!r:.80} does not exist here")
        return _model(model)


_routes = per_service(_make, prefix=_PREFIX, tag="openai", refusal=refusal, error=ERROR)


def openai_routes(service: Service) -> Sequence[BaseRoute]:
    """All endpoints of the wire."""
    return [*_routes(service), preflights(service.access, prefix=_PREFIX)]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "anthropic"}


def _name_of(headers: Mapping[str, str], body: ChatRequest) -> str | None:
    """What the client calls its conversation; None: it does not say."""
    said: object = (body.metadata or {}).get("conversation")
    for header in _HEADERS:
        said = headers.get(header) or said
    if not said:
        return None
    if not isinstance(said, str) or len(said) > _NAME_CHARS:
        message = f"metadata.conversation: a string of at most {_NAME_CHARS} characters"
        raise Rejected(Code.BAD_COMMAND, message)
    return said


async def _told(
    service: Service, principal: str, exchange: Exchange, chunks: Chunks, *, idle_seconds: float
) -> AsyncIterator[list[Chunk]]:
    """The chunks of the turn, in groups; an empty one now and then while nothing comes."""
    reader = TurnReader(exchange.follower, exchange.turn, answered=exchange.accepted)
    async for heard in reader.read(idle_seconds=idle_seconds):
        group: list[Chunk] = []
        for event, is_new in heard:
            if is_new and isinstance(event, ToolApproval):
                await _deny(service, principal, event)
            group += chunks.take(event, is_new=is_new)
        if group or not heard:
            yield group
    yield chunks.end(reader.ending)


async def _deny(service: Service, principal: str, event: ToolApproval) -> None:
    decide = Decide(
        id="openai",
        conversation=event.conversation,
        tool_id=event.tool_id,
        decision="deny",
        reason=_DENIED,
    )
    try:
        receipt = await service.hub.submit(principal, decide)
        if receipt.durable is not None:
            await receipt.durable
    except Rejected:
        pass  # Somebody else has decided, or the turn is over.


async def _whole(
    told: AsyncIterator[list[Chunk]], chunks: Chunks, headers: Mapping[str, str]
) -> Response:
    said = [chunk async for group in told for chunk in group]
    if chunks.failure is None:
        return JSONResponse(whole(said), headers=headers)
    # What is worth another attempt has had several.
    response = refusal(*chunks.failure, retryable=False)
    response.headers.update(headers)
    return response

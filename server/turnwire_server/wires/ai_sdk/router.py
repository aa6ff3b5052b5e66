"""The endpoints of the AI SDK's UI message stream, v5, v6 and v7."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Request, Response, WebSocket
from pydantic import BaseModel, ConfigDict
from starlette.routing import BaseRoute

from turnwire_protocol import Code, parse_body, parse_object
from turnwire_server.transports.endpoints import body_of, described, per_service
from turnwire_server.transports.handshake import apart
from turnwire_server.transports.http import Responses, principal_of, refusals
from turnwire_server.transports.service import Service, service_of
from turnwire_server.wires.ai_sdk.messages import Messages
from turnwire_server.wires.ai_sdk.reply import Reply, replying, resuming, stopping
from turnwire_server.wires.ai_sdk.request import ChatRequest
from turnwire_server.wires.ai_sdk.socket import ChatSocket
from turnwire_server.wires.ai_sdk.values import Json, Version
from turnwire_server.wires.chunk_stream import ChunkStream
from turnwire_server.wires.exchange import from_the_start
from turnwire_server.wires.refusal import TEXT, text_refusal

__all__ = ["ai_sdk_routes"]

_HEADERS = {"x-vercel-ai-ui-message-stream": "v1"}
_LAST = b"data: [DONE]\n\n"
_PREFIX = "/v1/ai-sdk"

_OF_CHAT = (
    Code.BAD_COMMAND,
    Code.BUSY,
    Code.KEY_REUSED,
    Code.NOT_FOUND,
    Code.TIMEOUT,
    Code.TOO_LARGE,
    Code.UNKNOWN_CONVERSATION,
    Code.UNKNOWN_TURN,
)
_REFUSALS = refusals(Code.BAD_COMMAND, error=TEXT)
_OF_STOP = refusals(Code.BAD_COMMAND, Code.TIMEOUT, Code.TOO_LARGE, error=TEXT)
_STREAM: Responses = {200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}}


class _Stop(BaseModel):
    """The body of `POST …/stop`, as far as it is looked at."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    activeStreamId: str | None = None
    assistantMessage: Json | None = None

    @property
    def turn(self) -> str | None:
        """The turn that is meant. A message that has not begun has an id of the page's own."""
        named = self.activeStreamId or (self.assistantMessage or {}).get("id")
        return named if isinstance(named, str) and named.startswith("t_") else None


def _make(router: APIRouter) -> None:
    def streamed(request: Request, reply: Reply, place: ExitStack) -> Response:
        place.callback(reply.exchange.follower.close)
        chunks = reply.chunks(idle_seconds=service_of(request).keepalive_seconds)
        return ChunkStream(chunks, place.pop_all(), headers=_HEADERS, last=_LAST)

    @router.post(
        "/{version}/chat",
        responses={**refusals(*_OF_CHAT, error=TEXT), **_STREAM},
        response_class=Response,
        response_model=None,
        openapi_extra=described(ChatRequest),
    )
    async def chat(
        request: Request,
        version: Version,
        body: Annotated[ChatRequest, body_of(ChatRequest, is_command=False)],
    ) -> Response:
        """Answer the last message of the user, or go on with what its tools were waiting for."""
        # A place first: what is refused leaves no trace.
        with ExitStack() as place:
            place.enter_context(service_of(request).streams.taken(principal_of(request)))
            reply = await replying(service_of(request), principal_of(request), body, version)
            return streamed(request, reply, place)

    @router.get(
        "/{version}/chat/{name:path}/stream",
        responses={**_REFUSALS, **_STREAM, 204: {"description": "There is none."}},
        response_class=Response,
        response_model=None,
    )
    async def resume(request: Request, version: Version, name: str) -> Response:
        """The unfinished answer from its beginning, then live; 204: there is none."""
        with ExitStack() as place:
            place.enter_context(service_of(request).streams.taken(principal_of(request)))
            reply = await resuming(service_of(request), principal_of(request), name, version)
            return Response(status_code=204) if reply is None else streamed(request, reply, place)

    @router.post("/{version}/chat/{name:path}/stop", responses=_OF_STOP)
    async def stop(request: Request, version: Version, name: str) -> Json:
        """Stop the answer that runs, or the one that the body names."""
        service = service_of(request)
        data = await service.bodies.read(request)
        body = parse_body(_Stop, parse_object(data)) if data else _Stop()
        return {"outcome": await stopping(service, principal_of(request), name, body.turn)}

    @router.get("/{version}/chat/{name:path}/messages", responses=_REFUSALS)
    async def messages(request: Request, version: Version, name: str) -> Json:
        """The conversation for a page that is loaded; an unfinished answer is left to `stream`."""
        principal = principal_of(request)
        before, _, _ = request.url.path.rpartition(f"{_PREFIX}/{version}/")
        loaded = Messages(version, blobs=f"{before}/v1/blobs")
        begun = await from_the_start(service_of(request).hub, principal, name)
        if begun is not None:
            follower, head = begun
            try:
                await follower.tell(loaded.apply, head=head)
            finally:
                follower.close()
        return {"messages": loaded.to_list(), "activeStreamId": loaded.unfinished}


_routes = per_service(
    _make,
    prefix=_PREFIX,
    tag="ai_sdk",
    # The client shows the body of a failed request: text, for people.
    refusal=text_refusal,
    error=TEXT,
)


def ai_sdk_routes(service: Service) -> Sequence[BaseRoute]:
    """All endpoints of the wire."""
    router = APIRouter(prefix=_PREFIX)

    @router.websocket("/ws")
    async def websocket(socket: WebSocket) -> None:
        await apart(socket, serve)

    async def serve(socket: WebSocket) -> None:
        connection = ChatSocket(socket, service)
        service.peers.add(connection)
        try:
            await connection.run()
        finally:
            service.peers.discard(connection)

    return [*_routes(service), *router.routes]

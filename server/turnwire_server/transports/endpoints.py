"""What endpoints are made of: who is let in, what they read, and how they are documented."""

import copy
import functools
from collections.abc import Callable, Coroutine, Sequence
from email.message import Message
from typing import Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from turnwire_protocol import BadCommand, Code, ProtocolError, parse_body, parse_object
from turnwire_protocol.schema import inlined, on_the_wire
from turnwire_server.errors import Rejected
from turnwire_server.transports.access import Access
from turnwire_server.transports.http import (
    ERROR,
    Refusal,
    Responses,
    add_cors_headers,
    error_response,
    preflight,
)
from turnwire_server.transports.service import KEY, Service, service_of

__all__ = ["body_of", "described", "endpoints", "guarded", "per_service", "preflights"]

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Body = TypeVar("Body", bound=BaseModel)

_BEARER = HTTPBearer(
    auto_error=False, scheme_name="turnwire", description="The token, or what the app gives out."
)


class _Endpoint(APIRoute):
    """One that knows the service whose it is, once it is bound to it."""

    service: Service | None = None

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.service is not None:
            scope[KEY] = self.service
        await super().handle(scope, receive, send)


def guarded(
    access: Access | None, *, needs_principal: bool = True, refusal: Refusal = error_response
) -> type[APIRoute]:
    """A route class whose endpoints are reached only by those `access`, or else that of the
    service, lets in; the others, and whose requests take no effect, are told so by `refusal`."""
    given = access

    class Guarded(_Endpoint):
        def get_route_handler(self) -> Handler:
            handler = super().get_route_handler()

            async def guard(request: Request) -> Response:
                access = service_of(request).access if given is None else given
                try:
                    access.check_host(request)
                    access.check_origin(request)
                    if needs_principal:
                        principal = await access.principal(request)
                        if principal is None:
                            raise Rejected(Code.UNAUTHORIZED, "a valid bearer token is required")
                        access.check_rate(principal)
                        request.state.turnwire_principal = principal
                    response = await handler(request)
                except Rejected as refused:
                    response = refusal(
                        refused.code,
                        refused.message,
                        retryable=refused.retryable,
                        retry_after_seconds=refused.retry_after_seconds,
                    )
                except RequestValidationError as error:
                    response = refusal(Code.BAD_COMMAND, _problem(error))
                except ClientDisconnect:
                    # Nobody is there to be told, and nothing of ours has failed.
                    return _Nothing()
                except ProtocolError as error:
                    response = refusal(Code.BAD_COMMAND, str(error))
                add_cors_headers(access, request, response)
                return response

            return guard

    return Guarded


def endpoints(
    access: Access,
    *,
    prefix: str = "/v1",
    tag: str = "turnwire",
    refusal: Refusal = error_response,
    error: dict[str, Any] = ERROR,
) -> APIRouter:
    """A router for guarded endpoints below `prefix`, documented with the credentials they want: a
    bearer token, wherever there is an authenticator. One that takes others is the app's to explain.

    `error` is the Response Object of what `refusal` answers.
    """
    route_class = guarded(access, refusal=refusal)
    return _router(access.wants_credentials, route_class, prefix=prefix, tag=tag, error=error)


def per_service(
    make: Callable[[APIRouter], None],
    *,
    prefix: str = "/v1",
    tag: str = "turnwire",
    refusal: Refusal = error_response,
    error: dict[str, Any] = ERROR,
) -> Callable[[Service], Sequence[BaseRoute]]:
    """What gives a service the endpoints that `make` adds to a router like that of `endpoints`.

    They are made once for the process, because to make them is most of what an app costs, and find
    their service by `service_of`. Nothing but HTTP: FastAPI makes WebSocket routes anew where an
    app includes them, and they would lose it.
    """

    @functools.cache
    def made(wants_credentials: bool) -> Sequence[BaseRoute]:
        route_class = guarded(None, refusal=refusal)
        router = _router(wants_credentials, route_class, prefix=prefix, tag=tag, error=error)
        make(router)
        return router.routes

    def routes(service: Service) -> Sequence[BaseRoute]:
        return [_bound(route, service) for route in made(service.access.wants_credentials)]

    return routes


def preflights(access: Access, *, prefix: str = "/v1") -> BaseRoute:
    """The answers to what browsers ask before they send anything below `prefix`."""

    async def cors(request: Request) -> Response:
        return preflight(access, request)

    return Route(f"{prefix}/{{path:path}}", cors, methods=["OPTIONS"], include_in_schema=False)


def _bound(route: BaseRoute, service: Service) -> BaseRoute:
    bound = copy.copy(route)
    assert isinstance(bound, _Endpoint)
    bound.service = service
    return bound


def _router(
    wants_credentials: bool,
    route_class: type[APIRoute],
    *,
    prefix: str,
    tag: str,
    error: dict[str, Any],
) -> APIRouter:
    wanted: Responses = {}
    if wants_credentials:
        wanted = {401: {"description": f"`{Code.UNAUTHORIZED}`", **error}}
    return APIRouter(
        prefix=prefix,
        tags=[tag],
        route_class=route_class,
        responses=wanted,
        dependencies=[Security(_BEARER)] if wanted else [],
    )


class _Nothing(Response):
    """The answer to somebody who has gone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pass


def body_of(model: type[Body], *, is_command: bool = True) -> Any:
    """A dependency that gives the request's body as `model`: a command, or what a wire takes.

    FastAPI's own reading would take NaN and nulls, and answer deep nesting in a form of its own.

    Raises (when it is called):
        BadCommand, BadFrame: it is not such a body.
        Rejected: as `Bodies.read` says.
    """

    async def read(request: Request) -> Body:
        # Also what keeps a foreign page's plain form or text from being taken for a command.
        if not _is_json(request.headers.get("content-type", "")):
            raise BadCommand("Content-Type: application/json is required")
        service = service_of(request)
        data = await (service.commands if is_command else service.bodies).read(request)
        return parse_body(model, parse_object(data))

    return Depends(read)


@functools.cache
def described(model: type[BaseModel]) -> dict[str, Any]:
    """What `openapi_extra` says of an endpoint that takes `model` by `body_of`."""
    # An endpoint cannot add to the components of the app it is included in.
    schema = inlined(on_the_wire(model.model_json_schema()))
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    is_json = subtype == "json" or subtype.endswith("+json")
    return is_json and message.get_content_maintype() == "application"


def _problem(error: RequestValidationError) -> str:
    problem = error.errors()[0]
    # The first part says whether it is of the query, the path or a header.
    return f"{'.'.join(map(str, problem['loc'][1:]))}: {problem['msg']}"

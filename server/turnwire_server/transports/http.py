"""What every HTTP answer has alike, and how it is documented: CORS, and errors as typed JSON."""

import asyncio
from collections.abc import Coroutine
from typing import Annotated, Any, NotRequired, Protocol

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from turnwire_protocol import Code, is_retryable
from turnwire_server.transports.access import Access

__all__ = [
    "ERROR",
    "Problem",
    "Refusal",
    "Responses",
    "TurnwireErrorReply",
    "add_cors_headers",
    "error_response",
    "preflight",
    "principal_of",
    "refusals",
    "status_of",
    "unless_gone",
]

Responses = dict[int | str, dict[str, Any]]
"""What an endpoint may answer, by status: FastAPI's `responses`."""


class Problem(TypedDict):
    """What went wrong."""

    code: Annotated[str, Field(description='one of PROTOCOL.md "Codes", or a later one')]
    message: Annotated[str, Field(description="for people")]
    retryable: Annotated[bool, Field(description="the same request may succeed later")]
    retry_after_seconds: NotRequired[float]
    request_id: NotRequired[
        Annotated[str, Field(description="the provider's id of the failed request")]
    ]


class TurnwireErrorReply(BaseModel):
    """Every answer that is an error. Of a turn that failed it has the folded turn beside it."""

    error: Problem


class Refusal(Protocol):
    """What a front end is told of a request that took no effect; see `error_response`."""

    def __call__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool | None = None,
        retry_after_seconds: float | None = None,
    ) -> Response:
        """The answer, with the status of the code."""


_STATUSES: dict[str, int] = {
    Code.BAD_COMMAND: 400,
    Code.INVALID_REQUEST: 400,
    Code.UNAUTHORIZED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.UNKNOWN_CONVERSATION: 404,
    Code.UNKNOWN_TURN: 404,
    Code.UNKNOWN_TOOL_CALL: 404,
    Code.BUSY: 409,
    Code.ALREADY_DECIDED: 409,
    Code.KEY_REUSED: 409,
    Code.TOO_LARGE: 413,
    Code.CONTEXT_TOO_LONG: 413,
    Code.TOO_MANY: 429,
    Code.RATE_LIMIT: 429,
    Code.UNSUPPORTED: 501,
    Code.AUTH_ERROR: 502,
    Code.NETWORK_ERROR: 502,
    Code.OVERLOADED: 503,
    Code.DRAINING: 503,
    Code.STORAGE_UNAVAILABLE: 503,
    Code.TIMEOUT: 504,
}


def status_of(code: str) -> int:
    """The HTTP status that fits an error code."""
    return _STATUSES.get(code, 500)


_ANYWHERE = frozenset({Code.PERMISSION_DENIED, Code.DRAINING, Code.STORAGE_UNAVAILABLE})

_REFERENCE = {"$ref": f"#/components/schemas/{TurnwireErrorReply.__name__}"}
ERROR: dict[str, Any] = {"content": {"application/json": {"schema": _REFERENCE}}}
"""An error, as OpenAPI's Response Object. `health_router` brings the schema into the document."""


def refusals(
    *codes: Code, of_principal: bool = True, error: dict[str, Any] | None = None
) -> Responses:
    """What a guarded endpoint may answer besides what it is for: these codes, and those of all.

    The set is open, as codes are: `default` says so. It also keeps FastAPI from documenting errors
    in a form of its own, with a status that is never answered. They refer to the model, because to
    name it would build it for every route anew. `error` is the Response Object where a refusal has
    another form.
    """
    named: dict[int, list[str]] = {}
    for code in sorted(_ANYWHERE.union(codes, (Code.TOO_MANY,) if of_principal else ())):
        named.setdefault(status_of(code), []).append(f"`{code}`")
    form = ERROR if error is None else error
    answers: Responses = {
        status: {"description": ", ".join(named[status]), **form} for status in sorted(named)
    }
    other = "Another error: the codes are an open set."
    return {**answers, "default": {"description": other, **form}}


def error_response(
    code: str,
    message: str,
    *,
    retryable: bool | None = None,
    retry_after_seconds: float | None = None,
    request_id: str | None = None,
    **more: Any,
) -> JSONResponse:
    """A `TurnwireErrorReply` with the fitting status; `more` stands beside the error."""
    retryable = is_retryable(code) if retryable is None else retryable
    error = Problem(code=code, message=message, retryable=retryable)
    headers = {}
    if retry_after_seconds is not None:
        error["retry_after_seconds"] = retry_after_seconds
        headers["Retry-After"] = str(max(round(retry_after_seconds), 1))
    if request_id is not None:
        error["request_id"] = request_id
    if code == Code.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse({"error": error, **more}, status_of(code), headers)


def principal_of(request: Request) -> str:
    """The principal of a request to a guarded endpoint."""
    principal: str = request.state.turnwire_principal
    return principal


_EXPOSED = "Retry-After, X-Conversation-Id, X-Turnwire-Code, X-Vercel-AI-UI-Message-Stream"
"""What pages of other origins may read of an answer's headers."""


async def unless_gone(request: Request, answer: Coroutine[Any, Any, Response]) -> Response:
    """The answer; given up as soon as nobody waits for it any more."""
    answering = asyncio.create_task(answer)
    leaving = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        return answering.result() if answering.done() else Response(status_code=499)
    finally:
        answering.cancel()
        leaving.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def preflight(access: Access, request: Request) -> Response:
    """The answer to a CORS preflight; a foreign origin that is not allowed gets a bare 403."""
    origin = request.headers.get("origin", "")
    if not (access.is_own(request, origin) or access.is_allowed(origin)):
        return Response(status_code=403)
    response = Response(status_code=204)
    response.headers["Access-Control-Allow-Methods"] = "GET, POST, PATCH, DELETE"
    # Other front ends have headers of their own. Which pages may ask at all, has been said above.
    response.headers["Access-Control-Allow-Headers"] = request.headers.get(
        "access-control-request-headers",
        "Authorization, Content-Type, Idempotency-Key, Last-Event-ID",
    )
    response.headers["Access-Control-Max-Age"] = "600"
    add_cors_headers(access, request, response)
    return response


def add_cors_headers(access: Access, request: Request, response: Response) -> None:
    """Let a page of an allowed origin read the answer."""
    origin = request.headers.get("origin")
    if origin is not None and access.is_allowed(origin):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        response.headers.add_vary_header("Origin")

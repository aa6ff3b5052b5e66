"""OpenAI's form of an error, before a stream and in one."""

from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from turnwire_protocol import Code, StopReason
from turnwire_server.transports.http import Responses, refusals, status_of

__all__ = ["ERROR", "error_of", "refusal", "refused"]

_NAMES: dict[str, str] = {
    # Codes that clients look for (https://platform.openai.com/docs/guides/error-codes).
    Code.NOT_FOUND: "model_not_found",
    Code.CONTEXT_TOO_LONG: "context_length_exceeded",
}
_STATUSES: dict[str, int] = {
    Code.CONTEXT_TOO_LONG: 400,
    StopReason.CANCELLED: 409,
    StopReason.INTERRUPTED: 503,
}
_TYPES: dict[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}


class OpenAIProblem(BaseModel):
    """What went wrong."""

    message: str = Field(description="for people")
    type: str
    param: str | None
    code: str = Field(description='one of PROTOCOL.md "Codes" or OpenAI\'s, or a later one')


class OpenAIErrorReply(BaseModel):
    """Every answer that is an error."""

    error: OpenAIProblem


_REFERENCE = {"$ref": f"#/components/schemas/{OpenAIErrorReply.__name__}"}
ERROR: dict[str, Any] = {"content": {"application/json": {"schema": _REFERENCE}}}
"""An error, as OpenAPI's Response Object."""


def refused(*codes: Code) -> Responses:
    """`transports.http.refusals`, of errors in this form."""
    ours = refusals(*codes)
    other = {"description": ours.pop("default")["description"], "model": OpenAIErrorReply}
    return {**{status: {**answer, **ERROR} for status, answer in ours.items()}, "default": other}


def error_of(code: str, message: str) -> dict[str, Any]:
    """`{"error": …}`, as a body and as the data of an event."""
    status = _status_of(code)
    type = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    name = _NAMES.get(code, code)
    return {"error": {"message": message, "type": type, "param": None, "code": name}}


def refusal(
    code: str,
    message: str,
    *,
    retryable: bool | None = None,
    retry_after_seconds: float | None = None,
) -> JSONResponse:
    """The error with its status. The SDKs ask again by themselves after 408, 409, 429 and 5xx,
    unless they are told that it is in vain.
    """
    headers = {"x-should-retry": "false"} if retryable is False else {}
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(max(round(retry_after_seconds), 1))
    if code == Code.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_of(code, message), _status_of(code), headers)


def _status_of(code: str) -> int:
    return _STATUSES.get(code) or status_of(code)

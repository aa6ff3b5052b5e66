"""OpenAI's form of an error, before a stream and in one."""

from typing import Any

from starlette.responses import JSONResponse

from turnwire_protocol import Code, StopReason
from turnwire_server.errors import Rejected
from turnwire_server.transports.http import status_of

__all__ = ["error_of", "error_response", "refusal"]

_NAMES: dict[str, str] = {
    # Codes that clients look for (https://platform.openai.com/docs/guides/error-codes).
    Code.NOT_FOUND: "model_not_found",
    Code.CONTEXT_TOO_LONG: "context_length_exceeded",
    Code.UNAUTHORIZED: "invalid_api_key",
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


def error_of(code: str, message: str) -> dict[str, Any]:
    """`{"error": …}`, as a body and as the data of an event."""
    status = _status_of(code)
    type = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    name = _NAMES.get(code, code)
    return {"error": {"message": message, "type": type, "param": None, "code": name}}


def error_response(
    code: str,
    message: str,
    *,
    retry_after_seconds: float | None = None,
    may_retry: bool = True,
) -> JSONResponse:
    """The error with its status. The SDKs ask again by themselves after 409, 429 and 5xx, unless
    `may_retry` says that they are not to.
    """
    headers = {} if may_retry else {"x-should-retry": "false"}
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(max(round(retry_after_seconds), 1))
    if code == Code.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_of(code, message), _status_of(code), headers)


def refusal(refused: Rejected) -> JSONResponse:
    """Why a request took no effect."""
    return error_response(
        refused.code,
        refused.message,
        retry_after_seconds=refused.retry_after_seconds,
        may_retry=refused.retryable,
    )


def _status_of(code: str) -> int:
    return _STATUSES.get(code) or status_of(code)

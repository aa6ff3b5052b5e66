"""A refusal for front ends that show the body of a failed request to people: plain text."""

from typing import Any

from starlette.responses import PlainTextResponse

from turnwire_protocol import Code
from turnwire_server.transports.http import status_of

__all__ = ["TEXT", "text_refusal"]

TEXT: dict[str, Any] = {"content": {"text/plain": {"schema": {"type": "string"}}}}
"""Such a refusal, as OpenAPI's Response Object."""


def text_refusal(
    code: str,
    message: str,
    *,
    retryable: bool | None = None,
    retry_after_seconds: float | None = None,
) -> PlainTextResponse:
    """The message as the body; for programs the header `x-turnwire-code`, and `retry-after`."""
    headers = {"x-turnwire-code": code}
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(max(round(retry_after_seconds), 1))
    if code == Code.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return PlainTextResponse(message, status_of(code), headers)

"""An HTTP error of the Claude API in place of an answer, as a value; sends nothing itself.

Also what stands in its place outside: any status, with any body, of any length.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["TYPES", "Fault"]

# https://docs.claude.com/en/api/errors
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Fault:
    """Refuses the request with `status`; `type` defaults to the API's name for it, `code` is the
    finer one that some have.

    `retry_after` is the header's value, in seconds. `data` is a body sent as it is in place of the
    API's error object, with `content_type`; with `is_endless` it is sent again and again until the
    client goes. `extra_headers` win over the others; an empty value takes one away.
    """

    status: int
    type: str | None = None
    message: str = "simulated fault"
    retry_after: float | None = None
    data: bytes | None = None
    content_type: str = "application/json"
    is_endless: bool = False
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None

    def content(self, request_id: str) -> bytes:
        """The bytes of the body."""
        return json.dumps(self.body(request_id)).encode() if self.data is None else self.data

    def body(self, request_id: str) -> dict[str, object]:
        """The API's error object, for the body of the response."""
        kind = self.type or TYPES.get(self.status, "api_error")
        error: dict[str, object] = {"type": kind, "message": self.message}
        if self.code is not None:
            error["details"] = {"error_code": self.code}
        return {
            "type": "error",
            "error": error,
            "request_id": request_id,
        }

    def headers(self, request_id: str) -> dict[str, str]:
        """The response headers that tell clients what to do."""
        headers = {"request-id": request_id, "content-type": self.content_type}
        if self.retry_after is not None:
            headers["retry-after"] = f"{self.retry_after:g}"
        headers |= self.extra_headers
        return {name: value for name, value in headers.items() if value}

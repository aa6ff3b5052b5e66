"""An HTTP error of the Claude API in place of an answer, as a value; sends nothing itself."""

from dataclasses import dataclass

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
    """Refuses the request with `status`; `type` defaults to the API's name for it.

    `retry_after` is the header's value, in seconds.
    """

    status: int
    type: str | None = None
    message: str = "simulated fault"
    retry_after: float | None = None

    def body(self, request_id: str) -> dict[str, object]:
        """The API's error object, for the body of the response."""
        kind = self.type or TYPES.get(self.status, "api_error")
        return {
            "type": "error",
            "error": {"type": kind, "message": self.message},
            "request_id": request_id,
        }

    def headers(self, request_id: str) -> dict[str, str]:
        """The response headers that tell clients what to do."""
        headers = {"request-id": request_id}
        if self.retry_after is not None:
            headers["retry-after"] = f"{self.retry_after:g}"
        return headers

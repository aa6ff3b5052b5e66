"""The closed vocabularies of turnwire.v1: reasons, error codes and WebSocket close codes.

`stop_reason` and `code` are open strings on the wire: a client must accept values not listed here.
"""

from enum import IntEnum, StrEnum

__all__ = [
    "PROTOCOL",
    "CloseCode",
    "Code",
    "StopReason",
    "fails_unacknowledged",
    "is_retryable",
    "may_reconnect",
]

PROTOCOL = "turnwire.v1"


class StopReason(StrEnum):
    """Why a turn ended: the Messages API's own reasons, and four of ours."""

    END_TURN = "end_turn"
    MAX_TOKENS = "max_tokens"
    STOP_SEQUENCE = "stop_sequence"
    REFUSAL = "refusal"
    MODEL_CONTEXT_WINDOW_EXCEEDED = "model_context_window_exceeded"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    MAX_STEPS = "max_steps"


class Code(StrEnum):
    """What went wrong, of a turn (`error`, `retry`) or of a command (`reject`)."""

    RATE_LIMIT = "rate_limit"
    OVERLOADED = "overloaded"
    AUTH_ERROR = "auth_error"
    PERMISSION_DENIED = "permission_denied"
    INVALID_REQUEST = "invalid_request"
    CONTEXT_TOO_LONG = "context_too_long"
    NOT_FOUND = "not_found"
    NETWORK_ERROR = "network_error"
    TIMEOUT = "timeout"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    INTERNAL = "internal"

    BAD_COMMAND = "bad_command"
    UNSUPPORTED = "unsupported"
    UNAUTHORIZED = "unauthorized"
    UNKNOWN_CONVERSATION = "unknown_conversation"
    UNKNOWN_TURN = "unknown_turn"
    UNKNOWN_TOOL_CALL = "unknown_tool_call"
    BUSY = "busy"
    ALREADY_DECIDED = "already_decided"
    KEY_REUSED = "key_reused"
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    DRAINING = "draining"


_RETRYABLE = frozenset(
    {
        Code.RATE_LIMIT,
        Code.OVERLOADED,
        Code.NETWORK_ERROR,
        Code.TIMEOUT,
        Code.STORAGE_UNAVAILABLE,
        Code.INTERNAL,
        Code.BUSY,
        Code.TOO_MANY,
        Code.DRAINING,
    }
)


def is_retryable(code: str) -> bool:
    """Whether the same request may succeed later, unchanged."""
    return code in _RETRYABLE


class CloseCode(IntEnum):
    """WebSocket close codes the server uses (RFC 6455 §7.4, PROTOCOL.md "Closing")."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    INVALID_DATA = 1007
    TOO_LARGE = 1009
    INTERNAL = 1011
    RESTART = 1012
    IDLE = 4408
    TOO_SLOW = 4429
    VIOLATION = 4500
    UNAUTHORIZED = 4501


def may_reconnect(close_code: int) -> bool:
    """Whether a client reconnects and resumes after this close code; the range decides."""
    return close_code != CloseCode.NORMAL and not 4500 <= close_code <= 4999


def fails_unacknowledged(close_code: int) -> bool:
    """Whether a client gives up the commands without a reply, as one of them may be the cause."""
    return close_code in _BLAMES_A_FRAME or not may_reconnect(close_code)


_BLAMES_A_FRAME = frozenset({CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.TOO_LARGE})

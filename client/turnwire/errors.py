"""The exceptions of the client.

TurnwireError
├── UsageError                   a mistake of this program
│   ├── BadAddress               the URL names no service
│   ├── BadArgument              a value no server would accept; nothing was sent
│   ├── BadPosition              the conversation cannot be read from there in this program
│   └── WireClosed               the wire is not open: before or after its `async with`
└── RemoteError                  the server, or the way to it
    ├── CannotConnect            nobody answered in time, or not in turnwire.v1
    │   └── ConnectionRefused    somebody answered: no
    ├── ConnectionLost           the connection is gone and is not coming back
    ├── BadServer                what the server sent is not turnwire.v1
    ├── Rejected                 a command took no effect
    ├── ConversationClosed       the server ended the subscription (deleted, or unreadable)
    ├── TurnFailed               the turn ended without an answer
    └── BadOutput                the answer's data is not of the type that was asked for
"""

from turnwire.reply import Reply
from turnwire_protocol import Reject

__all__ = [
    "BadAddress",
    "BadArgument",
    "BadOutput",
    "BadPosition",
    "BadServer",
    "CannotConnect",
    "ConnectionLost",
    "ConnectionRefused",
    "ConversationClosed",
    "Rejected",
    "RemoteError",
    "TurnFailed",
    "TurnwireError",
    "UsageError",
    "WireClosed",
    "rejected",
]


class TurnwireError(Exception):
    """Anything this package raises."""


class UsageError(TurnwireError):
    """A mistake of this program."""


class BadAddress(UsageError):
    """The URL names no service."""


class BadArgument(UsageError):
    """A value no server would accept; nothing was sent."""


class BadPosition(UsageError):
    """The conversation cannot be read from there: this program does not hold it so finely."""


class WireClosed(UsageError):
    """The wire is not open: it was used outside its `async with`, or left while something ran."""


class RemoteError(TurnwireError):
    """The server, or the way to it."""


class CannotConnect(RemoteError):
    """Nobody answered at `address` in time, or not in turnwire.v1."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.address = address
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot connect to {self.address}: {self.reason}"


class ConnectionRefused(CannotConnect):
    """Somebody answered no: `status` is that of HTTP, or the WebSocket close code.

    `code` is the service's own: `unauthorized` for a missing or wrong token. None: what answered
    is no service, as at a wrong path, or something before it.
    """

    def __init__(self, address: str, reason: str, *, status: int, code: str | None = None) -> None:
        super().__init__(address, reason)
        self.status = status
        self.code = code

    def __str__(self) -> str:
        told = f"{self.address} refused the connection ({self.status}): {self.reason}"
        if self.code is None and self.status in (403, 404):
            return f"{told}. It was no Turnwire that answered: is the path right?"
        return told


class ConnectionLost(RemoteError):
    """The connection is gone; `close_code` as in RFC 6455 §7.4, 1006 where none came."""

    def __init__(self, close_code: int, reason: str) -> None:
        super().__init__(close_code, reason)
        self.close_code = close_code
        self.reason = reason

    def __str__(self) -> str:
        return f"connection lost ({self.close_code}): {self.reason or 'no reason given'}"


class BadServer(RemoteError):
    """What the server sent is not turnwire.v1."""


class _Coded(RemoteError):
    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" if self.message else self.code


class Rejected(_Coded):
    """A command took no effect; `retryable`: the same may succeed later."""


class ConversationClosed(_Coded):
    """The server ended the subscription."""


class TurnFailed(_Coded):
    """The turn ended without an answer; `reply` holds what had come of one."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool,
        retry_after_seconds: float | None = None,
        reply: Reply | None = None,
    ) -> None:
        super().__init__(
            code, message, retryable=retryable, retry_after_seconds=retry_after_seconds
        )
        self.reply = reply


class BadOutput(RemoteError):
    """The answer's data is not of the type that was asked for: what that demands beyond the schema,
    the model was only told. `reply` has it as it came."""

    def __init__(self, reason: str, *, reply: Reply) -> None:
        super().__init__(reason)
        self.reply = reply


def rejected(reject: Reject) -> Rejected:
    """What the server says is wrong, as an exception."""
    return Rejected(
        reject.code,
        reject.message,
        retryable=reject.retryable,
        retry_after_seconds=reject.retry_after_seconds,
    )

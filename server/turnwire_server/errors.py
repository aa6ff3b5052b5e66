"""The exceptions of the server package.

TurnwireError
├── CodedError           carries one of the protocol's codes
│   ├── Rejected         a command took no effect: what `reject` and REST answers say
│   └── ModelError       an attempt at a model call failed: what `retry` and `error` say
├── StoreError           the store cannot be read or written now
│   └── Fenced           another process owns the log
└── SettingsError        the service cannot start like this; the message names the remedy
"""

from typing import Literal

from turnwire_protocol import Code, is_retryable

__all__ = [
    "CodedError",
    "Fenced",
    "ModelError",
    "Rejected",
    "SettingsError",
    "StoreError",
    "TurnwireError",
]


class TurnwireError(Exception):
    """Root of this package's exceptions."""


class CodedError(TurnwireError):
    """Something that a client is told: a code, a sentence for people, and when to try again."""

    def __init__(
        self, code: Code, message: str, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = is_retryable(code)
        self.retry_after_seconds = retry_after_seconds


class Rejected(CodedError):
    """A command took no effect."""

    @classmethod
    def because_of_the_store(cls) -> "Rejected":
        """The store cannot be read or written now; a second later it may be well again."""
        message = "the store cannot be used now"
        return cls(Code.STORAGE_UNAVAILABLE, message, retry_after_seconds=1.0)


class ModelError(CodedError):
    """An attempt at a model call failed.

    `cause` names what in the request was refused, where the provider said it: `attachments`, or
    `thinking` (a block that belongs to another conversation, as the provider sees it).
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        cause: Literal["attachments", "thinking"] | None = None,
    ) -> None:
        super().__init__(code, message, retry_after_seconds=retry_after_seconds)
        self.cause = cause


class StoreError(TurnwireError):
    """The store cannot be read or written now."""


class Fenced(StoreError):
    """Another process owns the log; nothing may be appended."""


class SettingsError(TurnwireError):
    """The service cannot start like this."""

"""The exceptions of the server package.

TurnwireError
├── Refused          a command took no effect; carries what `reject` and REST answers say
├── ModelError       an attempt at a model call failed; carries the code of `retry` and `error`
├── StoreError       the store cannot be read or written now
│   └── Fenced       another process owns the log
└── SettingsError    the service cannot start like this; the message names the remedy
"""

from turnwire_protocol import Code, is_retryable

__all__ = ["Fenced", "ModelError", "Refused", "SettingsError", "StoreError", "TurnwireError"]


class TurnwireError(Exception):
    """Root of this package's exceptions."""


class Refused(TurnwireError):
    """A command took no effect."""

    def __init__(
        self, code: Code, message: str, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = is_retryable(code)
        self.retry_after_seconds = retry_after_seconds


class ModelError(TurnwireError):
    """An attempt at a model call failed."""

    def __init__(
        self, code: Code, message: str, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = is_retryable(code)
        self.retry_after_seconds = retry_after_seconds


class StoreError(TurnwireError):
    """The store cannot be read or written now."""


class Fenced(StoreError):
    """Another process owns the log; nothing may be appended."""


class SettingsError(TurnwireError):
    """The service cannot start like this."""

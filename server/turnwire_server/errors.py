"""The exceptions of the server package.

TurnwireError
├── CodedError           carries one of the protocol's codes
│   ├── Rejected         a command took no effect: what `reject` and REST answers say
│   └── ModelError       an attempt at a model call failed: what `retry` and `error` say
├── Held                 another node has the right to append to the log
├── StoreError           the store cannot be read or written now
│   ├── Fenced           another process owns the log
│   └── Unreadable       what is stored of one conversation is no log; the others are well
└── SettingsError        the service cannot start like this; the message names the remedy
"""

from dataclasses import asdict, dataclass
from math import inf
from typing import Any, Literal

from turnwire_protocol import Code, is_retryable

__all__ = [
    "Cause",
    "CodedError",
    "Fenced",
    "Held",
    "ModelError",
    "ProviderWords",
    "Rejected",
    "SettingsError",
    "StoreError",
    "TurnwireError",
    "Unreadable",
    "forget_frames",
]


class TurnwireError(Exception):
    """Root of this package's exceptions."""


class CodedError(TurnwireError):
    """Something that a client is told: a code, a sentence for people, and when to try again.

    Raises:
        TypeError, ValueError: clients could not be told so. An app's own code may say it, and what
            says it is where a mistake can be found.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        retryable: bool | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        if not isinstance(message, str):
            raise TypeError(f"message: a text is required, not {type(message).__name__}")
        if retry_after_seconds is not None and not 0 <= retry_after_seconds < inf:
            raise ValueError(f"retry_after_seconds: {retry_after_seconds} is no time from now")
        super().__init__(message)
        self.code = Code(code)  # Its text is one, too.
        self.message = message
        self.retryable = is_retryable(self.code) if retryable is None else bool(retryable)
        self.retry_after_seconds = retry_after_seconds


class Rejected(CodedError):
    """A command took no effect."""

    @classmethod
    def because_of_the_store(cls, error: Exception | None = None) -> "Rejected":
        """The store cannot be read or written now; a second later it may be well again, unless
        what is stored cannot be read at all."""
        if isinstance(error, Unreadable):
            message = "the conversation cannot be read"
            return cls(Code.STORAGE_UNAVAILABLE, message, retryable=False)
        message = "the store cannot be used now"
        return cls(Code.STORAGE_UNAVAILABLE, message, retry_after_seconds=1.0)


Cause = Literal["attachments", "compaction", "refused", "thinking", "too_long"]
"""What of a request was refused: attachments, a summary, thinking blocks, or all it is together; or
the whole turn, by a hook of the app."""


@dataclass(slots=True, frozen=True, kw_only=True)
class ProviderWords:
    """What the provider said of a failure, bounded and without secrets: for the log, not for all.

    `type` and `code` are its own names for it, whichever it has; `status` is that of HTTP.
    """

    status: int | None = None
    type: str | None = None
    code: str | None = None
    message: str | None = None
    request_id: str | None = None


class ModelError(CodedError):
    """An attempt at a model call failed.

    `message` is for clients. `retryable` is that of the code unless the provider or the answer so
    far says otherwise; `max_retries` bounds the further attempts it is worth, None leaves that to
    the policy. `cause` says what of the request was refused, where the provider names it.
    `provider` is what the provider said.
    """

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        retryable: bool | None = None,
        max_retries: int | None = None,
        cause: Cause | None = None,
        provider: ProviderWords | None = None,
    ) -> None:
        super().__init__(
            code, message, retryable=retryable, retry_after_seconds=retry_after_seconds
        )
        self.max_retries = max_retries
        self.cause = cause
        self.provider = provider

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request, for its support."""
        return self.provider.request_id if self.provider else None

    @property
    def private(self) -> dict[str, Any] | None:
        """The private fields of the `retry` or `error` event (PROTOCOL.md "Private fields")."""
        told: dict[str, Any] = {}
        if self.cause is not None:
            told["cause"] = self.cause
        if self.provider is not None:
            words = asdict(self.provider)
            told["provider"] = {name: word for name, word in words.items() if word is not None}
        return told or None


class Held(TurnwireError):
    """Another node has the right to append to the log: what is to be done there, it does."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"node {holder} holds it")
        self.holder = holder


class StoreError(TurnwireError):
    """The store cannot be read or written now."""


class Fenced(StoreError):
    """Another process owns the log; nothing may be appended."""


class Unreadable(StoreError):
    """What is stored of one conversation is no log: a row cannot be decoded, or does not fit."""


class SettingsError(TurnwireError):
    """The service cannot start like this."""


def forget_frames(error: BaseException | None) -> None:
    """Let go of what the frames hold through which this error, and those it came of, have come."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__

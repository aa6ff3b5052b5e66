"""The one table of what a failed attempt means: types, statuses, words, and what to do then. Pure.

https://docs.claude.com/en/api/errors; Bedrock's names:
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModelWithResponseStream.html
(in a stream they begin with a small letter). What a body says is found elsewhere (`words_of`).
"""

import email.utils
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from turnwire_protocol import Code
from turnwire_server.errors import Cause, ModelError, ProviderWords

__all__ = ["Malformed", "TooLarge", "cut_off", "judge", "malformed", "too_large", "unreachable"]


class Malformed(ValueError):
    """The answer's bytes are not what they must be to be used."""


class TooLarge(Malformed):
    """An event does not end within the bound."""


_TYPES = {
    # The Claude API's error types; they also come in an `error` event inside a 200 response.
    "api_error": Code.INTERNAL,
    "authentication_error": Code.AUTH_ERROR,
    "billing_error": Code.PERMISSION_DENIED,
    "conflict_error": Code.INTERNAL,
    "invalid_request_error": Code.INVALID_REQUEST,
    "not_found_error": Code.NOT_FOUND,
    "overloaded_error": Code.OVERLOADED,
    "permission_error": Code.PERMISSION_DENIED,
    "rate_limit_error": Code.RATE_LIMIT,
    "request_too_large": Code.CONTEXT_TOO_LONG,
    "timeout_error": Code.TIMEOUT,
    # Bedrock's exceptions.
    "accessdeniedexception": Code.PERMISSION_DENIED,
    "conflictexception": Code.INTERNAL,
    "expiredtokenexception": Code.AUTH_ERROR,
    "incompletesignatureexception": Code.AUTH_ERROR,
    "internalserverexception": Code.INTERNAL,
    "invalidsignatureexception": Code.AUTH_ERROR,
    "missingauthenticationtokenexception": Code.AUTH_ERROR,
    "modelerrorexception": Code.INTERNAL,
    "modelnotreadyexception": Code.OVERLOADED,
    "modelstreamerrorexception": Code.INTERNAL,
    "modeltimeoutexception": Code.TIMEOUT,
    "resourcenotfoundexception": Code.NOT_FOUND,
    "servicequotaexceededexception": Code.RATE_LIMIT,
    "serviceunavailableexception": Code.OVERLOADED,
    "throttlingexception": Code.RATE_LIMIT,
    "unrecognizedclientexception": Code.AUTH_ERROR,
    "validationexception": Code.INVALID_REQUEST,
    # Google's statuses (Vertex) that are no other's.
    "deadline_exceeded": Code.TIMEOUT,
    "failed_precondition": Code.INVALID_REQUEST,
    "invalid_argument": Code.INVALID_REQUEST,
    "not_found": Code.NOT_FOUND,
    "permission_denied": Code.PERMISSION_DENIED,
    "resource_exhausted": Code.RATE_LIMIT,
    "unauthenticated": Code.AUTH_ERROR,
    "unavailable": Code.OVERLOADED,
    # The Claude API's own codes, in an error's `details`, that say more than its type.
    "organization_on_hold": Code.PERMISSION_DENIED,
    # What gateways say that began with another API.
    "context_length_exceeded": Code.CONTEXT_TOO_LONG,
    "insufficient_quota": Code.PERMISSION_DENIED,
    "invalid_api_key": Code.AUTH_ERROR,
    "model_not_found": Code.NOT_FOUND,
    "rate_limit_exceeded": Code.RATE_LIMIT,
    "server_error": Code.INTERNAL,
}

_STATUSES = {
    401: Code.AUTH_ERROR,
    402: Code.PERMISSION_DENIED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    408: Code.TIMEOUT,
    409: Code.INTERNAL,
    413: Code.CONTEXT_TOO_LONG,
    424: Code.INTERNAL,
    425: Code.INTERNAL,
    429: Code.RATE_LIMIT,
    504: Code.TIMEOUT,
    524: Code.TIMEOUT,
    529: Code.OVERLOADED,
}

_WORDS = (
    # For what has neither a type nor a status that is known: the last resort, in this order.
    (re.compile(r"(?i)rate.?limit|too many requests|throttl"), Code.RATE_LIMIT),
    (re.compile(r"(?i)api.?key|unauthori[sz]ed|authenticat|credential"), Code.AUTH_ERROR),
    (re.compile(r"(?i)\bkey (?:has |is )?(?:expired|invalid|revoked)"), Code.AUTH_ERROR),
    (re.compile(r"(?i)forbidden|access denied|not allowed|permission"), Code.PERMISSION_DENIED),
    (re.compile(r"(?i)overloaded|unavailable|at capacity"), Code.OVERLOADED),
    (re.compile(r"(?i)timed? ?out|deadline"), Code.TIMEOUT),
)

_TOO_LONG = re.compile(
    r"(?i)too long|context (?:limit|window|length)|context_length|maximum (?:context|number of)"
    r" (?:length|tokens)|too many (?:input )?tokens in|input tokens? exceed"
)
_SPENT = re.compile(
    r"(?i)credit balance|spend(?:ing)?[ _-](?:limit|cap)|usage limits?\b|insufficient[ _](?:quota|"
    r"credits?|funds|balance)|(?:exceeded|reached) your (?:current |monthly )?(?:quota|budget)|"
    r"budget (?:has been )?exceeded|monthly (?:spend|usage|limit)|out of credits|"
    r"extra usage is required|billing (?:hard limit|details)"
)
_DAILY = re.compile(r"(?i)(?:tokens|requests) per day|daily (?:limit|quota)")
_ATTACHMENTS = re.compile(
    # Not where a path leads into a tool's schema or the system prompt: names there are anybody's.
    r"(?i)^(?!(?:tools|system)\b).*(?<![a-z_-])(?:images?|documents?|pdfs?|attachments?|"
    r"media.?types?|base64)(?![a-z])"
)
_COMPACTION = re.compile(r"(?i)^(?!(?:tools|system)\b).*\bcompact(?:ion\b|_\d)")
_THINKING = re.compile(
    r"(?i)block is bound to an?\b|thinking`? blocks?.*(?:cannot be modified|bound|"
    r"signature)|signature.*thinking"
)

_SINGLE = frozenset({"conflict_error", "conflictexception", "modelerrorexception"})
"""Worth one more attempt, like the statuses 409 and 424: it may not meet what this one met."""

_TEXTS = {
    Code.RATE_LIMIT: "the model's provider limits the rate of requests",
    Code.OVERLOADED: "the model is overloaded",
    Code.AUTH_ERROR: "the model's provider does not accept this server's credentials",
    Code.PERMISSION_DENIED: "the model's provider does not allow this server to do that",
    Code.INVALID_REQUEST: "the model's provider refused the request",
    Code.CONTEXT_TOO_LONG: "the conversation is too long for the model: begin a new one, or take an"
    " earlier message back and go on from there",
    Code.NOT_FOUND: "the model's provider does not know this model",
    Code.NETWORK_ERROR: "the model's server did not answer as one",
    Code.TIMEOUT: "the model did not answer in time",
    Code.INTERNAL: "the model's provider failed",
}
_SPENT_TEXT = "this server's account with the model's provider has reached its limit of spending"
_ATTACHMENTS_TEXT = "the model's provider refused an attachment"


def judge(
    words: ProviderWords,
    *,
    headers: Mapping[str, str] | None = None,
    expose: bool,
    now: datetime,
    otherwise: Code = Code.INTERNAL,
) -> ModelError:
    """What the provider's answer means. `expose`: clients are told its own words.

    `otherwise` is the code of what comes with a status of success and tells nothing known.
    """
    headers = headers or {}
    said = words.message or ""
    code = _code(words, otherwise)
    is_refusal = code in (Code.INVALID_REQUEST, Code.CONTEXT_TOO_LONG)
    is_spent = "spend_limit" in (words.code or "") or (
        (is_refusal or code is Code.RATE_LIMIT) and _SPENT.search(said) is not None
    )
    retryable: bool | None = None
    text = _TEXTS[code]
    if is_spent or words.type == "billing_error" or words.status == 402:
        # Some say it with 429, some with 400: no further attempt and no other message helps.
        code, text, retryable, is_refusal = Code.PERMISSION_DENIED, _SPENT_TEXT, False, False
    elif code is Code.RATE_LIMIT and _DAILY.search(said):
        retryable = False
    elif code is Code.INVALID_REQUEST and _TOO_LONG.search(said):
        code, text = Code.CONTEXT_TOO_LONG, _TEXTS[Code.CONTEXT_TOO_LONG]
    cause = _cause(code, words) if is_refusal else None
    if cause == "attachments" and code is Code.INVALID_REQUEST:
        text = _ATTACHMENTS_TEXT
    match headers.get("x-should-retry"):
        case "true":
            retryable = True
        case "false":
            retryable = False
    is_single = words.status in (409, 424) or (words.type or "").lower() in _SINGLE
    return ModelError(
        code,
        words.message if expose and words.message else text,
        retry_after_seconds=_retry_after(headers, now),
        retryable=retryable,
        max_retries=1 if is_single else None,
        cause=cause,
        provider=words,
    )


def _cause(code: Code, words: ProviderWords) -> Cause | None:
    said = words.message or ""
    if (words.code or "").startswith("compaction_") or _COMPACTION.search(said):
        return "compaction"
    if _THINKING.search(said):
        return "thinking"
    if _ATTACHMENTS.search(said):
        return "attachments"
    return "too_long" if code is Code.CONTEXT_TOO_LONG else None


def _code(words: ProviderWords, otherwise: Code) -> Code:
    # The finest name first. Names say more than numbers, and a number in the body more than the
    # 200 of a stream that has begun.
    for name in (words.code, words.type):
        # After a namespace: `com.amazon.coral.service#ThrottlingException`.
        if name and (code := _TYPES.get(name.rpartition("#")[2].lower())):
            return code
    status = words.status or 0
    for number in (status, _number(words.code), _number(words.type)):
        if code := _STATUSES.get(number):
            return code
        if 400 <= number < 500:
            return Code.INVALID_REQUEST
        if 500 <= number < 600:
            return Code.INTERNAL
    for pattern, code in _WORDS:
        if pattern.search(words.message or ""):
            return code
    return Code.CONTEXT_TOO_LONG if _TOO_LONG.search(words.message or "") else otherwise


def _number(name: str | None) -> int:
    return int(name) if name and name.isascii() and name.isdigit() and len(name) == 3 else 0


def _retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """https://www.rfc-editor.org/rfc/rfc9110#name-retry-after, and its form in milliseconds."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    try:
        date = email.utils.parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    # A date without a zone, or with `-0000`, is one of UTC.
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max((date - now).total_seconds(), 0.0)


def malformed(*, after_text: bool) -> ModelError:
    """The answer cannot be read. Once it has spoken, the next would cost as much and be as bad."""
    retryable = False if after_text else None
    return ModelError(Code.NETWORK_ERROR, "the model's answer was malformed", retryable=retryable)


def too_large() -> ModelError:
    """An event never ends; that of the next attempt would not either."""
    message = "an event of the model's answer is too large"
    return ModelError(Code.NETWORK_ERROR, message, retryable=False)


def cut_off() -> ModelError:
    """The answer ended before its end."""
    return ModelError(Code.NETWORK_ERROR, "the model's answer ended before its end")


def unreachable(*, timed_out: bool) -> ModelError:
    """No connection, or no answer on it."""
    if timed_out:
        return ModelError(Code.TIMEOUT, "the model did not answer in time")
    return ModelError(Code.NETWORK_ERROR, "the connection to the model failed")

"""What a provider says of a failure, found in whatever body it came in. Pure; judges nothing.

The Claude API's form is `{"type": "error", "error": {"type", "message"}, "request_id"}`. Outside it
there are Bedrock's `{"message"}`, Vertex's arrays of errors, FastAPI's `detail`, gateways that put
a string where an object belongs, plain text, and the HTML pages of proxies. What is taken from them
is bounded, and holds no credentials: providers do repeat the key they refuse.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from turnwire_server.errors import ProviderWords

__all__ = ["redacted", "request_id_of", "words_of"]

_MESSAGE_CHARS = 2000
_NAME_CHARS = 128
_REDACTED = "[redacted]"

_REQUEST_ID_HEADERS = ("request-id", "x-amzn-requestid", "x-request-id")
_SECRETS = (
    # Keys of Anthropic, OpenAI and many gateways; also where the middle was starred out.
    re.compile(r"\bsk-[\w*.…-]{3,}"),
    re.compile(r"(?i)\b(?:bearer|basic)\s+[\w.~+/=*…-]{4,}"),
    # AWS access keys, Google API keys, JSON web tokens.
    re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"),
    re.compile(r"\bAIza[\w-]{20,}"),
    re.compile(r"\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?"),
    # user:password@ of an address.
    re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"),
    # A value that is called a secret by its own name.
    re.compile(
        r"""(?ix) (?: api[_-]?key | access[_-]?key | (?:auth|access|session|security)[_-]?token
        | client[_-]?secret | secret | password | authorization ) ["']? \s* [:=] \s*
        (?:"[^"]*" | '[^']*' | [^\s,;&"'}]+)"""
    ),
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]+")
_TAGS = re.compile(r"(?is)<(?:script|style)\b.*?</(?:script|style)\s*>|<[^>]*>")
_TITLE = re.compile(r"(?is)<title[^>]*>(.*?)</title")


def redacted(text: str, secrets: Sequence[str] = ()) -> str:
    """The text without what looks like a credential, nor any of `secrets`."""
    for secret in secrets:
        text = text.replace(secret, _REDACTED)
    for pattern in _SECRETS:
        text = pattern.sub(_REDACTED, text)
    return text


def words_of(
    body: object,
    *,
    status: int | None,
    headers: Mapping[str, str] | None = None,
    secrets: Sequence[str] = (),
) -> ProviderWords:
    """What a body (parsed JSON, or text where it is none) and the headers say of a failure."""
    headers = headers or {}
    if isinstance(body, list):
        body = next((item for item in body if isinstance(item, dict)), body[0] if body else None)
    outer: dict[str, Any] = body if isinstance(body, dict) else {}
    error = outer.get("error", outer.get("errors"))
    if isinstance(error, list):
        error = error[0] if error else None
    inner: dict[str, Any] = error if isinstance(error, dict) else {}
    message = _message(inner, outer, error, body)
    kind = inner.get("type") or inner.get("status") or outer.get("__type")
    if kind is None and outer.get("type") != "error":
        kind = outer.get("type")
    if kind in (None, "", "None"):
        # Bedrock's names: `ThrottlingException:http://…`, or after a namespace and a hash.
        kind = headers.get("x-amzn-errortype", "").partition(":")[0]
    details = inner.get("details")
    finer = details.get("error_code") if isinstance(details, dict) else None
    code = finer or inner.get("code", outer.get("code"))
    ids = [place.get(name) for place in (outer, inner) for name in ("request_id", "requestId")]
    return ProviderWords(
        status=status,
        type=_name(kind, secrets),
        code=_name(code, secrets),
        message=_bounded(message, secrets, _MESSAGE_CHARS),
        request_id=request_id_of(headers, secrets=secrets)
        or _name(next((id for id in ids if id), None), secrets),
    )


def request_id_of(headers: Mapping[str, str], *, secrets: Sequence[str] = ()) -> str | None:
    """The provider's id of a request, out of the headers of the answer."""
    ids = (headers.get(name) for name in _REQUEST_ID_HEADERS)
    return _name(next((id for id in ids if id), None), secrets)


def _message(inner: dict[str, Any], outer: dict[str, Any], error: object, body: object) -> object:
    for place in (inner, outer):
        for name in ("message", "Message", "detail", "msg", "error_description"):
            if found := place.get(name):
                return _first(found)
    for candidate in (error, body):
        if isinstance(candidate, str):
            return candidate
    # An object of a form that nobody foresaw still says something.
    return body if any(outer.values()) else None


def _first(found: object) -> object:
    """FastAPI's `detail` may be a list of objects with `msg`, or an object with a message."""
    if isinstance(found, list) and found and isinstance(found[0], dict):
        return found[0].get("msg") or found[0].get("message") or found
    if isinstance(found, dict):
        return found.get("message") or found.get("error") or found
    return found


def _name(value: object, secrets: Sequence[str]) -> str | None:
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    return _bounded(value, secrets, _NAME_CHARS)


def _bounded(value: object, secrets: Sequence[str], chars: int) -> str | None:
    if value is None:
        return None
    # Cut before the patterns run, so that their time is bounded; a secret has no use in halves.
    text = (value if isinstance(value, str) else str(value))[: 8 * chars]
    if text.lstrip()[:1] == "<":
        title = _TITLE.search(text)
        text = title[1] if title and title[1].strip() else _TAGS.sub(" ", text)
    text = " ".join(_CONTROLS.sub(" ", redacted(text, secrets)).split())
    return text[:chars] or None

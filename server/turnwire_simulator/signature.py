"""Signs thinking and seals redacted thinking, so that a changed text is noticed; keeps no state."""

import base64
import hashlib
import hmac
import secrets

__all__ = ["MARK", "is_sealed", "is_signed", "seal", "sign"]

# Not a secret: it only has to be the same in every process, so that a conversation outlives one.
KEY = b"turnwire simulator"


MARK = "."
"""Between a signature and what it is bound to (see `binding`); base64 has none."""


def sign(text: str) -> str:
    """The signature of a thinking block with this text."""
    return base64.b64encode(_digest(b"thinking", text.encode())).decode()


def is_signed(text: str, signature: str) -> bool:
    """Whether `sign` made this signature for exactly this text, bound to something or not."""
    plain = signature.partition(MARK)[0]
    return hmac.compare_digest(sign(text).encode(), plain.encode())


def seal() -> str:
    """New opaque data for a redacted thinking block."""
    content = secrets.token_bytes(16)
    return base64.b64encode(content + _digest(b"redacted", content)).decode()


def is_sealed(data: str) -> bool:
    """Whether `seal` made this data."""
    try:
        raw = base64.b64decode(data, validate=True)
    except ValueError:
        return False
    return hmac.compare_digest(raw[16:], _digest(b"redacted", raw[:16]))


def _digest(purpose: bytes, content: bytes) -> bytes:
    return hmac.new(KEY, purpose + b":" + content, hashlib.sha256).digest()

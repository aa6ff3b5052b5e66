"""Signs thinking and seals redacted thinking, so that a changed text is noticed; keeps no state."""

import base64
import hashlib
import hmac
import secrets
from enum import Enum, auto

__all__ = [
    "MARK",
    "SummaryFault",
    "fault_of_summary",
    "is_sealed",
    "is_signed",
    "made_of",
    "seal",
    "sign",
    "sign_summary",
]

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


class SummaryFault(Enum):
    """What is wrong with a summary that comes back."""

    SIGNATURE = auto()
    CONTENT = auto()


def sign_summary(content: str, *, head: str, prefix: str) -> str:
    """The signature of a summary: it records its text, and the digests of what it was made of."""
    text = hashlib.sha256(content.encode()).hexdigest()[:24]
    told = MARK.join((head, prefix, text))
    return f"{base64.b64encode(_digest(b'summary', told.encode())).decode()}{MARK}{told}"


def fault_of_summary(content: str, signature: str) -> SummaryFault | None:
    """What is wrong with a summary and its signature; None: `sign_summary` made it for it."""
    head, prefix = made_of(signature) or ("", "")
    if signature == sign_summary(content, head=head, prefix=prefix):
        return None
    mac, _, told = signature.partition(MARK)
    genuine = base64.b64encode(_digest(b"summary", told.encode())).decode()
    is_genuine = hmac.compare_digest(genuine.encode(), mac.encode())
    return SummaryFault.CONTENT if is_genuine else SummaryFault.SIGNATURE


def made_of(signature: str) -> tuple[str, str] | None:
    """The digests of what a summary was made of: of system and tools, and of all of it."""
    parts = signature.split(MARK)
    return (parts[1], parts[2]) if len(parts) == 4 else None


def _digest(purpose: bytes, content: bytes) -> bytes:
    return hmac.new(KEY, purpose + b":" + content, hashlib.sha256).digest()

"""What a send is known by: its fingerprint, and the title it gives a new conversation. Pure."""

import hashlib

from turnwire_protocol import SendBody, text_of

__all__ = ["fingerprint_of", "title_of"]

_TITLE_CHARS = 80


def fingerprint_of(send: SendBody) -> str:
    """Tells whether a repeated key comes with the same message."""
    # Where it goes and who waits for it are not what it says.
    said = set(SendBody.model_fields) - {"conversation", "on_detach", "runner"}
    body = send.model_dump_json(include=said, exclude_none=True)
    return hashlib.sha256(body.encode()).hexdigest()[:32]


def title_of(send: SendBody) -> str:
    """The first words of the message."""
    return " ".join(text_of(send.content).split())[:_TITLE_CHARS]

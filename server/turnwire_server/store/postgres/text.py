"""Text as PostgreSQL takes it, which is any but one with a NUL."""

from turnwire_server.errors import StoreError

__all__ = ["shown", "storable"]


def storable(text: str) -> str:
    """An id or an owner, which goes into a row as it is.

    Raises:
        StoreError: it has a NUL.
    """
    if "\0" in text:
        raise StoreError("an id or an owner has a NUL in it, which PostgreSQL does not take")
    return text


def shown(text: str) -> str:
    """A title, or what a client asks for, with another character in place of a NUL: of what is
    asked for, nothing stored has one."""
    return text.replace("\0", "\ufffd")

"""Text as it can be stored and sent: JSON, and Python, may hold half a surrogate pair, which UTF-8
has not.
"""

__all__ = ["clean", "is_text"]


def is_text(text: str) -> bool:
    """Whether every character of it can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def clean(text: str) -> str:
    """The text with its surrogate pairs joined; half of one is no text, and becomes U+FFFD. What is
    text already is not copied."""
    if text.isascii() or is_text(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

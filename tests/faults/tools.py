"""The tool of the service under test."""

from turnwire_server import tool


@tool
def lookup(word: str) -> str:
    """Look a word up.

    Args:
        word: What to look up.
    """
    return f"found {word}"

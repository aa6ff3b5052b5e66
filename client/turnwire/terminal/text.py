"""Text from elsewhere, as it may be shown; pure."""

from typing import TYPE_CHECKING

from turnwire_protocol import Source

if TYPE_CHECKING:
    from rich.markdown import Markdown

__all__ = ["markdown", "printable", "source_line"]

CONTROLS = dict.fromkeys(
    [code for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"]
)


def printable(text: str) -> str:
    """The text without control characters: an answer must not steer the terminal."""
    return text.translate(CONTROLS)


def markdown(text: str) -> "Markdown":
    """The text, which is printable, as it is shown."""
    # Late, because it is a fifth of what a start costs, and the user is still typing.
    from rich.markdown import Markdown

    # Addresses are shown, not hidden behind their text.
    return Markdown(text, hyperlinks=False)


def source_line(source: Source) -> str:
    """A source that an answer cites, with the number of its marks."""
    title = " ".join(printable(source.title).split())
    is_told = source.url is None or source.url == source.title
    return f"[{source.number}] {title}" + ("" if is_told else f"  {printable(source.url or '')}")

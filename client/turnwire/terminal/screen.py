"""Where `turnwire chat` writes. Lines need nothing; what draws the rest is loaded when it does."""

import os
import shutil
import sys
import textwrap
from functools import cached_property
from typing import TYPE_CHECKING

import click

from turnwire.terminal.text import printable

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Screen"]

_PLAIN = ("dumb", "unknown")
"""Terminals (`TERM`) that show no styles."""


class Screen:
    """Standard output, or standard error if `is_error`; it need not be a terminal."""

    def __init__(self, *, is_error: bool = False) -> None:
        self._is_error = is_error
        stream = sys.stderr if is_error else sys.stdout
        # There is none where its descriptor is closed (`2>&-`).
        self.is_terminal = stream is not None and stream.isatty()

    @cached_property
    def console(self) -> "Console":
        """What draws answers and tables."""
        # Late: it is a tenth of a start, and the user is still reading the greeting.
        from rich.console import Console

        return Console(stderr=self._is_error)

    def note(self, text: str) -> None:
        """Lines beside what is said."""
        self._write(text, is_dim=True)

    def warn(self, text: str) -> None:
        """Lines that say what went wrong."""
        self._write(text, colour=None if os.environ.get("NO_COLOR") else "red")

    def _write(self, text: str, *, is_dim: bool = False, colour: str | None = None) -> None:
        wrapper = textwrap.TextWrapper(
            shutil.get_terminal_size().columns,
            # A path, an address or an id that is copied has no line break in it.
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines = [wrapper.fill(line) for line in printable(text).split("\n")]
        if os.environ.get("TERM") in _PLAIN:
            is_dim, colour = False, None
        click.secho("\n".join(lines), err=self._is_error, dim=is_dim or None, fg=colour)

"""Log lines that strangers can cause: one a second of each kind, however often it happens."""

import logging
import math

__all__ = ["RATIONED", "Ration"]

_SECONDS = 1.0
_OF_OTHERS = frozenset(
    {
        "Invalid HTTP request received.",
        "Unsupported upgrade request.",
        "Invalid UTF-8 sequence received from client.",
    }
)
"""What uvicorn says of what a peer sent. All its other lines are let through."""


class Ration:
    """One line every so many seconds, for what one object says again and again. Pure."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._written = -math.inf
        self._unwritten = 0

    def take(self, now: float) -> int | None:
        """How many the line of now stands for, this one among them; None: none is due."""
        self._unwritten += 1
        if now - self._written < self._seconds:
            return None
        self._written, count, self._unwritten = now, self._unwritten, 0
        return count


class Rationed(logging.Filter):
    """Lets a kind of line through once a second; it says for how many it stands."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[str, tuple[float, int]] = {}
        """When a line of this kind was written, and how many were not since."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        kind = str(record.msg)
        if record.name.startswith("uvicorn") and kind not in _OF_OTHERS:
            return True
        written, left_out = self._kinds.get(kind, (0.0, 0))
        if 0 <= record.created - written < _SECONDS:
            self._kinds[kind] = (written, left_out + 1)
            return False
        self._kinds[kind] = (record.created, 0)
        record.exc_info = None
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out} more since the last such line)"
            record.args = ()
        return True


RATIONED = Rationed()
"""The one filter: adding it to a logger again changes nothing."""

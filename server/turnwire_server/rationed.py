"""Log lines that strangers can cause: one a second of each kind, however often it happens."""

import logging
import math
import time

__all__ = ["PEERS_FAULT", "RATIONED", "Ration"]

_SECONDS = 1.0
PEERS_FAULT = "a peer broke the protocol: %s"
"""What `listener` makes of uvicorn's traceback."""
_OF_OTHERS = frozenset(
    {
        PEERS_FAULT,
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
        self._kinds: dict[str, Ration] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        kind = str(record.msg)
        if record.name.startswith("uvicorn") and kind not in _OF_OTHERS:
            return True
        count = self._kinds.setdefault(kind, Ration(_SECONDS)).take(time.monotonic())
        if count is None:
            return False
        record.exc_info = None
        if count > 1:
            record.msg = f"{record.getMessage()} ({count - 1} more since the last such line)"
            record.args = ()
        return True


RATIONED = Rationed()
"""The one filter: adding it to a logger again changes nothing."""

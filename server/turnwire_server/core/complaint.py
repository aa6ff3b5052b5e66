"""A complaint: what fails again and again is said in the program's log now and then."""

import logging
import time
from collections.abc import Callable

__all__ = ["Complaint"]

_SECONDS = 60.0


class Complaint:
    """About one thing, such as reading from the store: a line a minute at most, while it fails.

    Not a line where it begins and one where it ends: it may fail for some and work for others.
    """

    def __init__(
        self, logger: logging.Logger, what: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """`what` fails, as the line says it; `now` gives monotonic seconds."""
        self._logger = logger
        self._what = what
        self._now = now
        self._said_at = float("-inf")
        self._unsaid = 0

    def make(self, error: Exception) -> None:
        """It has failed once more."""
        now = self._now()
        if now - self._said_at < _SECONDS:
            self._unsaid += 1
            return
        more = f" ({self._unsaid} times more since the last such line)" if self._unsaid else ""
        self._logger.error("%s: %s%s", self._what, error, more)
        self._said_at, self._unsaid = now, 0

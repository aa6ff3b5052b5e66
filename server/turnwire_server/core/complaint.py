"""A complaint: what fails again and again is said in the program's log now and then."""

import logging
import time
from collections.abc import Callable

from turnwire_server.rationed import Ration

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
        self._ration = Ration(_SECONDS)

    def make(self, error: Exception) -> None:
        """It has failed once more."""
        if (count := self._ration.take(self._now())) is None:
            return
        more = f" ({count - 1} times more since the last such line)" if count > 1 else ""
        self._logger.error("%s: %s%s", self._what, error, more)

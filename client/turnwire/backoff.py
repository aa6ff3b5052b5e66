"""How long to wait before the next attempt to connect; pure: knows no clock and no socket."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Backoff"]


@dataclass
class Backoff:
    """Exponential back-off with full jitter.

    Full jitter, because after a restart all clients come back at once:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Times are seconds of one monotonic clock, which the caller reads; `uniform` returns a number
    from 0 to 1.
    """

    base_seconds: float = 0.5
    cap_seconds: float = 15.0
    stable_seconds: float = 10.0
    uniform: Callable[[], float] = random.random
    _attempt: int = field(default=0, init=False)
    _opened_at: float | None = field(default=None, init=False)

    def opened(self, now: float) -> None:
        """A connection stands. Only one that lasts `stable_seconds` begins the count anew:
        a server that accepts and drops at once must not be asked ever faster."""
        self._opened_at = now

    def lost(self, now: float) -> float:
        """The connection broke or could not be made: the seconds to wait before the next."""
        if self._opened_at is not None and now - self._opened_at >= self.stable_seconds:
            self._attempt = 0
        self._opened_at = None
        # The exponent is bounded: 2.0**1024 is an OverflowError, after some hours of trying.
        ceiling = min(self.cap_seconds, self.base_seconds * 2.0 ** min(self._attempt, 32))
        self._attempt += 1
        return self.uniform() * ceiling

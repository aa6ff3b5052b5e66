"""What metrics are written with; whatever carries them has these methods.

Names and labels are OpenTelemetry's, with dots; `unit` is "s" for seconds.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

__all__ = ["SECONDS", "SHORT_SECONDS", "TOKENS", "Counter", "Histogram", "Instruments"]

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Bounds of buckets, as the conventions recommend them for calls of a model."""
SHORT_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
TOKENS = tuple(float(4**power) for power in range(13))


class Counter(Protocol):
    """It only grows."""

    def add(self, value: float, *labels: str) -> None:
        """`labels` are the values, in the order of the names; an empty one says nothing."""


class Histogram(Protocol):
    """How often which values came."""

    def record(self, value: float, *labels: str) -> None:
        """See `Counter.add`."""


class Instruments(Protocol):
    """Makes them; each name once."""

    def counter(
        self, name: str, description: str, *, labels: Sequence[str] = (), unit: str = ""
    ) -> Counter:
        """See `Counter`."""

    def histogram(
        self,
        name: str,
        description: str,
        *,
        bounds: Sequence[float],
        labels: Sequence[str] = (),
        unit: str = "",
    ) -> Histogram:
        """See `Histogram`."""

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """It is read when somebody looks, from whatever thread."""

    def total(
        self, name: str, description: str, read: Callable[[], float], *, unit: str = ""
    ) -> None:
        """A gauge that only grows."""

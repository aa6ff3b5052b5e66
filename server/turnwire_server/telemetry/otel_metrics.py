"""Instruments of OpenTelemetry. Knows the API, and no SDK.

Its SDK is dear where it is called now and then, between other work: what a measurement needs has
left the processor's caches by then, and costs several times what it does in a row. So counters are
added up here, and read when somebody collects; values of histograms wait, and go to it together.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from opentelemetry import metrics
from opentelemetry.context import Context, get_current
from opentelemetry.metrics import CallbackOptions, Observation

from turnwire_server.telemetry.instruments import Counter, Histogram

__all__ = ["OtelInstruments", "has_meter_provider"]

_MOST_WAITING = 64
"""Values of histograms. So many hold up the loop for half a millisecond."""


def has_meter_provider() -> bool:
    """Whether anybody has set up where metrics go."""
    module = type(metrics.get_meter_provider()).__module__
    return not module.startswith("opentelemetry.metrics")


class OtelInstruments:
    """See `Instruments`."""

    def __init__(self) -> None:
        self._meter = metrics.get_meter("turnwire")
        self._waiting = _Waiting()

    def counter(
        self, name: str, description: str, *, labels: Sequence[str] = (), unit: str = ""
    ) -> Counter:
        """See `Instruments`."""
        counter = _Counter(labels)
        self._meter.create_observable_counter(name, [counter.observe], unit, description)
        return counter

    def histogram(
        self,
        name: str,
        description: str,
        *,
        bounds: Sequence[float],
        labels: Sequence[str] = (),
        unit: str = "",
    ) -> Histogram:
        """See `Instruments`."""
        made = self._meter.create_histogram(
            name, unit, description, explicit_bucket_boundaries_advisory=bounds
        )
        return _Histogram(made, labels, self._waiting)

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """See `Instruments`."""
        self._meter.create_observable_gauge(name, [self._callback(read)], "", description)

    def total(
        self, name: str, description: str, read: Callable[[], float], *, unit: str = ""
    ) -> None:
        """See `Instruments`."""
        self._meter.create_observable_counter(name, [self._callback(read)], unit, description)

    def _callback(
        self, read: Callable[[], float]
    ) -> Callable[[CallbackOptions], list[Observation]]:
        def observe(options: CallbackOptions) -> list[Observation]:
            # Whoever collects asks such instruments first, and then takes what the others have:
            # what waits is in it.
            self._waiting.record()
            return [Observation(read())]

        return observe


class _Counter:
    def __init__(self, labels: Sequence[str]) -> None:
        self._labels = labels
        self._sums: dict[tuple[str, ...], float] = {}

    def add(self, value: float, *labels: str) -> None:
        self._sums[labels] = self._sums.get(labels, 0) + value

    def observe(self, options: CallbackOptions) -> Iterator[Observation]:
        # Called from whatever thread: `list` looks at the dictionary in one go.
        for labels, value in list(self._sums.items()):
            yield Observation(value, _attributes(self._labels, labels))


class _Histogram:
    def __init__(
        self, histogram: metrics.Histogram, labels: Sequence[str], waiting: "_Waiting"
    ) -> None:
        self._histogram = histogram
        self._labels = labels
        self._waiting = waiting

    def record(self, value: float, *labels: str) -> None:
        # The context says of which span it is an example.
        self._waiting.add(self, value, labels, get_current())

    def record_now(self, value: float, labels: tuple[str, ...], context: Context) -> None:
        """Hand it on."""
        self._histogram.record(value, _attributes(self._labels, labels), context)


class _Waiting:
    """Values of histograms, in their order: added on the loop, taken from whatever thread."""

    def __init__(self) -> None:
        self._values: deque[tuple[_Histogram, float, tuple[str, ...], Context]] = deque()

    def add(
        self, histogram: _Histogram, value: float, labels: tuple[str, ...], context: Context
    ) -> None:
        """Let it wait, but not without bound."""
        self._values.append((histogram, value, labels, context))
        if len(self._values) >= _MOST_WAITING:
            self.record()

    def record(self) -> None:
        """Hand on all of them."""
        while self._values:
            try:
                histogram, value, labels, context = self._values.popleft()
            except IndexError:
                return  # Another thread was faster.
            histogram.record_now(value, labels, context)


def _attributes(names: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    return {name: value for name, value in zip(names, values, strict=True) if value}

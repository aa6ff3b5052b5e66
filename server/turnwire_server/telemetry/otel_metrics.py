"""Instruments of OpenTelemetry. Knows the API, and no SDK."""

from collections.abc import Callable, Iterable, Sequence

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from turnwire_server.telemetry.instruments import Counter, Histogram

__all__ = ["OtelInstruments", "has_meter_provider"]


def has_meter_provider() -> bool:
    """Whether anybody has set up where metrics go."""
    module = type(metrics.get_meter_provider()).__module__
    return not module.startswith("opentelemetry.metrics")


class OtelInstruments:
    """See `Instruments`."""

    def __init__(self) -> None:
        self._meter = metrics.get_meter("turnwire")

    def counter(
        self, name: str, description: str, *, labels: Sequence[str] = (), unit: str = ""
    ) -> Counter:
        """See `Instruments`."""
        return _Counter(self._meter.create_counter(name, unit, description), labels)

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
        return _Histogram(made, labels)

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """See `Instruments`."""
        self._meter.create_observable_gauge(name, [_callback(read)], "", description)

    def total(
        self, name: str, description: str, read: Callable[[], float], *, unit: str = ""
    ) -> None:
        """See `Instruments`."""
        self._meter.create_observable_counter(name, [_callback(read)], unit, description)


class _Counter:
    def __init__(self, counter: metrics.Counter, labels: Sequence[str]) -> None:
        self._counter = counter
        self._labels = labels

    def add(self, value: float, *labels: str) -> None:
        self._counter.add(value, _attributes(self._labels, labels))


class _Histogram:
    def __init__(self, histogram: metrics.Histogram, labels: Sequence[str]) -> None:
        self._histogram = histogram
        self._labels = labels

    def record(self, value: float, *labels: str) -> None:
        self._histogram.record(value, _attributes(self._labels, labels))


def _attributes(names: Sequence[str], values: Sequence[str]) -> dict[str, str]:
    return {name: value for name, value in zip(names, values, strict=True) if value}


def _callback(read: Callable[[], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    return lambda options: [Observation(read())]

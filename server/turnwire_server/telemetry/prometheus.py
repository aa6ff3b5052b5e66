"""Instruments of prometheus-client, and what `GET /metrics` answers.

Names are made as OpenTelemetry's exporter makes them: `turnwire.turn.duration` in seconds is
`turnwire_turn_duration_seconds`
(https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/).
"""

from collections.abc import Callable, Iterator, Sequence

from prometheus_client import CollectorRegistry, Gauge, GCCollector, ProcessCollector
from prometheus_client import Counter as PrometheusCounter
from prometheus_client import Histogram as PrometheusHistogram
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from turnwire_server.telemetry.instruments import Counter, Histogram

__all__ = ["PrometheusInstruments"]


class PrometheusInstruments:
    """See `Instruments`. Of this service alone, and of its process."""

    def __init__(self) -> None:
        # Not the library's global one: a process may have several services.
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def shown(self, accept: str) -> tuple[bytes, str]:
        """What there is now, and its media type; in the format that is accepted."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def counter(
        self, name: str, description: str, *, labels: Sequence[str] = (), unit: str = ""
    ) -> Counter:
        """See `Instruments`."""
        made = PrometheusCounter(
            _name(name, unit), description, _labels(labels), registry=self._registry
        )
        return _Counter(made)

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
        return _Histogram(
            PrometheusHistogram(
                _name(name, unit),
                description,
                _labels(labels),
                buckets=bounds,
                registry=self._registry,
            )
        )

    def gauge(self, name: str, description: str, read: Callable[[], float]) -> None:
        """See `Instruments`."""
        Gauge(_name(name, ""), description, registry=self._registry).set_function(read)

    def total(
        self, name: str, description: str, read: Callable[[], float], *, unit: str = ""
    ) -> None:
        """See `Instruments`."""
        self._registry.register(_Total(_name(name, unit), description, read))


class _Counter:
    def __init__(self, counter: PrometheusCounter) -> None:
        self._counter = counter

    def add(self, value: float, *labels: str) -> None:
        (self._counter.labels(*labels) if labels else self._counter).inc(value)


class _Histogram:
    def __init__(self, histogram: PrometheusHistogram) -> None:
        self._histogram = histogram

    def record(self, value: float, *labels: str) -> None:
        (self._histogram.labels(*labels) if labels else self._histogram).observe(value)


class _Total:
    """A counter that is read when it is asked for, which the library has none of."""

    def __init__(self, name: str, description: str, read: Callable[[], float]) -> None:
        self._name = name
        self._description = description
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """Its name, without a value."""
        yield CounterMetricFamily(self._name, self._description)

    def collect(self) -> Iterator[Metric]:
        """Its value now."""
        yield CounterMetricFamily(self._name, self._description, value=self._read())


def _name(name: str, unit: str) -> str:
    return name.replace(".", "_") + ("_seconds" if unit == "s" else "")


def _labels(names: Sequence[str]) -> list[str]:
    return [name.replace(".", "_") for name in names]

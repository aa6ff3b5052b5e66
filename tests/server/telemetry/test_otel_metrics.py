"""Metrics as the SDK of OpenTelemetry has them whenever somebody collects: all of them."""

from typing import TypeVar

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    HistogramDataPoint,
    InMemoryMetricReader,
    NumberDataPoint,
)
from opentelemetry.sdk.trace import TracerProvider

from turnwire_server.telemetry.instruments import SECONDS
from turnwire_server.telemetry.otel_metrics import OtelInstruments

MORE_THAN_WAIT = 200
"""Values; some of them are handed on before somebody collects."""


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    return reader


Found = TypeVar("Found", HistogramDataPoint, NumberDataPoint)


def points(reader: InMemoryMetricReader, name: str, kind: type[Found]) -> list[Found]:
    """Those of a metric, by its name."""
    data = reader.get_metrics_data()
    assert data is not None
    return [
        point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
        if isinstance(point, kind)
    ]


def test_whoever_collects_gets_every_value_that_there_was(reader: InMemoryMetricReader) -> None:
    made = OtelInstruments()
    seconds = made.histogram("seconds", "", bounds=SECONDS, labels=("kind",))
    made.gauge("held", "", lambda: 7)
    seconds.record(0.5, "first")
    assert [point.count for point in points(reader, "seconds", HistogramDataPoint)] == [1]
    for _ in range(MORE_THAN_WAIT):
        seconds.record(0.5, "first")
        seconds.record(0.5, "second")
    found = points(reader, "seconds", HistogramDataPoint)
    assert {dict(point.attributes or {})["kind"]: point.count for point in found} == {
        "first": MORE_THAN_WAIT + 1,
        "second": MORE_THAN_WAIT,
    }


def test_a_counter_has_a_sum_of_each_labels_and_an_empty_one_says_nothing(
    reader: InMemoryMetricReader,
) -> None:
    turns = OtelInstruments().counter("turns", "", labels=("reason", "code"))
    for labels in (("end_turn", ""), ("error", "overloaded"), ("end_turn", "")):
        turns.add(1, *labels)
    found = points(reader, "turns", NumberDataPoint)
    assert {tuple((point.attributes or {}).items()): point.value for point in found} == {
        (("reason", "end_turn"),): 2,
        (("reason", "error"), ("code", "overloaded")): 1,
    }


def test_a_value_is_an_example_of_the_span_in_which_it_was_recorded(
    reader: InMemoryMetricReader,
) -> None:
    made = OtelInstruments()
    seconds = made.histogram("seconds", "", bounds=SECONDS)
    made.gauge("held", "", lambda: 7)
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("call") as span:
        seconds.record(0.5)
    [point] = points(reader, "seconds", HistogramDataPoint)
    [example] = point.exemplars
    assert (example.trace_id, example.value) == (span.get_span_context().trace_id, 0.5)

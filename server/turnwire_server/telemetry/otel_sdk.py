"""OpenTelemetry's SDK, set up for `turnwire serve` out of its own variables (`OTEL_*`).

An app that includes the router sets it up itself, and so does `opentelemetry-instrument`.
"""

from collections.abc import Callable, Collection

from opentelemetry import metrics, trace

from turnwire_protocol.extras import how_to_install
from turnwire_server.errors import SettingsError
from turnwire_server.telemetry.names import Signal
from turnwire_server.telemetry.otel_metrics import has_meter_provider
from turnwire_server.telemetry.spans import has_provider

__all__ = ["set_up"]


def set_up(signals: Collection[Signal]) -> Callable[[], None]:
    """Send these by OTLP over HTTP from now on; gives what sends the rest, and takes its time.

    Raises:
        SettingsError: a package is not installed, or one of the variables says what cannot be.
    """
    ends: list[Callable[[], None]] = []
    try:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        if "traces" in signals and not has_provider():
            tracers = TracerProvider(shutdown_on_exit=False)
            tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
            trace.set_tracer_provider(tracers)
            ends.append(tracers.shutdown)
        if "metrics" in signals and not has_meter_provider():
            reader = PeriodicExportingMetricReader(OTLPMetricExporter())
            meters = MeterProvider([reader], shutdown_on_exit=False)
            metrics.set_meter_provider(meters)
            ends.append(meters.shutdown)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"OTEL_EXPORTER_OTLP_ENDPOINT needs the package {error.name}: {how_to_install('otel')}"
        ) from error
    except ValueError as error:
        # Most of what it cannot use the SDK only names in the log.
        raise SettingsError(f"OTEL_…: OpenTelemetry's variables are not valid: {error}") from error

    def end() -> None:
        for each in ends:
            each()

    return end

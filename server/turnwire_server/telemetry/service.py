"""Who watches one service: spans and metrics, as far as somebody wants them."""

import asyncio
import time
from collections.abc import Callable, Collection

from turnwire_protocol.extras import how_to_install
from turnwire_server.core.telemetry import Readings
from turnwire_server.errors import SettingsError
from turnwire_server.telemetry.instruments import Instruments
from turnwire_server.telemetry.metrics import Connections, Metrics
from turnwire_server.telemetry.names import UserNames
from turnwire_server.telemetry.otel_metrics import OtelInstruments, has_meter_provider
from turnwire_server.telemetry.spans import Spans
from turnwire_server.telemetry.upstream import Upstream
from turnwire_server.telemetry.watch import Watching

__all__ = ["Read", "ServiceTelemetry", "Shown"]

Read = Callable[[], tuple[Readings, Connections]]
"""What the service shows now."""
Shown = Callable[[str], tuple[bytes, str]]
"""Accept header → the metrics, and their media type."""

_TICK_SECONDS = 1.0
_TICKS = 10
"""So often the gauges of OpenTelemetry are read anew: its SDK asks from a thread of its own, which
must not look at what the loop changes."""


class ServiceTelemetry:
    """Spans always, which cost nothing where nobody takes them; metrics where they are wanted.

    Raises:
        SettingsError: `metrics` needs a package that is not installed.
    """

    def __init__(
        self,
        upstream: Upstream,
        *,
        models: Collection[str],
        metrics: bool = False,
        trace_content: bool = False,
        trace_users: UserNames = "none",
    ) -> None:
        self.watching = Watching()
        """For the core."""
        self._upstream = upstream
        self._models = models
        self._spans = Spans(upstream, has_content=trace_content, users=trace_users)
        self._read: Read | None = None
        self._ticking: asyncio.Task[None] | None = None
        self.shown: Shown | None = None
        """What `GET /metrics` answers; None: there is no such thing."""
        self._prometheus: Metrics | None = None
        self._otel: Metrics | None = None
        if metrics:
            self._prometheus, self.shown = self._for_prometheus()

    def start(self, read: Read) -> None:
        """The service has started: whoever has set up OpenTelemetry has done so by now."""
        self._read = read
        self.watching.add(self._spans)
        if has_meter_provider():
            self._otel = self._metrics(OtelInstruments())
        everybody = [each for each in (self._prometheus, self._otel) if each is not None]
        for each in everybody:
            self.watching.add(each)
        if everybody:
            self._ticking = asyncio.create_task(self._tick(everybody), name="telemetry")

    def close(self) -> None:
        """The service ends."""
        if self._ticking is not None:
            self._ticking.cancel()

    def _metrics(self, instruments: Instruments) -> Metrics:
        return Metrics(instruments, self._upstream, models=self._models)

    def _for_prometheus(self) -> tuple[Metrics, Shown]:
        try:
            # Most services do without the package.
            from turnwire_server.telemetry.prometheus import PrometheusInstruments
        except ModuleNotFoundError as error:
            if error.name != "prometheus_client":
                raise
            raise SettingsError(
                f"metrics: needs the package prometheus-client: {how_to_install('metrics')}"
            ) from error
        instruments = PrometheusInstruments()
        metrics = self._metrics(instruments)

        def shown(accept: str) -> tuple[bytes, str]:
            if self._read is not None:
                metrics.take(*self._read())
            return instruments.shown(accept)

        return metrics, shown

    async def _tick(self, everybody: list[Metrics]) -> None:
        ticks = 0
        while True:
            due = time.monotonic() + _TICK_SECONDS
            if self._otel is not None and self._read is not None and ticks % _TICKS == 0:
                self._otel.take(*self._read())
            ticks += 1
            await asyncio.sleep(due - time.monotonic())
            late = max(time.monotonic() - due, 0.0)
            for each in everybody:
                each.loop_lag.record(late)

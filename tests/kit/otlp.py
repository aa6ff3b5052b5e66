"""A receiver of OpenTelemetry's protocol over HTTP, for tests: what was sent."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["Receiver", "Seen", "Value", "receiving"]

Value = str | bool | int | float | list[str]


@dataclass(frozen=True)
class Seen:
    """A span as it came."""

    scope: str
    span: Span

    @property
    def name(self) -> str:
        """Its name."""
        return self.span.name

    @property
    def attributes(self) -> dict[str, Value]:
        """Those of the span."""
        return _values(self.span.attributes)

    @property
    def is_error(self) -> bool:
        """Whether its status says so; otherwise it must be unset."""
        return self.span.status.code == 2

    @property
    def events(self) -> list[tuple[str, dict[str, Value]]]:
        """Names and attributes."""
        return [(event.name, _values(event.attributes)) for event in self.span.events]


@dataclass
class Receiver:
    """What came, in the order it came."""

    url: str = ""
    spans: list[Seen] = field(default_factory=list)
    metrics: dict[str, Metric] = field(default_factory=dict)
    bodies: list[bytes] = field(default_factory=list)
    resources: list[dict[str, Value]] = field(default_factory=list)

    def below(self, parent: Seen | None) -> list[Seen]:
        """The children of a span, by their beginning; None: the roots."""
        id = b"" if parent is None else parent.span.span_id
        found = [seen for seen in self.spans if seen.span.parent_span_id == id]
        return sorted(found, key=lambda seen: seen.span.start_time_unix_nano)

    def tree(self, parent: Seen | None = None) -> list[object]:
        """Names: of a span without children the name, of another one the name and those below."""
        names: list[object] = []
        for seen in self.below(parent):
            children = self.tree(seen)
            names.append((seen.name, children) if children else seen.name)
        return names

    def named(self, start: str) -> list[Seen]:
        """The spans whose names begin so, by their beginning."""
        found = [seen for seen in self.spans if seen.name.startswith(start)]
        return sorted(found, key=lambda seen: seen.span.start_time_unix_nano)


def _values(pairs: "list[KeyValue]") -> dict[str, Value]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Value:
    match value.WhichOneof("value"):
        case "array_value":
            return [each.string_value for each in value.array_value.values]
        case str(kind):
            found: Value = getattr(value, kind)
            return found
        case _:
            return ""


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port of this machine."""
    receiver = Receiver()

    async def body_of(request: web.Request) -> bytes:
        body = await request.read()  # aiohttp has undone the compression.
        receiver.bodies.append(body)
        return body

    async def traces(request: web.Request) -> web.Response:
        sent = ExportTraceServiceRequest.FromString(await body_of(request))
        for resource in sent.resource_spans:
            receiver.resources.append(_values(resource.resource.attributes))
            for scope in resource.scope_spans:
                receiver.spans += (Seen(scope.scope.name, span) for span in scope.spans)
        return web.Response(content_type="application/x-protobuf")

    async def metrics(request: web.Request) -> web.Response:
        sent = ExportMetricsServiceRequest.FromString(await body_of(request))
        for resource in sent.resource_metrics:
            for scope in resource.scope_metrics:
                receiver.metrics |= {metric.name: metric for metric in scope.metrics}
        return web.Response(content_type="application/x-protobuf")

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/traces", traces)
    app.router.add_post("/v1/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()

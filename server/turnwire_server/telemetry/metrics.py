"""The metrics of turns, attempts and tools, and of what the service holds. Knows no carrier.

Labels have few values: never a conversation, a turn or a principal, and of names that somebody else
chooses (models, tools of clients, codes) only those that are known here.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields

from turnwire_protocol import Code, Done, StopReason
from turnwire_server.core.telemetry import Readings, TurnNames
from turnwire_server.telemetry.instruments import SECONDS, SHORT_SECONDS, TOKENS, Instruments
from turnwire_server.telemetry.observer import Attempt, ToolRun, TurnObserver
from turnwire_server.telemetry.upstream import Upstream

__all__ = ["Connections", "Metrics"]

_OTHER = "other"
_STOP_REASONS = frozenset(map(str, StopReason))
_CODES = frozenset(map(str, Code))
_MODEL = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model")

_READINGS = {
    "open_conversations": ("open_conversations", "Conversations in memory"),
    "turns_running": ("turns.running", "Turns that run"),
    "turns_queued": ("turns.queued", "Turns that wait for another one"),
    "turns_resting": ("turns.resting", "Turns that wait for a person or a client"),
    "subscriptions": ("subscriptions", "Readers of conversations"),
    "reader_lag_events": ("reader.lag.events", "How far the slowest reader is behind its log"),
    "undurable_events": ("undurable.events", "Events that are not stored yet"),
}
_TOTALS = {
    "commits": ("commits", "Commits of the store", ""),
    "commit_seconds": ("commit.time", "Time that commits took", "s"),
    "commit_batches": ("commit.batches", "Batches of logs in commits", ""),
    "store_failures": ("store.failures", "Times that the store began to fail or to hang", ""),
    "output_chars": ("output.chars", "Characters that models have written", ""),
    "merged_events": ("events.merged", "Events that slow readers got as part of others", ""),
    "blob_bytes": ("blob.bytes", "Bytes of attachments that were taken in", ""),
}


@dataclass(slots=True, frozen=True, kw_only=True)
class Connections:
    """How many connections there are now."""

    sockets: int = 0
    streams: int = 0


class Metrics:
    """An observer. `models`: the names that may be labels."""

    def __init__(
        self, instruments: Instruments, upstream: Upstream, *, models: Collection[str]
    ) -> None:
        self._provider = upstream.provider
        self._models = frozenset(models)
        self.approvals = 0
        """How many calls wait for somebody's decision."""
        self._readings = Readings()
        self._connections = Connections()
        make = instruments
        self.duration = make.histogram(
            "gen_ai.client.operation.duration",
            "Duration of a call of the model",
            bounds=SECONDS,
            labels=(*_MODEL, "error.type"),
            unit="s",
        )
        self.first_chunk = make.histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            "Time until the model's first delta",
            bounds=SECONDS,
            labels=_MODEL,
            unit="s",
        )
        self.tokens = make.histogram(
            "gen_ai.client.token.usage",
            "Tokens of a call; input without what the cache has read or written",
            bounds=TOKENS,
            labels=(*_MODEL, "gen_ai.token.type"),
        )
        self.turns = make.counter(
            "turnwire.turns", "Turns that are over", labels=("stop_reason", "code")
        )
        self.turn_duration = make.histogram(
            "turnwire.turn.duration", "From the message to the end", bounds=SECONDS, unit="s"
        )
        self.attempts = make.counter(
            "turnwire.attempts", "Calls of the model that are over", labels=("code",)
        )
        self.retry_wait = make.histogram(
            "turnwire.retry.wait", "Delays before another attempt", bounds=SECONDS, unit="s"
        )
        self.tools = make.counter(
            "turnwire.tools", "Calls of tools", labels=("name", "outcome", "runs_on")
        )
        self.tool_duration = make.histogram(
            "turnwire.tool.duration",
            "How long tools ran",
            bounds=SECONDS,
            labels=("name", "runs_on"),
            unit="s",
        )
        self.approval_wait = make.histogram(
            "turnwire.approval.wait",
            "How long people were waited for",
            bounds=SECONDS,
            labels=("decision",),
            unit="s",
        )
        self.cost = make.counter(
            "turnwire.cost_usd", "What turns cost, where prices are known", labels=("model",)
        )
        self.loop_lag = make.histogram(
            "turnwire.loop.lag", "How late the loop is", bounds=SHORT_SECONDS, unit="s"
        )
        make.gauge("turnwire.approvals.waiting", "Approvals that wait", lambda: self.approvals)
        make.gauge("turnwire.sockets", "WebSockets", lambda: self._connections.sockets)
        make.gauge("turnwire.streams", "Streams over HTTP", lambda: self._connections.streams)
        for field, (name, description) in _READINGS.items():
            make.gauge(f"turnwire.{name}", description, self._reader(field))
        for field, (name, description, unit) in _TOTALS.items():
            make.total(f"turnwire.{name}", description, self._reader(field), unit=unit)

    def _reader(self, field: str) -> Callable[[], float]:
        assert field in {each.name for each in fields(Readings)}
        return lambda: float(getattr(self._readings, field))

    def take(self, readings: Readings, connections: Connections) -> None:
        """What the gauges show from now on."""
        self._readings, self._connections = readings, connections

    def turn(self, names: TurnNames) -> TurnObserver:
        """See `Observer.turn`."""
        return _TurnMetrics(self, names.model)

    def aside(self, conversation: str, attempt: Attempt) -> None:
        """See `Observer.aside`."""
        _TurnMetrics(self, attempt.model).end_attempt(attempt)

    def of_model(self, model: str) -> tuple[str, str, str]:
        """The labels of a call."""
        return "chat", self._provider, self.known(model)

    def known(self, model: str | None) -> str:
        """The model's label."""
        return model if model is not None and model in self._models else _OTHER


class _TurnMetrics(TurnObserver):
    def __init__(self, metrics: Metrics, model: str | None) -> None:
        self._metrics = metrics
        self._model = model

    def end_attempt(self, attempt: Attempt) -> None:
        """See `TurnObserver`."""
        metrics, self._model = self._metrics, attempt.model
        labels = metrics.of_model(attempt.model)
        code = _code(attempt.code)
        metrics.duration.record(attempt.ended - attempt.began, *labels, code)
        if attempt.first_delta is not None:
            metrics.first_chunk.record(attempt.first_delta - attempt.began, *labels)
        outcome = code or ("ended" if attempt.stop_reason is None else "ok")
        metrics.attempts.add(1, outcome)
        counts = {"output": attempt.output_tokens}
        if (usage := attempt.usage) is not None:
            counts["input"] = usage.input_tokens
            counts["cache_read"] = usage.cache_read_input_tokens
            counts["cache_write"] = usage.cache_creation_input_tokens
        for kind, count in counts.items():
            if count:
                metrics.tokens.record(count, *labels, kind)

    def retry(self, attempt: Attempt, delay_seconds: float) -> None:
        """See `TurnObserver`."""
        self._metrics.retry_wait.record(delay_seconds)

    def ask_for_tool(self, tool: ToolRun) -> None:
        """See `TurnObserver`."""
        self._metrics.approvals += 1

    def decide(self, tool: ToolRun, waited_seconds: float) -> None:
        """See `TurnObserver`."""
        self._metrics.approvals -= 1
        self._metrics.approval_wait.record(waited_seconds, tool.decision or "none")

    def end_tool(self, tool: ToolRun) -> None:
        """See `TurnObserver`."""
        # What ran in the server is a tool of the server: a model, or a client, may say any name.
        is_known = tool.runs_on == "server" and tool.began is not None
        name = tool.name if is_known else tool.runs_on
        if tool.began is None and tool.runs_on != "provider":
            outcome = "not_run"
        else:
            outcome = "error" if tool.is_error else "ok"
        self._metrics.tools.add(1, name, outcome, tool.runs_on)
        if tool.began is not None:
            self._metrics.tool_duration.record(tool.ended - tool.began, name, tool.runs_on)

    def end(self, done: Done, code: str | None, seconds: float) -> None:
        """See `TurnObserver`."""
        metrics = self._metrics
        reason = done.stop_reason if done.stop_reason in _STOP_REASONS else _OTHER
        metrics.turns.add(1, reason, _code(code))
        metrics.turn_duration.record(seconds)
        if done.cost_usd:
            metrics.cost.add(done.cost_usd, metrics.known(self._model))


def _code(code: str | None) -> str:
    return "" if code is None else code if code in _CODES else _OTHER

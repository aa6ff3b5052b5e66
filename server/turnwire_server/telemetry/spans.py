"""Spans of OpenTelemetry: a turn, its attempts, its tools. Knows the API, and no SDK.

The names are those of the conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/). Without an SDK nothing is made.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from turnwire_protocol import Done
from turnwire_server.core.telemetry import TurnNames
from turnwire_server.telemetry.content import (
    asked_message,
    input_messages,
    instructions,
    output_messages,
    tool_text,
)
from turnwire_server.telemetry.names import UserNames
from turnwire_server.telemetry.observer import Attempt, ToolRun, TurnObserver
from turnwire_server.telemetry.upstream import Upstream

__all__ = ["Spans", "has_provider", "trace_headers"]

Value = str | int | float | bool | Sequence[str]

_AGENT = "turnwire"
_HASH_DIGITS = 16
_TRACE_CONTEXT = TraceContextTextMapPropagator()
"""Whatever propagators the operator has chosen: `trace` is of this form."""


class Spans:
    """An observer. `has_content`: what was said is in the spans; `users`: so is the principal."""

    def __init__(
        self, upstream: Upstream, *, has_content: bool = False, users: UserNames = "none"
    ) -> None:
        self._tracer = trace.get_tracer("turnwire")
        self._upstream = upstream
        self._has_content = has_content
        self._users = users

    def turn(self, names: TurnNames) -> TurnObserver | None:
        """See `Observer.turn`."""
        if not has_provider():
            return None
        return _TurnSpans(
            self._tracer,
            names,
            self._upstream,
            has_content=self._has_content,
            user=_user(names.principal, self._users),
        )

    def aside(self, conversation: str, attempt: Attempt) -> None:
        """See `Observer.aside`: a trace of its own."""
        if not has_provider():
            return
        names = TurnNames(conversation=conversation, turn="", principal="", model=attempt.model)
        spans = _TurnSpans(self._tracer, names, self._upstream, has_content=False, user=None)
        ended_ns = time.time_ns()
        spans.aside(attempt, began_ns=ended_ns - round((attempt.ended - attempt.began) * 1e9))


def trace_headers() -> dict[str, str]:
    """What tells the receiver of a request which span it was sent in."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers


def has_provider() -> bool:
    """Whether anybody has set up where spans go."""
    return not type(trace.get_tracer_provider()).__module__.startswith("opentelemetry.trace")


def _user(principal: str, users: UserNames) -> str | None:
    match users:
        case "none":
            return None
        case "hashed":
            return hashlib.sha256(principal.encode()).hexdigest()[:_HASH_DIGITS]
        case "plain":
            return principal


class _TurnSpans(TurnObserver):
    """The spans of one turn. A root each unless its message names a trace, with a link to where it
    came in: a socket's span lasts for days, and all turns below it would be one trace."""

    def __init__(
        self,
        tracer: Tracer,
        names: TurnNames,
        upstream: Upstream,
        *,
        has_content: bool,
        user: str | None,
    ) -> None:
        self._tracer = tracer
        self._names = names
        self._upstream = upstream
        self._has_content = has_content
        self._user = user
        self._created_ns = time.time_ns()
        self._request = trace.get_current_span().get_span_context()
        self._span: Span | None = None
        """None until something happens: a message may be withdrawn."""
        self._attempt: Span | None = None
        self._tools: dict[str, Span] = {}
        self._sums = {"input": 0, "cache_read": 0, "cache_creation": 0}

    @property
    def _turn(self) -> Span:
        if self._span is None:
            names = self._names
            attributes: dict[str, Value] = {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": _AGENT,
                "gen_ai.provider.name": self._upstream.provider,
                "gen_ai.conversation.id": names.conversation,
                "session.id": names.conversation,
                "turnwire.turn.id": names.turn,
            }
            if names.model is not None:
                attributes["gen_ai.request.model"] = names.model
            if self._user is not None:
                attributes["user.id"] = self._user
            self._span = self._tracer.start_span(
                f"invoke_agent {_AGENT}",
                _parent(names.trace),
                SpanKind.INTERNAL,
                attributes,
                [Link(self._request)] if self._request.is_valid else (),
                self._created_ns,
            )
        return self._span

    @property
    def _shows_content(self) -> bool:
        """Whether what was said is wanted, and not for nothing: no span of a turn that is not
        sampled is sent."""
        return self._has_content and self._turn.is_recording()

    def _child(self, name: str, kind: SpanKind, attributes: dict[str, Value]) -> Span:
        parent = trace.set_span_in_context(self._turn)
        return self._tracer.start_span(name, parent, kind, attributes)

    def begin_attempt(self, attempt: Attempt) -> None:
        """See `TurnObserver`."""
        self._attempt = self._child(
            f"chat {attempt.model}", SpanKind.CLIENT, self._call_of(attempt)
        )

    def aside(self, attempt: Attempt, *, began_ns: int) -> None:
        """One that is over, and below no turn."""
        self._attempt = self._tracer.start_span(
            f"chat {attempt.model}",
            _parent(None),
            SpanKind.CLIENT,
            self._call_of(attempt),
            start_time=began_ns,
        )
        self.end_attempt(attempt)

    def _call_of(self, attempt: Attempt) -> dict[str, Value]:
        return {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self._upstream.provider,
            "gen_ai.request.model": attempt.model,
            "gen_ai.request.stream": True,
            "gen_ai.conversation.id": self._names.conversation,
            "server.address": self._upstream.host,
            "server.port": self._upstream.port,
            "turnwire.step": attempt.step,
            "turnwire.attempt": attempt.attempt,
        }

    def end_attempt(self, attempt: Attempt) -> None:
        """See `TurnObserver`."""
        span, self._attempt = self._attempt, None
        if span is None:
            return
        span.set_attributes({**self._asked(attempt), **self._answered(attempt)})
        _fail(span, attempt.code)
        span.end()

    def _asked(self, attempt: Attempt) -> dict[str, Value]:
        request = attempt.request
        if request is None:
            return {}
        told: dict[str, Value] = {"gen_ai.request.max_tokens": request.max_tokens}
        if request.thinking is not None and isinstance(kind := request.thinking.get("type"), str):
            told["anthropic.thinking.type"] = kind
        if request.effort is not None:
            told["gen_ai.request.reasoning.level"] = request.effort
        if self._shows_content:
            told["gen_ai.input.messages"] = input_messages(request.messages)
            # Receivers show a trace by what its root says: the message, and the last answer.
            if (message := asked_message(request.messages)) is not None:
                self._turn.set_attribute("gen_ai.input.messages", message)
            if request.system is not None:
                told["gen_ai.system_instructions"] = instructions(request.system)
        return told

    def _answered(self, attempt: Attempt) -> dict[str, Value]:
        told: dict[str, Value] = {}
        if attempt.first_delta is not None:
            told["gen_ai.response.time_to_first_chunk"] = attempt.first_delta - attempt.began
        if attempt.stop_reason is not None:
            told["gen_ai.response.finish_reasons"] = [attempt.stop_reason]
            if self._shows_content and attempt.said is not None:
                said = output_messages(attempt.said(), attempt.stop_reason)
                told["gen_ai.output.messages"] = said
                self._turn.set_attribute("gen_ai.output.messages", said)
        words = attempt.words or {}
        request_id = words.get("request_id")
        if (response := attempt.response) is not None:
            request_id = response.request_id or request_id
            told |= _given(
                {"gen_ai.response.id": response.id, "gen_ai.response.model": response.model}
            )
        told |= _given(
            {
                "anthropic.request.id": request_id,
                "http.response.status_code": words.get("status"),
                "turnwire.provider.error_type": words.get("type"),
                "turnwire.provider.error_code": words.get("code"),
            }
        )
        if (usage := attempt.usage) is not None:
            told["gen_ai.usage.input_tokens"] = attempt.input_tokens
            told |= _cached(usage.cache_read_input_tokens, usage.cache_creation_input_tokens)
            if usage.thinking_tokens is not None:
                told["gen_ai.usage.reasoning.output_tokens"] = usage.thinking_tokens
            self._sums["input"] += attempt.input_tokens
            self._sums["cache_read"] += usage.cache_read_input_tokens
            self._sums["cache_creation"] += usage.cache_creation_input_tokens
        if usage is not None or attempt.output_tokens:
            told["gen_ai.usage.output_tokens"] = attempt.output_tokens
        if attempt.is_estimate:
            told["turnwire.usage.estimated"] = True
        return told

    def retry(self, attempt: Attempt, delay_seconds: float) -> None:
        """See `TurnObserver`."""
        self._turn.add_event(
            "retry",
            {
                "turnwire.step": attempt.step,
                "turnwire.attempt": attempt.attempt,
                "turnwire.retry.delay_seconds": delay_seconds,
                "error.type": attempt.code or "",
            },
        )

    def rewind(self) -> None:
        """See `TurnObserver`."""
        self._turn.add_event("rewind")

    def detach(self) -> None:
        """See `TurnObserver`."""
        self._turn.add_event("client_detached")

    def decide(self, tool: ToolRun, waited_seconds: float) -> None:
        """See `TurnObserver`."""
        self._turn.add_event(
            "tool_approval",
            {
                "gen_ai.tool.name": tool.name,
                "gen_ai.tool.call.id": tool.tool_id,
                "turnwire.tool.decision": tool.decision or "none",
                "turnwire.tool.waited_seconds": waited_seconds,
            },
        )

    def begin_tool(self, tool: ToolRun) -> None:
        """See `TurnObserver`."""
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool.name,
            "gen_ai.tool.call.id": tool.tool_id,
            "gen_ai.tool.type": "function",
            "turnwire.tool.runs_on": tool.runs_on,
        }
        if self._shows_content:
            attributes["gen_ai.tool.call.arguments"] = tool_text(tool.input)
        span = self._child(f"execute_tool {tool.name}", SpanKind.INTERNAL, attributes)
        self._tools[tool.tool_id] = span

    def end_tool(self, tool: ToolRun) -> None:
        """See `TurnObserver`."""
        if (span := self._tools.pop(tool.tool_id, None)) is None:
            return
        if self._shows_content:
            span.set_attribute("gen_ai.tool.call.result", tool_text(tool.content))
        _fail(span, "tool_error" if tool.is_error else None)
        span.end()

    def end(self, done: Done, code: str | None, seconds: float) -> None:
        """See `TurnObserver`."""
        sums, usage = self._sums, done.usage
        if self._names.is_recovered:
            # As if it had run until now: when the process died that had it, nobody knows.
            self._created_ns -= done.duration_ms * 1_000_000
            sums["cache_read"] = usage.cache_read_input_tokens
            sums["cache_creation"] = usage.cache_creation_input_tokens
            sums["input"] = usage.input_tokens + sums["cache_read"] + sums["cache_creation"]
            self._turn.set_attribute("turnwire.recovered", True)
        told: dict[str, Value] = {
            "gen_ai.usage.input_tokens": sums["input"],
            "gen_ai.usage.output_tokens": usage.output_tokens,
            **_cached(sums["cache_read"], sums["cache_creation"]),
            "turnwire.steps": done.steps,
            "turnwire.stop_reason": done.stop_reason,
        }
        if done.cost_usd is not None:
            told["turnwire.cost_usd"] = done.cost_usd
        self._turn.set_attributes(told)
        _fail(self._turn, code)
        self._turn.end()

    def attempt_context(self, attempt: Attempt) -> AbstractContextManager[None]:
        """See `TurnObserver`."""
        return _current(self._attempt or self._turn)

    def tool_context(self, tool: ToolRun) -> AbstractContextManager[None]:
        """See `TurnObserver`: spans that the tool makes itself are below its own."""
        return _current(self._tools.get(tool.tool_id, self._turn))

    def ids(self) -> Mapping[str, str]:
        """See `TurnObserver`."""
        context = self._turn.get_span_context()
        return {
            "trace_id": trace.format_trace_id(context.trace_id),
            "span_id": trace.format_span_id(context.span_id),
        }


def _parent(traceparent: str | None) -> Context:
    """None: it begins a trace of its own, whatever goes on here."""
    nothing = trace.set_span_in_context(trace.INVALID_SPAN)
    if traceparent is None:
        return nothing
    return _TRACE_CONTEXT.extract({"traceparent": traceparent}, nothing)


@contextmanager
def _current(span: Span) -> Iterator[None]:
    # It is ended by what the log says, which comes from elsewhere too.
    with trace.use_span(
        span, end_on_exit=False, record_exception=False, set_status_on_exception=False
    ):
        yield


def _fail(span: Span, code: str | None) -> None:
    if code is not None:
        span.set_attribute("error.type", code)
        # No description: what went wrong in words may say what somebody wrote.
        span.set_status(Status(StatusCode.ERROR))


def _cached(read: int, written: int) -> dict[str, Value]:
    return {
        "gen_ai.usage.cache_read.input_tokens": read,
        "gen_ai.usage.cache_write.input_tokens": written,
        # Its name before, which receivers know.
        "gen_ai.usage.cache_creation.input_tokens": written,
    }


def _given(told: Mapping[str, Value | None]) -> dict[str, Value]:
    return {name: value for name, value in told.items() if value is not None}

"""The log as JSON, an object a line, with the ids of the trace that the line belongs to."""

import logging
from datetime import UTC, datetime

from opentelemetry import trace
from pydantic_core import to_json

from turnwire_server.log_fields import Fields

__all__ = ["JsonFormatter"]


class JsonFormatter(logging.Formatter):
    """`time` (RFC 3339, UTC), `level`, `logger`, `message`, `exception` if there is one; fields of
    the line by their names, and `trace_id` and `span_id` where they are known. `of` says which
    process it is, if there are several."""

    def __init__(self, *, of: str = "") -> None:
        super().__init__()
        self._of = of

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        at = datetime.fromtimestamp(record.created, UTC)
        # `logging` unpacks an argument that is alone and a mapping.
        fields = record.args if isinstance(record.args, Fields) else Fields()
        line: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.msg.partition(" %s")[0] if fields else record.getMessage(),
        }
        if self._of:
            line["process"] = self._of
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = trace.format_trace_id(context.trace_id)
            line["span_id"] = trace.format_span_id(context.span_id)
        # What the line says of itself is nearer than where it is said.
        line |= fields
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return to_json({name: _text(value) for name, value in line.items()}).decode()


def _text(value: object) -> object:
    # Halves of surrogate pairs, which a library may say, have no encoding.
    return value.encode(errors="replace").decode() if isinstance(value, str) else value

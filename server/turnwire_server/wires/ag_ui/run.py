"""The two ends of an AG-UI run, and what its last event says. Pure."""

from typing import Any

from turnwire_protocol import ToolCall, TotalUsage
from turnwire_server.wires.chunk_stream import Chunk

__all__ = ["Run", "interrupt_of", "usage_of"]

_APPROVAL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "approved": {"type": "boolean"},
        "editedArgs": {"type": "object"},
        "reason": {"type": "string"},
    },
    "required": ["approved"],
}


class Run:
    """What begins and ends a run, whatever is in between."""

    def __init__(self, *, thread: str, run: str, version: str | None) -> None:
        self.version = version
        """Of the protocol, as the client said it; None: 0.x, whose clients fail at news."""
        self._ids = {"threadId": thread, "runId": run}

    def started(self) -> Chunk:
        """The first event."""
        spoken = {} if self.version is None else {"protocolVersion": "1.0"}
        return {"type": "RUN_STARTED", **self._ids, **spoken}

    def finished(self, **more: Any) -> Chunk:
        """The last event of a run that has not failed."""
        return {"type": "RUN_FINISHED", **self._ids, **more}


def interrupt_of(call: ToolCall) -> Chunk:
    """The question whether a call may run; it is answered by the payload that its schema says."""
    expires = {"expiresAt": call.approval.expires_at} if call.approval else {}
    return {
        "id": call.tool_id,
        "reason": "tool_call",
        "message": f"May {call.tool_name} run?",
        "toolCallId": call.tool_id,
        "responseSchema": _APPROVAL_SCHEMA,
        **expires,
    }


def usage_of(usage: TotalUsage, model: str | None) -> Chunk:
    """In AG-UI's accounting, in which what was cached is a part of the input."""
    cached, written = usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    input = usage.input_tokens + cached + written
    return {
        **({} if model is None else {"model": model}),
        "inputTokens": input,
        "outputTokens": usage.output_tokens,
        "totalTokens": input + usage.output_tokens,
        "cachedInputTokens": cached,
        "cacheWriteInputTokens": written,
    }

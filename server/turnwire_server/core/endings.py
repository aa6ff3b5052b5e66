"""What unfinished tool calls are given when their turn ends, so that the history stays valid."""

from turnwire_protocol import StopReason

__all__ = ["unfinished_result"]

_TEXTS: dict[str, str] = {
    StopReason.CANCELLED: "Cancelled by the user.",
    StopReason.FAILED: "Not finished: the turn failed.",
    StopReason.INTERRUPTED: "Not finished: the server stopped.",
    StopReason.MAX_STEPS: "Not run: the turn had reached its limit of steps.",
}


def unfinished_result(stop_reason: str) -> str:
    """What the model is told of a tool call that has no result when its turn ends."""
    return _TEXTS.get(stop_reason, "Not run: the answer was cut off.")

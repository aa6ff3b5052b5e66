"""The answer of a finished turn, assembled from its fold; pure, knows no connection."""

from dataclasses import dataclass

from turnwire.errors import TurnFailed
from turnwire_protocol import Block, Done, FoldedTurn, StopReason, TotalUsage

__all__ = ["Reply", "conclude"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a turn answered.

    `text` is that of all its text blocks; `blocks` also has thinking and tool calls with their
    results; `stop_reason` is an open string: `cancelled` and `max_tokens` leave the text short.
    `turn` is the turn's id.
    """

    text: str
    blocks: tuple[Block, ...]
    usage: TotalUsage
    stop_reason: str
    turn: str


def conclude(turn: FoldedTurn, done: Done) -> Reply | TurnFailed:
    """How the turn ended: with a reply, or, for `failed` and `interrupted`, a failure with it."""
    reply = Reply(turn.text, tuple(turn.blocks), done.usage, done.stop_reason, turn.turn)
    if done.stop_reason == StopReason.INTERRUPTED:
        return TurnFailed(
            StopReason.INTERRUPTED, "the server stopped meanwhile", retryable=True, reply=reply
        )
    if done.stop_reason != StopReason.FAILED:
        return reply
    error = turn.error
    if error is None:
        return TurnFailed(StopReason.FAILED, "", retryable=False, reply=reply)
    return TurnFailed(
        error.code,
        error.message,
        retryable=error.retryable,
        retry_after_seconds=error.retry_after_seconds,
        reply=reply,
    )

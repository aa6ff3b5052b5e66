"""The answer of a finished turn, for code of the same process; pure data."""

from dataclasses import dataclass
from typing import Any

from turnwire_protocol import Block, FoldedTurn, Refusal, StopReason, TotalUsage
from turnwire_server.errors import TurnwireError

__all__ = ["Reply", "TurnFailed", "reply_of"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a turn answered; the Python client has the same.

    `text` is that of all its text blocks; `blocks` also has thinking and tool calls with their
    results; `stop_reason` is an open string: `cancelled` and `max_tokens` leave the text short.
    `output` is what it says where the send had an `output_format`, as JSON has it; None where the
    answer was cut off. `cost_usd` is None where a price is not known.
    """

    text: str
    blocks: tuple[Block, ...]
    usage: TotalUsage
    stop_reason: str
    turn: str
    refusal: Refusal | None = None
    stop_sequence: str | None = None
    output: Any = None
    cost_usd: float | None = None


class TurnFailed(TurnwireError):
    """The turn ended as `failed` or `interrupted`; `reply` holds what had come.

    `code` is that of its `error` event, or `interrupted`.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool,
        retry_after_seconds: float | None = None,
        reply: Reply,
    ) -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
        self.reply = reply


def reply_of(turn: FoldedTurn) -> Reply:
    """The reply of a turn that is done.

    Raises:
        TurnFailed: it ended as `failed` or `interrupted`.
    """
    done = turn.done
    assert done is not None, "who asks has seen its end"
    reply = Reply(
        text=turn.text,
        blocks=tuple(turn.blocks),
        usage=done.usage,
        stop_reason=done.stop_reason,
        turn=turn.turn,
        refusal=done.refusal,
        stop_sequence=done.stop_sequence,
        output=done.output,
        cost_usd=done.cost_usd,
    )
    if done.stop_reason == StopReason.INTERRUPTED:
        message = "the server stopped meanwhile"
        raise TurnFailed(StopReason.INTERRUPTED, message, retryable=True, reply=reply)
    if done.stop_reason != StopReason.FAILED:
        return reply
    if (error := turn.error) is None:
        raise TurnFailed(StopReason.FAILED, "", retryable=False, reply=reply)
    raise TurnFailed(
        error.code,
        error.message,
        retryable=error.retryable,
        retry_after_seconds=error.retry_after_seconds,
        reply=reply,
    )

"""The answer of a finished turn; pure data."""

from dataclasses import dataclass

from turnwire_protocol import Block, Refusal, TotalUsage

__all__ = ["Reply"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a turn answered.

    `text` is that of all its text blocks; `blocks` also has thinking and tool calls with their
    results; `stop_reason` is an open string: `cancelled` and `max_tokens` leave the text short.
    `turn` is the turn's id; `refusal` says why the model refused, if it did and that is known.
    """

    text: str
    blocks: tuple[Block, ...]
    usage: TotalUsage
    stop_reason: str
    turn: str
    refusal: Refusal | None = None

"""The answer of a finished turn; pure data."""

from dataclasses import dataclass
from typing import Any, Generic

from typing_extensions import TypeVar

from turnwire_protocol import Block, Refusal, TotalUsage

__all__ = ["OutputT", "Reply"]

OutputT = TypeVar("OutputT", default=Any)
"""What an answer says as data, where the send had an `output_format`."""


@dataclass(frozen=True, slots=True)
class Reply(Generic[OutputT]):
    """What a turn answered.

    `text` is that of all its text blocks; `blocks` also has thinking and tool calls with their
    results; `stop_reason` is an open string: `cancelled` and `max_tokens` leave the text short.
    `turn` is the turn's id; `refusal` says why the model refused, if it did and that is known.
    `output` is what the answer says where the send had an `output_format`: of the type that was
    given there, or as JSON has it; None where the answer was cut off.
    `cost_usd` is in US dollars; None where the server does not know a price.
    """

    text: str
    blocks: tuple[Block, ...]
    usage: TotalUsage
    stop_reason: str
    turn: str
    refusal: Refusal | None = None
    stop_sequence: str | None = None
    output: OutputT | None = None
    cost_usd: float | None = None

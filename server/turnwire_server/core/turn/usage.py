"""The meter of a turn: token counts over steps and attempts, and what they cost. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from turnwire_protocol import TotalUsage
from turnwire_server.model.port import UsagePart

__all__ = ["Price", "UsageMeter"]

_CHARS_PER_TOKEN = 4


class Price(BaseModel):
    """What a model costs, in US dollars per million tokens."""

    input: float
    output: float
    cache_read: float = 0.0
    cache_creation: float = 0.0

    def of(self, usage: TotalUsage) -> float:
        """The cost of these tokens, in US dollars."""
        return (
            usage.input_tokens * self.input
            + usage.output_tokens * self.output
            + usage.cache_read_input_tokens * self.cache_read
            + usage.cache_creation_input_tokens * self.cache_creation
        ) / 1_000_000


@dataclass(slots=True)
class _Attempt:
    model: str
    counts: UsagePart | None = None
    chars: int = 0

    @property
    def is_estimate(self) -> bool:
        return not (self.counts and self.counts.final)

    def usage(self) -> TotalUsage:
        counts = self.counts or UsagePart(0, 0, 0, 0, final=False)
        output = counts.output_tokens
        if self.is_estimate:
            output = max(output, -(-self.chars // _CHARS_PER_TOKEN))
        return TotalUsage(
            input_tokens=counts.input_tokens,
            output_tokens=output,
            cache_read_input_tokens=counts.cache_read_input_tokens,
            cache_creation_input_tokens=counts.cache_creation_input_tokens,
        )


class UsageMeter:
    """Adds up the attempts of one turn. Counts are cumulative within an attempt."""

    def __init__(self) -> None:
        self._attempts: list[_Attempt] = []

    def begin(self, model: str) -> None:
        """An attempt begins."""
        self._attempts.append(_Attempt(model))

    def count(self, counts: UsagePart) -> None:
        """The model's own counts for this attempt, so far."""
        self._attempts[-1].counts = counts

    def stream(self, chars: int) -> None:
        """Count streamed characters: the estimate, in case the final counts never come."""
        self._attempts[-1].chars += chars

    def fail(self) -> None:
        """The attempt failed. One for which no counts had come is left out: it cost nothing."""
        if self._attempts[-1].counts is None:
            self._attempts.pop()

    def total(self) -> TotalUsage:
        """The sum over all attempts; `estimated` where an attempt that streamed lacks its count."""
        usages = [attempt.usage() for attempt in self._attempts]
        estimated = any(attempt.is_estimate for attempt in self._attempts)
        return TotalUsage(
            input_tokens=sum(usage.input_tokens for usage in usages),
            output_tokens=sum(usage.output_tokens for usage in usages),
            cache_read_input_tokens=sum(usage.cache_read_input_tokens for usage in usages),
            cache_creation_input_tokens=sum(usage.cache_creation_input_tokens for usage in usages),
            estimated=True if estimated else None,
        )

    def cost_usd(self, prices: Mapping[str, Price]) -> float | None:
        """What it costs; None where the price of a model is not known."""
        if not self._attempts or any(attempt.model not in prices for attempt in self._attempts):
            return None
        costs = (prices[attempt.model].of(attempt.usage()) for attempt in self._attempts)
        return round(sum(costs), 6)

"""The meter of a turn: token counts over steps and attempts, and what they cost. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from turnwire_protocol import Iteration, TotalUsage, Usage
from turnwire_server.model.port import UsagePart

__all__ = ["Price", "PriceOf", "UsageMeter", "counts_of"]

_CHARS_PER_TOKEN = 4


class Price(BaseModel):
    """What a model costs, in US dollars per million tokens; searches per thousand."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float
    output: float
    cache_read: float = 0.0
    cache_creation: float = 0.0
    cache_creation_1h: float | None = None
    """Of what is kept for an hour; None: as for five minutes."""
    web_search: float = 0.0

    def of(self, usage: TotalUsage | Iteration) -> float:
        """The cost of these tokens and searches, in US dollars."""
        for_an_hour = usage.cache_creation_1h_input_tokens or 0
        hourly = self.cache_creation if self.cache_creation_1h is None else self.cache_creation_1h
        searches = (usage.web_search_requests or 0) if isinstance(usage, TotalUsage) else 0
        return (
            usage.input_tokens * self.input
            + usage.output_tokens * self.output
            + usage.cache_read_input_tokens * self.cache_read
            + (usage.cache_creation_input_tokens - for_an_hour) * self.cache_creation
            + for_an_hour * hourly
        ) / 1_000_000 + searches * self.web_search / 1000


PriceOf = Callable[[str], Price | None]
"""What a model costs; None: that is not known."""


def counts_of(usage: Usage, *, final: bool) -> UsagePart:
    """The counts that an event tells of."""
    return UsagePart(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_input_tokens=usage.cache_read_input_tokens,
        cache_creation_input_tokens=usage.cache_creation_input_tokens,
        cache_creation_1h_input_tokens=usage.cache_creation_1h_input_tokens or 0,
        thinking_tokens=usage.thinking_tokens or 0,
        web_fetch_requests=usage.web_fetch_requests or 0,
        web_search_requests=usage.web_search_requests or 0,
        final=final,
        service_tier=usage.service_tier,
        model=usage.model,
        iterations=tuple(usage.iterations or ()),
    )


@dataclass(slots=True)
class _Attempt:
    asked: str
    """The model that was asked."""
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
            cache_creation_1h_input_tokens=counts.cache_creation_1h_input_tokens or None,
            thinking_tokens=counts.thinking_tokens or None,
            web_fetch_requests=counts.web_fetch_requests or None,
            web_search_requests=counts.web_search_requests or None,
        )

    def costs(self, price_of: PriceOf) -> list[float | None]:
        """Of each model that was called; None where its price is not known."""
        others = self.counts.iterations if self.counts else ()
        own = _minus(self.usage(), others)
        answering = (self.counts.model if self.counts else None) or self.asked
        costs = [_cost(price_of(answering), own, is_final=not self.is_estimate)]
        costs += [_cost(price_of(each.model or answering), each, is_final=True) for each in others]
        return costs


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

        def finer(name: str) -> int | None:
            return sum(getattr(usage, name) or 0 for usage in usages) or None

        return TotalUsage(
            input_tokens=sum(usage.input_tokens for usage in usages),
            output_tokens=sum(usage.output_tokens for usage in usages),
            cache_read_input_tokens=sum(usage.cache_read_input_tokens for usage in usages),
            cache_creation_input_tokens=sum(usage.cache_creation_input_tokens for usage in usages),
            cache_creation_1h_input_tokens=finer("cache_creation_1h_input_tokens"),
            thinking_tokens=finer("thinking_tokens"),
            web_fetch_requests=finer("web_fetch_requests"),
            web_search_requests=finer("web_search_requests"),
            estimated=True if estimated else None,
        )

    def cost_usd(self, price_of: PriceOf) -> float | None:
        """What it costs; None where the price of a model is not known."""
        costs = [cost for attempt in self._attempts for cost in attempt.costs(price_of)]
        known = [cost for cost in costs if cost is not None]
        return round(sum(known), 9) if costs and len(known) == len(costs) else None


def _cost(price: Price | None, usage: TotalUsage | Iteration, *, is_final: bool) -> float | None:
    if price is None:
        return None
    # A model that refuses before it says anything is not paid for.
    return 0.0 if is_final and usage.output_tokens == 0 else price.of(usage)


def _minus(usage: TotalUsage, others: tuple[Iteration, ...]) -> TotalUsage:
    """What remains for the model that answers."""
    if not others:
        return usage
    names = (
        "input_tokens",
        "output_tokens",
        "cache_read_input_tokens",
        "cache_creation_input_tokens",
        "cache_creation_1h_input_tokens",
    )
    rest = {
        name: max(0, (getattr(usage, name) or 0) - sum(getattr(each, name) or 0 for each in others))
        for name in names
    }
    return usage.model_copy(update=rest)

"""What the Claude API charges, by its list as of 2026-10-24. Pure; the operator's prices go first.

https://platform.claude.com/docs/en/about-claude/pricing, and what was announced of cache reads on
2026-10-07. A model is missing where its price is not one number (Haiku 5.5: by the length of the
prompt). Other platforms have prices of their own.
"""

import re

from turnwire_server.core.turn.usage import Price

__all__ = ["list_price"]

_WEB_SEARCH = 10.0
"""Per thousand, with every model."""


def _price(input: float, output: float, cache_read: float | None = None) -> Price:
    """What is written to the cache costs 1.25 of the input for five minutes, 2 for an hour."""
    return Price(
        input=input,
        output=output,
        cache_read=input / 10 if cache_read is None else cache_read,
        cache_creation=input * 1.25,
        cache_creation_1h=input * 2,
        web_search=_WEB_SEARCH,
    )


_LIST = {
    "claude-fable-5-1": _price(10, 50, 0.25),
    "claude-mythos-5-1": _price(10, 50, 0.25),
    "claude-fable-5": _price(10, 50),
    "claude-mythos-5": _price(10, 50),
    "claude-opus-5-5": _price(4, 20, 0.20),
    "claude-opus-5": _price(5, 25),
    "claude-opus-4-8": _price(5, 25),
    "claude-opus-4-7": _price(5, 25),
    "claude-opus-4-6": _price(5, 25),
    "claude-opus-4-5": _price(5, 25),
    "claude-opus-4-1": _price(15, 75),
    "claude-opus-4": _price(15, 75),
    "claude-opus-4-0": _price(15, 75),
    "claude-sonnet-5-5": _price(2, 10, 0.10),
    "claude-sonnet-5": _price(2, 10),
    "claude-sonnet-4-6": _price(3, 15),
    "claude-sonnet-4-5": _price(3, 15),
    "claude-sonnet-4": _price(3, 15),
    "claude-sonnet-4-0": _price(3, 15),
    "claude-haiku-4-5": _price(1, 5),
    "claude-3-5-haiku": _price(0.80, 4),
}
_VERSION = re.compile(r"-(?:\d{8}|latest)$")


def list_price(model: str) -> Price | None:
    """The price of a model by its name in the Claude API, with or without its date."""
    return _LIST.get(_VERSION.sub("", model))

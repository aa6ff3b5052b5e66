"""What the `usage` objects of one response say, put together into counts. Pure.

Counts are cumulative, and input counts are optional in `message_delta`: what `message_start` said
stays. The API's own counts are those of the model that answers; what it called besides (a model
that declined, an advisor, a summary) stands in `iterations` alone, and is added here:
https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback, "Usage".
"""

import math
from typing import Any

from turnwire_protocol import Iteration
from turnwire_server.model.port import ResponseNames, UsagePart

__all__ = ["Counts"]

_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
)
_FINER = {
    "cache_creation_1h_input_tokens": ("cache_creation", "ephemeral_1h_input_tokens"),
    "thinking_tokens": ("output_tokens_details", "thinking_tokens"),
    "web_fetch_requests": ("server_tool_use", "web_fetch_requests"),
    "web_search_requests": ("server_tool_use", "web_search_requests"),
}
"""In which object of the API each stands, and by which name."""
_ANSWERS = ("message", "fallback_message")
_NAME_CHARS = 128


class Counts:
    """Take the `usage` of each event that has one, in order."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = dict.fromkeys((*_COUNTS, *_FINER), 0)
        self._service_tier: str | None = None
        self._iterations: list[dict[str, Any]] = []
        self._answering: str | None = None

    def take(self, usage: Any) -> None:
        """What an event says; whatever is no count is passed over."""
        if not isinstance(usage, dict):
            return
        for name in _COUNTS:
            if (count := _counted(usage.get(name))) is not None:
                self._counts[name] = count
        for name, (group, field) in _FINER.items():
            told = usage.get(group)
            if isinstance(told, dict) and (count := _counted(told.get(field))) is not None:
                self._counts[name] = count
        if isinstance(tier := usage.get("service_tier"), str):
            self._service_tier = _name(tier)
        if isinstance(iterations := usage.get("iterations"), list):
            self._iterations = [each for each in iterations if isinstance(each, dict)]
            for each in self._iterations:
                if each.get("type") == "fallback_message" and isinstance(each.get("model"), str):
                    self._answering = _name(each["model"])

    def answered_by(self, model: Any) -> bool:
        """Another model goes on from here; whether that is news."""
        before = self._answering
        if isinstance(model, str) and model:
            self._answering = _name(model)
        return self._answering != before

    def part(
        self, *, final: bool, container: str | None, response: ResponseNames | None
    ) -> UsagePart:
        """The counts so far."""
        counts = dict(self._counts)
        others = tuple(_iteration(each) for each in self._iterations if self._is_other(each))
        for other in others:
            for name in _COUNTS:
                counts[name] += getattr(other, name)
            counts["cache_creation_1h_input_tokens"] += other.cache_creation_1h_input_tokens or 0
        return UsagePart(
            **counts,
            final=final,
            container=container,
            response=response,
            service_tier=self._service_tier,
            model=self._answering,
            iterations=others,
            context_tokens=self._context_tokens(),
        )

    def _context_tokens(self) -> int | None:
        """How long the conversation is now: of several calls of the model, the last one tells."""
        answers = [each for each in self._iterations if each.get("type") in _ANSWERS]
        if answers:
            return sum(_counted(answers[-1].get(name)) or 0 for name in _COUNTS)
        if self._iterations:
            # It was only summarised.
            return None
        return sum(self._counts[name] for name in _COUNTS) or None

    def _is_other(self, iteration: dict[str, Any]) -> bool:
        """Whether the API has not counted it with the answer."""
        kind = iteration.get("type")
        if kind == "message":
            # Of the model that answers: its rounds with the provider's tools.
            model = iteration.get("model")
            return self._answering is not None and model not in (None, self._answering)
        return kind != "fallback_message"


def _iteration(told: dict[str, Any]) -> Iteration:
    creation = told.get("cache_creation")
    for_an_hour = creation.get("ephemeral_1h_input_tokens") if isinstance(creation, dict) else None
    model = told.get("model")
    return Iteration(
        type=_name(str(told.get("type"))),
        model=_name(model) if isinstance(model, str) else None,
        **{name: _counted(told.get(name)) or 0 for name in _COUNTS},
        cache_creation_1h_input_tokens=_counted(for_an_hour) or None,
    )


def _name(text: str) -> str:
    return text.encode(errors="replace").decode()[:_NAME_CHARS]


def _counted(value: Any) -> int | None:
    """A count as a whole number, where it is one: some gateways count in floats."""
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        return None
    return int(value)

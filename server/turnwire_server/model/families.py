"""What models know of thinking, length, summaries and other options, by family. Pure; no SDK.

Thinking is a property of the model: some choose for themselves how much (`adaptive`), older ones
want a budget (`enabled`), and some of the newest never stop. A request asks for what the operator
or a client wishes; here the wish takes the form that the model of the attempt knows, so that one
service, and one turn that falls back, can use all of them. Effort is a wish, too. What has no
other form (sampling, a forced tool, structured output) a model takes or not: `lacks` tells that
before a turn begins, and a fallback that does not take it goes without.

Sources: the models and `ThinkingTypes` of the SDK (anthropic 2.11), the models overview and the
migration guides of https://platform.claude.com/docs/about-claude/models, its pages "Effort",
"Structured outputs", "Context windows" and "Compaction on demand", and the API's own refusals.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field

from turnwire_protocol import Effort, ThinkingOption
from turnwire_server.model.compaction import LEAST_TRIGGER, CompactionKind
from turnwire_server.model.port import Context, ModelRequest

__all__ = ["ModelOptions", "compaction_of", "context_of", "fitted", "lacks", "of_family"]

T = TypeVar("T")

_LEAST_BUDGET = 1024
_USUAL_BUDGET = 10_000


class ModelOptions(BaseModel):
    """What the operator says of a model, over what is built in. Absent fields change nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    thinking: ThinkingOption | Literal["none"] | None = None
    """The form this model knows, as the Messages API's `thinking` object; a wish in another form
    becomes this one. `none`: it is asked for nothing of the kind."""
    max_tokens: int | None = Field(default=None, ge=1)
    """The longest answer it can give."""
    effort: Effort | None = None
    """How hard it tries (`output_config.effort`), where it knows of effort."""
    window: int | None = Field(default=None, ge=1)
    """How many tokens it can take in, with the answer."""
    compaction: CompactionKind | Literal["none"] | None = None
    """How older messages are summarised before the window is full: `on_demand` by a request of its
    own (`compaction`), `threshold` by an edit (`compact_20260112`), `none` not at all."""


_NOTHING_SAID = ModelOptions()


@dataclass(frozen=True, slots=True)
class _Family:
    forms: frozenset[str]
    """The types of `thinking` it takes."""
    max_tokens: int
    efforts: tuple[Effort, ...] = get_args(Effort)
    """The levels it knows, rising; none: it is not to be asked for effort."""
    unthinking_effort: Effort = "max"
    """The highest it takes with thinking off."""
    samples: bool = False
    """Whether it takes `temperature`, `top_p` and `top_k`."""
    is_forcible: bool = True
    """Whether `tool_choice` can make it call a tool."""
    formats: bool = True
    """Whether it takes `output_config.format`."""
    window: int = 1_000_000
    """Tokens it can take in."""
    compaction: CompactionKind | None = "on_demand"
    """How the API summarises for it."""


_NONE = frozenset[str]()
_BUDGET = frozenset(("enabled", "disabled"))
_BOTH = frozenset(("adaptive", "enabled", "disabled"))
_ADAPTIVE = frozenset(("adaptive", "disabled"))
_BETWEEN = frozenset(("adaptive", "between_tools"))
_ALWAYS = frozenset(("adaptive",))
_OFF = ("disabled", "between_tools")
"""The types of `thinking` with which a model does not think before it answers."""


_SHORT = 200_000


def _old(
    forms: frozenset[str], max_tokens: int, *, formats: bool = False, window: int = _SHORT
) -> _Family:
    return _Family(
        forms,
        max_tokens,
        efforts=(),
        samples=True,
        formats=formats,
        window=window,
        compaction=None,
    )


_FAMILIES = {
    "claude-instant": _old(_NONE, 4096, window=100_000),
    "claude-2": _old(_NONE, 4096, window=100_000),
    "claude-3": _old(_NONE, 4096),
    "claude-3-5": _old(_NONE, 8192),
    "claude-3-7": _old(_BUDGET, 64_000),
    "claude-opus-4": _old(_BUDGET, 32_000),
    "claude-sonnet-4": _old(_BUDGET, 64_000),
    "claude-sonnet-4-5": _old(_BUDGET, 64_000, formats=True),
    "claude-haiku-4": _old(_BUDGET, 64_000, formats=True),
    "claude-opus-4-5": _Family(
        _BUDGET,
        64_000,
        ("low", "medium", "high"),
        samples=True,
        window=_SHORT,
        compaction=None,
    ),
    "claude-opus-4-6": _Family(_BOTH, 128_000, ("low", "medium", "high", "max"), samples=True),
    "claude-sonnet-4-6": _Family(_BOTH, 64_000, ("low", "medium", "high", "max"), samples=True),
    "claude-mythos-preview": _Family(_BOTH, 128_000, ("low", "medium", "high", "max")),
    "claude-opus-4-7": _Family(_ADAPTIVE, 128_000),
    "claude-opus-4-8": _Family(_ADAPTIVE, 128_000),
    "claude-sonnet-5": _Family(_ADAPTIVE, 128_000),
    "claude-haiku-5": _Family(_ADAPTIVE, 128_000, unthinking_effort="high"),
    "claude-opus-5": _Family(_ADAPTIVE, 128_000, unthinking_effort="high"),
    "claude-sonnet-5-5": _Family(_BETWEEN, 128_000, unthinking_effort="high", is_forcible=False),
    # These always think, and refuse to be told not to.
    "claude-opus-5-5": _Family(_ALWAYS, 128_000, is_forcible=False),
    "claude-fable": _Family(_ALWAYS, 128_000, is_forcible=False),
    "claude-mythos": _Family(_ALWAYS, 128_000, is_forcible=False),
}
"""By the beginning of the name, up to a hyphen; the longest that fits counts."""

_OLD_ORDER = re.compile(r"^claude-(\d(?:-\d)?)-(?:opus|sonnet|haiku)")
_CLAUDE = re.compile(r"claude-[a-z0-9-]+")


@lru_cache
def _family_of(model: str) -> _Family | None:
    return _longest(_FAMILIES, _plain(model))


def compaction_of(model: str, options: Mapping[str, ModelOptions]) -> CompactionKind | None:
    """How this model summarises, by what the operator says of it and by its family."""
    family = _family_of(model)
    own = (_longest(options, model) or _NOTHING_SAID).compaction
    if own is not None:
        return None if own == "none" else own
    return family.compaction if family else None


def context_of(model: str, options: Mapping[str, ModelOptions], *, is_own: bool) -> Context:
    """How much the model can take in. `is_own`: whether the API itself is asked.

    Elsewhere, at gateways and on other platforms, it summarises only where the operator says so.
    """
    family = _family_of(model)
    own = _longest(options, model) or _NOTHING_SAID
    window = own.window or (family.window if family else None)
    kind = compaction_of(model, options) if is_own or own.compaction else None
    least = {None: None, "on_demand": 0, "threshold": LEAST_TRIGGER}[kind]
    return Context(window, compacts_from=least)


@lru_cache
def lacks(model: str) -> frozenset[str]:
    """Which of the options `temperature`, `top_p`, `top_k`, `output_format` and `tool_choice` (one
    that forces a call) a model refuses. Of a model that is not known, none."""
    family = _family_of(model)
    if family is None:
        return frozenset()
    sampling = () if family.samples else ("temperature", "top_p", "top_k")
    forced = () if family.is_forcible else ("tool_choice",)
    return frozenset((*sampling, *forced, *(() if family.formats else ("output_format",))))


def fitted(
    request: ModelRequest, options: Mapping[str, ModelOptions], effort: Effort | None = None
) -> ModelRequest:
    """The request in the form its model knows. `options`: by name of a model, or its beginning;
    `effort`: of models for which neither the request nor these say anything."""
    family = _family_of(request.model)
    own = _longest(options, request.model) or _NOTHING_SAID
    ceiling = own.max_tokens or (family.max_tokens if family else request.max_tokens)
    max_tokens = min(request.max_tokens, ceiling)
    forms = family.forms if family else None
    wish = request.thinking
    if own.thinking == "none":
        forms = _NONE
    elif own.thinking is not None:
        form = own.thinking.model_dump(exclude_none=True)
        # The client's wish not to think stays one, and where it is of this form it is its own.
        if wish is None or wish["type"] not in (form["type"], "disabled"):
            wish = form
        forms = _BUDGET if form["type"] == "enabled" else frozenset((form["type"], "disabled"))
        if family and family.forms == _ALWAYS and form["type"] == "adaptive":
            forms = _ALWAYS
    thinking = None if wish is None else _thinking(wish, forms, max_tokens)
    changed: dict[str, Any] = {
        "max_tokens": max_tokens,
        "thinking": thinking,
        "effort": _effort(request.effort or own.effort or effort, family, thinking),
    }
    missing = lacks(request.model)
    thinks = thinking is not None and thinking["type"] not in _OFF
    if thinks or "temperature" in missing:
        # Who thinks takes no sampling, and is not to be forced.
        changed |= {"temperature": None, "top_p": None, "top_k": None}
    choice = request.tool_choice
    if choice is not None and choice.is_forced and (thinks or "tool_choice" in missing):
        changed["tool_choice"] = None
    if "output_format" in missing:
        changed["output_schema"] = None
    return replace(request, **changed)


def _effort(
    wish: Effort | None, family: _Family | None, thinking: dict[str, Any] | None
) -> Effort | None:
    """The highest level the model knows that is not above the wish."""
    if wish is None or family is None:
        return wish
    levels: tuple[Effort, ...] = get_args(Effort)
    most = levels.index(wish)
    if thinking is not None and thinking["type"] in _OFF:
        most = min(most, levels.index(family.unthinking_effort))
    known = [level for level in family.efforts if levels.index(level) <= most]
    return known[-1] if known else None


def of_family(table: Mapping[str, T], model: str) -> T | None:
    """What a table by family says of a model, whatever a platform calls it; None: nothing."""
    return _longest(table, _plain(model))


def _thinking(
    wish: dict[str, Any], forms: frozenset[str] | None, max_tokens: int
) -> dict[str, Any] | None:
    """The wish in one of these forms (None: any); None where the model has no such thing."""
    kind = wish["type"]
    display = {"display": wish["display"]} if "display" in wish else {}
    if forms is not None and kind not in forms:
        if "adaptive" in forms and kind == "enabled":
            return {"type": "adaptive", **display}
        if "between_tools" in forms and kind == "disabled":
            return {"type": "between_tools"}
        if "enabled" not in forms or kind == "disabled":
            # Not to say anything is as near as one gets to a model that always thinks.
            return None
        # A summary is what models with budgets give anyway; not all of them know the word.
        kept = display if display.get("display") == "omitted" else {}
        kind, wish = "enabled", {"type": "enabled", **kept}
    if kind != "enabled":
        return wish
    if max_tokens <= _LEAST_BUDGET:
        # There is no budget that leaves anything to the answer.
        return {"type": "disabled"}
    asked = wish.get("budget_tokens") or min(_USUAL_BUDGET, max_tokens // 2)
    return {**wish, "budget_tokens": max(_LEAST_BUDGET, min(asked, max_tokens - 1))}


def _plain(model: str) -> str:
    """The API's own name in that of another platform, as in `us.anthropic.claude-…-v1:0`."""
    found = _CLAUDE.search(model.lower().replace(".", "-").replace("@", "-"))
    name = found[0] if found else ""
    # Until version 3 the number stood before the family.
    return f"claude-{old[1]}" if (old := _OLD_ORDER.match(name)) else name


def _longest(table: Mapping[str, T], name: str) -> T | None:
    fitting = [key for key in table if name == key or name.startswith(f"{key.removesuffix('-')}-")]
    return table[max(fitting, key=len)] if fitting else None

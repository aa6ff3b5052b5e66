"""What models know of thinking, length, effort and summaries, by family. Pure; knows no SDK.

Thinking is a property of the model: some choose for themselves how much (`adaptive`), older ones
want a budget (`enabled`), and some of the newest never stop. A request asks for what the operator
or a client wishes; here the wish takes the form that the model of the attempt knows, so that one
service, and one turn that falls back, can use all of them.

Sources: the models and `ThinkingTypes` of the SDK (anthropic 2.11), the models overview of
https://platform.claude.com/docs/about-claude/models, "Context windows" and "Compaction on demand"
of https://platform.claude.com/docs/en/build-with-claude, and the API's own refusals.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from turnwire_protocol import ThinkingOption
from turnwire_server.model.compaction import LEAST_TRIGGER, CompactionKind
from turnwire_server.model.port import Context, ModelRequest

__all__ = ["Effort", "ModelOptions", "compaction_of", "context_of", "fitted", "of_family"]

Effort = Literal["low", "medium", "high", "xhigh", "max"]

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


@dataclass(frozen=True, slots=True)
class _Family:
    forms: frozenset[str]
    """The types of `thinking` it takes."""
    max_tokens: int
    knows_effort: bool = True
    window: int = 200_000
    compaction: CompactionKind | None = None


_NONE = frozenset[str]()
_BUDGET = frozenset(("enabled", "disabled"))
_BOTH = frozenset(("adaptive", "enabled", "disabled"))
_ADAPTIVE = frozenset(("adaptive", "disabled"))
_ALWAYS = frozenset(("adaptive",))

_LONG = 1_000_000

_FAMILIES = {
    "claude-instant": _Family(_NONE, 4096, knows_effort=False, window=100_000),
    "claude-2": _Family(_NONE, 4096, knows_effort=False, window=100_000),
    "claude-3": _Family(_NONE, 4096, knows_effort=False),
    "claude-3-5": _Family(_NONE, 8192, knows_effort=False),
    "claude-3-7": _Family(_BUDGET, 64_000, knows_effort=False),
    "claude-opus-4": _Family(_BUDGET, 32_000, knows_effort=False),
    "claude-sonnet-4": _Family(_BUDGET, 64_000, knows_effort=False),
    "claude-haiku-4": _Family(_BUDGET, 64_000, knows_effort=False),
    "claude-opus-4-5": _Family(_BUDGET, 64_000),
    "claude-opus-4-6": _Family(_BOTH, 128_000, window=_LONG, compaction="on_demand"),
    "claude-sonnet-4-6": _Family(_BOTH, 64_000, window=_LONG, compaction="on_demand"),
    "claude-mythos-preview": _Family(_BOTH, 128_000, window=_LONG, compaction="on_demand"),
    "claude-opus-4-7": _Family(_ADAPTIVE, 128_000, window=_LONG, compaction="on_demand"),
    "claude-opus-4-8": _Family(_ADAPTIVE, 128_000, window=_LONG, compaction="on_demand"),
    "claude-sonnet-5": _Family(_ADAPTIVE, 128_000, window=_LONG, compaction="on_demand"),
    "claude-haiku-5": _Family(_ADAPTIVE, 128_000, window=_LONG, compaction="on_demand"),
    # These always think, and refuse to be told not to.
    "claude-opus-5": _Family(_ALWAYS, 128_000, window=_LONG, compaction="on_demand"),
    "claude-fable": _Family(_ALWAYS, 128_000, window=_LONG, compaction="on_demand"),
    "claude-mythos": _Family(_ALWAYS, 128_000, window=_LONG, compaction="on_demand"),
}
"""By the beginning of the name, up to a hyphen; the longest that fits counts."""

_OLD_ORDER = re.compile(r"^claude-(\d(?:-\d)?)-(?:opus|sonnet|haiku)")
_CLAUDE = re.compile(r"claude-[a-z0-9-]+")


def compaction_of(model: str, options: Mapping[str, ModelOptions]) -> CompactionKind | None:
    """How this model summarises, by what the operator says of it and by its family."""
    family = _longest(_FAMILIES, _plain(model))
    own = (_longest(options, model) or ModelOptions()).compaction
    if own is not None:
        return None if own == "none" else own
    return family.compaction if family else None


def context_of(model: str, options: Mapping[str, ModelOptions], *, is_own: bool) -> Context:
    """How much the model can take in. `is_own`: whether the API itself is asked.

    Elsewhere, at gateways and on other platforms, it summarises only where the operator says so.
    """
    family = _longest(_FAMILIES, _plain(model))
    own = _longest(options, model) or ModelOptions()
    window = own.window or (family.window if family else None)
    kind = compaction_of(model, options) if is_own or own.compaction else None
    least = {None: None, "on_demand": 0, "threshold": LEAST_TRIGGER}[kind]
    return Context(window, compacts_from=least)


def fitted(request: ModelRequest, options: Mapping[str, ModelOptions]) -> ModelRequest:
    """The request in the form its model knows. `options`: by name of a model, or its beginning."""
    family = _longest(_FAMILIES, _plain(request.model))
    own = _longest(options, request.model) or ModelOptions()
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
    effort = own.effort if family is None or family.knows_effort else None
    thinking = None if wish is None else _thinking(wish, forms, max_tokens)
    return replace(request, max_tokens=max_tokens, thinking=thinking, effort=effort)


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

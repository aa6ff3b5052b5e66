"""The models the simulator lists; any other name that begins with `claude-` is served as well.

Of the API's own models it knows what they refuse: forms of thinking, lengths, levels of effort,
sampling, forced tools, formats, summaries. The simulated ones take everything. Sources:
`ThinkingTypes` of the SDK, the API's refusals in bug reports (such as cline/cline#13203,
sipeed/picoclaw#2939), the models and migration guides of
https://platform.claude.com/docs/about-claude/models, its page "Effort".
"""

from turnwire_simulator.blocks import ApiObject
from turnwire_simulator.errors import Rejected

__all__ = ["MODELS", "judge_for_model"]

MODELS = [
    {
        "type": "model",
        "id": id,
        "display_name": name,
        "created_at": created_at,
        "lifecycle": "active",
        "max_input_tokens": 200_000,
        "max_tokens": 64_000,
    }
    for id, name, created_at in (
        ("claude-simulated-opus", "Simulated Opus", "2026-06-01T00:00:00Z"),
        ("claude-simulated-sonnet", "Simulated Sonnet", "2026-05-01T00:00:00Z"),
        ("claude-simulated-haiku", "Simulated Haiku", "2026-04-01T00:00:00Z"),
    )
]

_BUDGET_ONLY = (
    "claude-3-7",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-2025",
    "claude-opus-4-5",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2025",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
)
_ALWAYS_THINKING = ("claude-opus-5-5", "claude-fable-", "claude-mythos-5")
_BETWEEN_TOOLS = ("claude-sonnet-5-5",)
_ADAPTIVE_ONLY = (
    *_ALWAYS_THINKING,
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-haiku-5",
)
_NO_SAMPLING = (*_ADAPTIVE_ONLY, "claude-mythos-preview")
_ONE_SAMPLER = (
    "claude-opus-4-1",
    "claude-opus-4-5",
    "claude-opus-4-6",
    "claude-sonnet-4-5",
    "claude-sonnet-4-6",
    "claude-haiku-4-5",
)
_NOT_FORCIBLE = ("claude-opus-5-5", "claude-sonnet-5-5", "claude-fable-5-1", "claude-mythos-5-1")
_HIGH_AT_MOST = ("claude-opus-4-5",)
_NO_XHIGH = ("claude-opus-4-6", "claude-sonnet-4-6", "claude-mythos-preview")
_THINKING_ABOVE_HIGH = ("claude-opus-5", "claude-sonnet-5-5", "claude-haiku-5")
"""With thinking off, they take no effort above `high`."""
_NO_THINKING = ("claude-3-haiku", "claude-3-opus", "claude-3-sonnet", "claude-3-5")
_NO_EFFORT = (*_NO_THINKING, *(name for name in _BUDGET_ONLY if name != "claude-opus-4-5"))
_NO_FORMAT = (
    *_NO_THINKING,
    "claude-3-7",
    "claude-opus-4-0",
    "claude-opus-4-2025",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2025",
)
_MAX_TOKENS = {
    "claude-3-haiku": 4096,
    "claude-3-5": 8192,
    "claude-opus-4-1": 32_000,
    "claude-haiku-4-5": 64_000,
    "claude-sonnet-4-5": 64_000,
    "claude-sonnet-5": 128_000,
    "claude-opus-5": 128_000,
}


def judge_for_model(body: ApiObject) -> None:
    """Raises `Rejected` when this model would not take what another takes."""
    model: str = body["model"]
    kind = (body.get("thinking") or {}).get("type")
    if kind in ("enabled", "adaptive") and model.startswith(_NO_THINKING):
        raise Rejected("thinking: this model does not support thinking")
    if kind == "adaptive" and model.startswith(_BUDGET_ONLY):
        raise Rejected("adaptive thinking is not supported on this model")
    if kind == "enabled" and model.startswith(_ADAPTIVE_ONLY):
        raise Rejected(
            '"thinking.type.enabled" is not supported for this model. Use '
            '"thinking.type.adaptive" and "output_config.effort" to control thinking behavior.'
        )
    if kind == "disabled" and model.startswith((*_ALWAYS_THINKING, *_BETWEEN_TOOLS)):
        raise Rejected('"thinking.type.disabled" is not supported for this model.')
    edits = (body.get("context_management") or {}).get("edits") or []
    compacts = any(str(edit.get("type")).startswith("compact_") for edit in edits)
    if (body.get("compaction") or compacts) and model.startswith((*_NO_THINKING, *_BUDGET_ONLY)):
        raise Rejected("compaction is not supported on this model")
    if kind == "between_tools" and not model.startswith((*_BETWEEN_TOOLS, "claude-simulated")):
        raise Rejected('"thinking.type.between_tools" is not supported for this model.')
    _judge_effort(model, kind, (body.get("output_config") or {}).get("effort"))
    if (body.get("output_config") or {}).get("format") and model.startswith(_NO_FORMAT):
        raise Rejected("output_config.format: this model does not support structured outputs")
    _judge_sampling(model, body)
    forced = (body.get("tool_choice") or {}).get("type") in ("any", "tool")
    if forced and model.startswith(_NOT_FORCIBLE):
        raise Rejected("tool_choice: forced tool use is not supported for this model.")
    for name, most in _MAX_TOKENS.items():
        if model.startswith(name) and body["max_tokens"] > most:
            raise Rejected(
                f"max_tokens: {body['max_tokens']} > {most}, which is the maximum allowed number "
                f"of output tokens for {model}"
            )


def _judge_effort(model: str, thinking: str | None, effort: str | None) -> None:
    if effort is None:
        return
    if model.startswith(_NO_EFFORT):
        raise Rejected("This model does not support the effort parameter.")
    too_much = (effort in ("xhigh", "max") and model.startswith(_HIGH_AT_MOST)) or (
        effort == "xhigh" and model.startswith(_NO_XHIGH)
    )
    if too_much:
        raise Rejected(f"output_config.effort: '{effort}' is not supported for this model.")
    is_off = thinking in ("disabled", "between_tools")
    if is_off and effort in ("xhigh", "max") and model.startswith(_THINKING_ABOVE_HIGH):
        raise Rejected(f"output_config.effort: '{effort}' needs thinking on this model.")


def _judge_sampling(model: str, body: ApiObject) -> None:
    for name in ("temperature", "top_p", "top_k"):
        if name in body and model.startswith(_NO_SAMPLING):
            raise Rejected(f"`{name}` is deprecated for this model.")
    if "temperature" in body and "top_p" in body and model.startswith(_ONE_SAMPLER):
        raise Rejected(
            "`temperature` and `top_p` cannot both be specified for this model. "
            "Please use only one."
        )
    if (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
        if body.get("temperature", 1) != 1:
            raise Rejected("`temperature` may only be set to 1 when thinking is enabled.")
        if "top_k" in body:
            raise Rejected("`top_k` must be unset when thinking is enabled.")
        if body.get("top_p", 1) < 0.95:
            raise Rejected(
                "`top_p` must be greater than or equal to 0.95 when thinking is enabled."
            )

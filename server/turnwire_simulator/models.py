"""The models the simulator lists; any other name that begins with `claude-` is served as well.

Of the API's own models it knows what they refuse: forms of thinking, lengths, effort, summaries.
The simulated ones take everything. Sources: `ThinkingTypes` of the SDK, the API's refusals in bug
reports (such as cline/cline#13203), https://platform.claude.com/docs/about-claude/models.
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
_ALWAYS_THINKING = ("claude-opus-5", "claude-fable-", "claude-mythos-5")
_ADAPTIVE_ONLY = (
    *_ALWAYS_THINKING,
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-sonnet-5",
    "claude-haiku-5",
)
_NO_THINKING = ("claude-3-haiku", "claude-3-opus", "claude-3-sonnet", "claude-3-5")
_NO_EFFORT = (*_NO_THINKING, *(name for name in _BUDGET_ONLY if name != "claude-opus-4-5"))
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
    if kind == "disabled" and model.startswith(_ALWAYS_THINKING):
        raise Rejected('"thinking.type.disabled" is not supported for this model.')
    edits = (body.get("context_management") or {}).get("edits") or []
    compacts = any(str(edit.get("type")).startswith("compact_") for edit in edits)
    if (body.get("compaction") or compacts) and model.startswith((*_NO_THINKING, *_BUDGET_ONLY)):
        raise Rejected("compaction is not supported on this model")
    effort = (body.get("output_config") or {}).get("effort")
    if effort is not None and model.startswith(_NO_EFFORT):
        raise Rejected("This model does not support the effort parameter.")
    for name, most in _MAX_TOKENS.items():
        if model.startswith(name) and body["max_tokens"] > most:
            raise Rejected(
                f"max_tokens: {body['max_tokens']} > {most}, which is the maximum allowed number "
                f"of output tokens for {model}"
            )

"""Judges what of a request is about models that answer in another's place; knows no HTTP.

Source: https://platform.claude.com/docs/en/build-with-claude/refusals-and-fallback
"""

from collections.abc import Set

from turnwire_simulator.blocks import ApiObject
from turnwire_simulator.errors import Rejected
from turnwire_simulator.prompt_cache import blocks_of
from turnwire_simulator.shapes import expect

__all__ = ["judge_fallbacks"]

_BETA = "server-side-fallback-2026-07-01"
_FIELDS = frozenset(("model", "max_tokens", "output_config", "speed", "thinking"))
_UNREADABLE = ("thinking", "redacted_thinking", "tool_use")
"""Blocks of a model that declined, which no other model is shown."""
_NONE = ("claude-3", "claude-haiku-4", "claude-opus-4", "claude-sonnet-4")
"""Models that decline nothing, and know of no fallback."""


def judge_fallbacks(body: ApiObject, betas: Set[str]) -> None:
    """Raises `Rejected` unless the API would take the fallbacks, and their traces in history."""
    for number, message in enumerate(body["messages"]):
        if isinstance(message, dict) and message.get("role") == "assistant":
            _judge_blocks(message.get("content"), f"messages.{number}.content")
    fallbacks = body.get("fallbacks")
    if fallbacks is None:
        return
    if _BETA not in betas:
        raise Rejected("fallbacks: Extra inputs are not permitted")
    if body["model"].startswith(_NONE):
        raise Rejected("fallbacks: this model does not support fallbacks")
    if fallbacks == "default":
        return
    seen = {body["model"]}
    for number, entry in enumerate(fallbacks):
        path = f"fallbacks.{number}"
        expect(isinstance(entry, dict) and isinstance(entry.get("model"), str), path, "needs model")
        for name in entry.keys() - _FIELDS:
            raise Rejected(f"{path}.{name}: Extra inputs are not permitted")
        expect(entry["model"] not in seen, path, "models must be distinct")
        seen.add(entry["model"])


def _judge_blocks(content: object, path: str) -> None:
    if not isinstance(content, list):
        return
    blocks = [block if isinstance(block, dict) else {} for block in blocks_of(content)]
    ends = [at for at, block in enumerate(blocks) if block.get("type") == "fallback"]
    for at, block in enumerate(blocks[: ends[-1]] if ends else ()):
        kind = block.get("type")
        expect(kind not in _UNREADABLE, f"{path}.{at}", f"`{kind}` before a `fallback` block")

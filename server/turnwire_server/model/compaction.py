"""How a request has the API summarise what is older, and how it carries a summary. Pure.

Two ways of the API come to one here, in which the answer is a `compaction` block and nothing else,
and later requests begin with that block. `on_demand` asks for it by a parameter, and the block is
signed: what was thought behind the summarised messages stays valid. `threshold` is an edit of an
ordinary request that is told to pause behind the block; the API wants the edit declared in each
request that carries such a block, and cannot be told not to summarise again but by a trigger that
is never reached.

https://platform.claude.com/docs/en/build-with-claude/compaction-on-demand and
https://platform.claude.com/docs/en/build-with-claude/compaction-threshold
"""

from typing import Any, Literal

from turnwire_server.model.port import ApiBlock, ApiMessage, ModelRequest

__all__ = [
    "LEAST_TRIGGER",
    "CompactionKind",
    "ContextEdit",
    "add_context_management",
    "without_reply_options",
]

CompactionKind = Literal["on_demand", "threshold"]
ContextEdit = dict[str, Any]
"""An edit of `context_management`, as the Messages API has it."""

LEAST_TRIGGER = 50_000
"""The least context, in tokens, at which an edit summarises."""

_NEVER = 100_000_000
_SUMMARIZE = "compact-2026-09-04"
_EDIT = "compact-2026-01-12"
_EDITS = "context-management-2025-06-27"


def add_context_management(
    request: ModelRequest,
    *,
    kind: CompactionKind | None,
    edits: list[ContextEdit],
    betas: list[str],
    body: dict[str, Any],
) -> None:
    """Add what the request needs to summarise, to carry a summary, and to be edited by `edits`."""
    carried = _carried(request.messages)
    if carried is not None:
        # The API takes no signed block with the edit, and no other one without it.
        kind = "on_demand" if carried.get("signature") else "threshold"
        betas.append(_SUMMARIZE if kind == "on_demand" else _EDIT)
    if request.compacts and kind == "on_demand":
        betas.append(_SUMMARIZE)
        body["compaction"] = {"type": "summarize"}
        return
    if edits and not request.compacts:
        betas.append(_EDITS)
    if request.compacts:
        betas.append(_EDIT)
        edits = [{**_edit(LEAST_TRIGGER), "pause_after_compaction": True}]
    elif carried is not None and kind == "threshold":
        edits = [*edits, _edit(_NEVER)]
    if edits:
        body["context_management"] = {"edits": edits}


def without_reply_options(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters without what only shapes a reply: the API refuses it where there is none."""
    kept = {name: value for name, value in parameters.items() if name != "stop_sequences"}
    if (kept.get("tool_choice") or {}).get("type") in ("any", "tool"):
        del kept["tool_choice"]
    if "format" in (output := kept.get("output_config") or {}):
        kept["output_config"] = {name: output[name] for name in output if name != "format"}
    return kept


def _carried(messages: list[ApiMessage]) -> ApiBlock | None:
    content = messages[0]["content"]
    first = None if isinstance(content, str) else content[0]
    return first if first is not None and first["type"] == "compaction" else None


def _edit(trigger: int) -> ContextEdit:
    return {
        "type": "compact_20260112",
        "trigger": {"type": "input_tokens", "value": trigger},
    }

"""The tools that the provider runs itself, by name: which version a model knows, which betas they
need. Pure; knows no SDK.

Versions: those of the SDK (anthropic 2.11). Which models know which:
https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-search-tool (dynamic filtering,
so the newer versions, from 4.6 on) and …/code-execution-tool.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from turnwire_server.model.families import of_family
from turnwire_server.model.port import ToolForm

__all__ = ["SERVER_TOOLS", "betas_of", "is_run_here", "runs_code", "skill", "versioned"]


@dataclass(frozen=True, slots=True)
class _Versions:
    newest: str
    basic: str
    """For the models before 4.6."""


SERVER_TOOLS = {
    "code_execution": _Versions("code_execution_20260521", "code_execution_20250825"),
    "tool_search_tool_bm25": _Versions(*2 * ["tool_search_tool_bm25_20251119"]),
    "tool_search_tool_regex": _Versions(*2 * ["tool_search_tool_regex_20251119"]),
    "web_fetch": _Versions("web_fetch_20260318", "web_fetch_20250910"),
    "web_search": _Versions("web_search_20260318", "web_search_20250305"),
}

_KNOWS_NEWEST = {
    "claude-instant": False,
    "claude-2": False,
    "claude-3": False,
    "claude-opus-4": False,
    "claude-sonnet-4": False,
    "claude-haiku-4": False,
    "claude-opus-4-6": True,
    "claude-opus-4-7": True,
    "claude-opus-4-8": True,
    "claude-sonnet-4-6": True,
}
"""By the beginning of the name; models that are not here are newer."""

_BETAS = {
    "advisor_20260301": "advisor-tool-2026-03-01",
    "computer_20241022": "computer-use-2024-10-22",
    "computer_20250124": "computer-use-2025-01-24",
    "computer_20251124": "computer-use-2025-11-24",
}
"""By type of tool; the SDK has all others outside of its betas."""

_RUN_HERE = ("bash_", "browser_", "computer_", "mcp_toolset", "memory_", "text_editor_")
"""How the types begin that a model knows, and that whoever asks it runs."""


def versioned(tool: ToolForm, model: str) -> ToolForm:
    """The tool in the version that the model knows, where its type is a name without a date."""
    versions = SERVER_TOOLS.get(_type(tool))
    if versions is None:
        return tool
    knows_newest = of_family(_KNOWS_NEWEST, model) is not False
    return {**tool, "type": versions.newest if knows_newest else versions.basic}


def betas_of(tools: Iterable[ToolForm]) -> list[str]:
    """The betas that a request with these tools needs."""
    return [beta for tool in tools if (beta := _BETAS.get(_type(tool))) is not None]


def is_run_here(type: str) -> bool:
    """Whether calls of a tool of this type are run by whoever asks the model."""
    return type.startswith(_RUN_HERE)


def runs_code(tool: ToolForm) -> bool:
    """Whether it is the provider's execution of code, in whose container skills are."""
    return _type(tool).startswith("code_execution")


def skill(name: str) -> dict[str, Any]:
    """A skill as the API names it, from `name` or `name@version`; its own have ids `skill_…`."""
    id, _, version = name.partition("@")
    kind = "custom" if id.startswith("skill_") else "anthropic"
    return {"type": kind, "skill_id": id, "version": version or "latest"}


def _type(tool: ToolForm) -> str:
    return str(tool.get("type", ""))

"""Judges what a request says of tools that the API defines, and of their container; pure.

Sources: the `…Param` types of the SDK (anthropic 2.11) and what their docstrings say; the pages of
https://platform.claude.com/docs/en/agents-and-tools/tool-use.
"""

from collections.abc import Set

from turnwire_simulator.blocks import ApiObject
from turnwire_simulator.errors import Rejected
from turnwire_simulator.shapes import expect, is_count

__all__ = ["judge_container", "judge_provider_tools", "judge_returned"]

_DOMAINS = frozenset({"allowed_domains", "blocked_domains", "max_uses"})
_SEARCH = _DOMAINS | {"user_location"}
_FETCH = _DOMAINS | {"citations", "max_content_tokens", "url_sources"}
_EXAMPLES = frozenset({"input_examples"})
_NONE = frozenset[str]()
_EVERY = frozenset({"name", "type", "allowed_callers", "cache_control", "defer_loading", "strict"})

_TYPES: dict[str, tuple[str, frozenset[str]]] = {
    "advisor_20260301": ("advisor", frozenset({"caching", "max_tokens", "max_uses", "model"})),
    "bash_20250124": ("bash", _EXAMPLES),
    "code_execution_20250522": ("code_execution", _NONE),
    "code_execution_20250825": ("code_execution", _NONE),
    "code_execution_20260120": ("code_execution", _NONE),
    "code_execution_20260521": ("code_execution", _NONE),
    "memory_20250818": ("memory", _EXAMPLES),
    "text_editor_20250124": ("str_replace_editor", _EXAMPLES),
    "text_editor_20250429": ("str_replace_based_edit_tool", _EXAMPLES),
    "text_editor_20250728": ("str_replace_based_edit_tool", _EXAMPLES | {"max_characters"}),
    "tool_search_tool_bm25": ("tool_search_tool_bm25", _NONE),
    "tool_search_tool_bm25_20251119": ("tool_search_tool_bm25", _NONE),
    "tool_search_tool_regex": ("tool_search_tool_regex", _NONE),
    "tool_search_tool_regex_20251119": ("tool_search_tool_regex", _NONE),
    "web_fetch_20250910": ("web_fetch", _FETCH),
    "web_fetch_20260209": ("web_fetch", _FETCH),
    "web_fetch_20260309": ("web_fetch", _FETCH | {"use_cache"}),
    "web_fetch_20260318": ("web_fetch", _FETCH | {"response_inclusion", "use_cache"}),
    "web_search_20250305": ("web_search", _SEARCH),
    "web_search_20260209": ("web_search", _SEARCH),
    "web_search_20260318": ("web_search", _SEARCH | {"response_inclusion"}),
}
"""By type: the name that it must have, and its own fields."""

_BETAS = {"advisor_20260301": "advisor-tool-2026-03-01"}
_FILTERING = tuple(kind for kind in _TYPES if kind.startswith("web_") and "_2026" in kind)
_BEFORE_FILTERING = (
    "claude-3-",
    "claude-opus-4-0",
    "claude-opus-4-1",
    "claude-opus-4-2025",
    "claude-opus-4-5",
    "claude-sonnet-4-0",
    "claude-sonnet-4-2025",
    "claude-sonnet-4-5",
    "claude-haiku-4-5",
)


def judge_provider_tools(body: ApiObject, betas: Set[str]) -> None:
    """Raises `Rejected` unless the API would take these definitions of its own tools."""
    tools = body.get("tools", ())
    for number, tool in enumerate(tools):
        kind = tool.get("type")
        if kind in (None, "custom"):
            continue
        path = f"tools.{number}"
        if kind not in _TYPES:
            raise Rejected(f"{path}: Input tag '{kind}' does not match any of the expected tags")
        _judge(tool, f"{path}.{kind}")
        beta = _BETAS.get(kind)
        if beta is not None and beta not in betas:
            raise Rejected(f"{path}.{kind}: requires the `anthropic-beta` header `{beta}`")
        if kind in _FILTERING and body["model"].startswith(_BEFORE_FILTERING):
            raise Rejected(f"{path}: '{body['model']}' does not support '{kind}'")
    deferred = [tool for tool in tools if tool.get("defer_loading")]
    for tool in deferred:
        marked = tool.get("cache_control") is not None
        expect(not marked, "tools", "`cache_control` cannot be used with `defer_loading`")
    expect(len(deferred) < len(tools) or not tools, "tools", "at least one must be non-deferred")


def _judge(tool: ApiObject, path: str) -> None:
    name, own = _TYPES[tool["type"]]
    expect(tool["name"] == name, f"{path}.name", f"Input should be '{name}'")
    for field in tool.keys() - _EVERY - own:
        raise Rejected(f"{path}.{field}: Extra inputs are not permitted")
    for field in ("max_uses", "max_content_tokens", "max_characters", "max_tokens"):
        value = tool.get(field)
        expect(value is None or is_count(value), f"{path}.{field}", "Input should be at least 1")
    both = tool.get("allowed_domains") and tool.get("blocked_domains")
    expect(not both, path, "`allowed_domains` and `blocked_domains` cannot be used together")


def judge_container(body: ApiObject) -> None:
    """Raises `Rejected` unless the API would take this container."""
    container = body.get("container")
    if not isinstance(container, dict):
        return
    for field in container.keys() - {"id", "skills"}:
        raise Rejected(f"container.{field}: Extra inputs are not permitted")
    skills = container.get("skills") or []
    expect(len(skills) <= 8, "container.skills", "at most 8 skills")
    for number, skill in enumerate(skills):
        path = f"container.skills.{number}"
        expect(
            skill.get("type") in ("anthropic", "custom"), f"{path}.type", "Input should be known"
        )
        expect(isinstance(skill.get("skill_id"), str), f"{path}.skill_id", "Field required")
        for field in skill.keys() - {"type", "skill_id", "version"}:
            raise Rejected(f"{path}.{field}: Extra inputs are not permitted")
    runs_code = any(
        str(tool.get("type")).startswith("code_execution") for tool in body.get("tools", ())
    )
    expect(runs_code or not skills, "container.skills", "requires the code execution tool")


_SEALED = {
    "web_search_result": ("encrypted_content", "title", "url"),
    "web_search_result_location": ("cited_text", "encrypted_index", "url"),
    "web_fetch_result": ("content", "url"),
    "encrypted_code_execution_result": ("content", "encrypted_stdout", "return_code", "stderr"),
    "code_execution_result": ("content", "return_code", "stderr", "stdout"),
    "bash_code_execution_result": ("content", "return_code", "stderr", "stdout"),
}
"""What the API put into its results and citations, and wants back as it was."""


def judge_returned(block: ApiObject, path: str) -> None:
    """Raises `Rejected` if a result of the API's own tools, or a citation, lacks what it had."""
    citations = block.get("citations") if block["type"] == "text" else None
    content = block.get("content") if block["type"].endswith("_tool_result") else None
    for field, inner in (("content", content), ("citations", citations)):
        for number, part in enumerate(inner if isinstance(inner, list) else [inner]):
            if isinstance(part, dict):
                kind = str(part.get("type"))
                for name in _SEALED.get(kind, ()):
                    where = f"{path}.{block['type']}.{field}.{number}.{kind}.{name}"
                    expect(name in part, where, "Field required")

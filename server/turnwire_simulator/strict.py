"""Judges a request as the Claude API does, field by field; the rules of its messages are elsewhere.

Source: https://docs.claude.com/en/api/messages
"""

import re
from collections.abc import Callable, Set

from turnwire_simulator.binding import judge_binding
from turnwire_simulator.blocks import ApiObject
from turnwire_simulator.compaction import judge_compaction, shown
from turnwire_simulator.errors import Rejected
from turnwire_simulator.fallbacks import judge_fallbacks
from turnwire_simulator.fault import TYPES
from turnwire_simulator.history import judge_messages
from turnwire_simulator.models import judge_for_model
from turnwire_simulator.options import judge_options
from turnwire_simulator.prompt_cache import blocks_of
from turnwire_simulator.provider_tools import judge_container, judge_provider_tools
from turnwire_simulator.shapes import expect, is_count, judge_text
from turnwire_simulator.tool_schema import judge_schema

__all__ = ["judge"]

MAX_BREAKPOINTS = 4
MIN_BUDGET_TOKENS = 1024

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_natural(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is(*kinds: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, kinds)


_FIELDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "cache_control": ("a valid dictionary", _is(dict)),
    "compaction": ("a valid dictionary", _is(dict)),
    "container": ("a valid string or dictionary", _is(str, dict)),
    "context_management": ("a valid dictionary", _is(dict)),
    "diagnostics": ("a valid dictionary", _is(dict)),
    "fallbacks": ("a valid list or 'default'", lambda f: isinstance(f, list) or f == "default"),
    "inference_geo": ("a valid string", _is(str)),
    "max_tokens": ("greater than or equal to 1", is_count),
    "mcp_servers": ("a valid list", _is(list)),
    "messages": ("a valid list", _is(list)),
    "metadata": ("a valid dictionary", _is(dict)),
    "model": ("a valid string", _is(str)),
    "output_config": ("a valid dictionary", _is(dict)),
    "service_tier": ("'auto' or 'standard_only'", lambda tier: tier in ("auto", "standard_only")),
    "speed": ("'standard' or 'fast'", lambda speed: speed in ("standard", "fast")),
    "stop_sequences": ("a valid list", _is(list)),
    "stream": ("a valid boolean", _is(bool)),
    "system": ("a valid string or list", _is(str, list)),
    "temperature": ("a valid number", _is_number),
    "thinking": ("a valid dictionary", _is(dict)),
    "tool_choice": ("a valid dictionary", _is(dict)),
    "tools": ("a valid list", _is(list)),
    "top_k": ("a valid integer", _is_natural),
    "top_p": ("a valid number", _is_number),
    "user_profile_id": ("a valid string", _is(str)),
    "workspace_id": ("a valid string", _is(str)),
}
_REQUIRED = ("model", "max_tokens", "messages")
# These may be sent as null, which is as if they were absent.
_NULLABLE = {
    "cache_control",
    "compaction",
    "container",
    "context_management",
    "diagnostics",
    "inference_geo",
    "speed",
    "user_profile_id",
    "workspace_id",
}


def judge(body: ApiObject, betas: Set[str] = frozenset()) -> None:
    """Returns when the API would take the request, which names these betas in its header.

    Raises:
        Rejected: with the API's status and error type, and a message that names the path.
    """
    for name in _REQUIRED:
        if name not in body:
            raise Rejected(f"{name}: Field required")
    for name, value in body.items():
        if name not in _FIELDS:
            raise Rejected(f"{name}: Extra inputs are not permitted")
        wanted, fits = _FIELDS[name]
        if not fits(value) and not (value is None and name in _NULLABLE):
            raise Rejected(f"{name}: Input should be {wanted}")
    if not body["model"].startswith("claude-"):
        raise Rejected(f"model: {body['model']}", status=404, type=TYPES[404])
    _judge_thinking(body)
    judge_options(body)
    judge_for_model(body)
    judge_fallbacks(body, betas)
    _judge_tools(body)
    judge_provider_tools(body, betas)
    judge_container(body)
    _judge_system(body)
    judge_compaction(body, betas)
    judge_messages(body["messages"], compacts=body.get("compaction") is not None)
    _judge_named_tools(body)
    judge_binding(shown(body))
    _judge_breakpoints(body)


def _judge_thinking(body: ApiObject) -> None:
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type")
    allowed: dict[str, set[str]] = {
        "adaptive": {"display"},
        "between_tools": set(),
        "disabled": set(),
        "enabled": {"display", "budget_tokens"},
    }
    if not isinstance(kind, str) or kind not in allowed:
        raise Rejected(f"thinking.type: Input tag {kind!r} does not match any of the expected tags")
    for name in thinking.keys() - {"type"} - allowed[kind]:
        raise Rejected(f"thinking.{kind}.{name}: Extra inputs are not permitted")
    if thinking.get("display") not in (None, "summarized", "omitted"):
        raise Rejected(f"thinking.{kind}.display: Input should be 'summarized' or 'omitted'")
    if kind == "enabled":
        path = "thinking.enabled.budget_tokens"
        expect("budget_tokens" in thinking, path, "Field required")
        budget = thinking["budget_tokens"]
        fits = is_count(budget) and budget >= MIN_BUDGET_TOKENS
        expect(fits, path, f"Input should be greater than or equal to {MIN_BUDGET_TOKENS}")
        expect(
            budget < body["max_tokens"],
            "max_tokens",
            "`max_tokens` must be greater than `thinking.budget_tokens`",
        )


def _judge_tools(body: ApiObject) -> None:
    names: set[str] = set()
    for number, tool in enumerate(body.get("tools", ())):
        path = f"tools.{number}"
        expect(isinstance(tool, dict), path, "Input should be a valid dictionary")
        is_custom = tool.get("type") in (None, "custom")
        path = f"{path}.custom" if is_custom else path
        expect("name" in tool, f"{path}.name", "Field required")
        name = tool["name"]
        fits = isinstance(name, str) and _TOOL_NAME.fullmatch(name) is not None
        expect(fits, f"{path}.name", f"String should match pattern '^{_TOOL_NAME.pattern}$'")
        if is_custom:
            expect("input_schema" in tool, f"{path}.input_schema", "Field required")
            judge_schema(tool["input_schema"], f"{path}.input_schema")
        expect(name not in names, "tools", "Tool names must be unique.")
        names.add(name)
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type")
    expect(
        kind in ("auto", "any", "tool", "none"), "tool_choice.type", "Input should be a known type"
    )
    fields = {"type"} | ({"name"} if kind == "tool" else set())
    for name in (
        choice.keys() - fields - ({"disable_parallel_tool_use"} if kind != "none" else set())
    ):
        raise Rejected(f"tool_choice.{kind}.{name}: Extra inputs are not permitted")
    expect("tools" in body, "tool_choice", "may only be specified while providing `tools`")
    if kind == "tool":
        known = choice.get("name") in tuple(names)
        expect(known, "tool_choice", f"Tool '{choice.get('name')}' not found in provided tools")
    thinks = (body.get("thinking") or {}).get("type") in ("adaptive", "enabled")
    forced = kind in ("any", "tool")
    expect(
        not (thinks and forced), "thinking", "may not be enabled when tool_choice forces tool use"
    )


def _judge_named_tools(body: ApiObject) -> None:
    """Bedrock and gateways refuse this; the API itself did in 2024."""
    names_tools = any(
        block["type"] in ("tool_use", "tool_result")
        for message in body["messages"]
        for block in blocks_of(message["content"])
    )
    if names_tools and not body.get("tools"):
        raise Rejected(
            "Requests which include `tool_use` or `tool_result` blocks must define tools"
        )


def _judge_system(body: ApiObject) -> None:
    if isinstance(body.get("system"), list):
        for number, block in enumerate(body["system"]):
            fits = isinstance(block, dict) and block.get("type") == "text"
            expect(fits, f"system.{number}.type", "Input should be 'text'")
            judge_text(block, f"system.{number}", "system")


def _judge_breakpoints(body: ApiObject) -> None:
    places = [("cache_control", body)]
    for field in ("tools", "system"):
        blocks = blocks_of(body.get(field) or [])
        places += [
            (f"{field}.{number}.cache_control", block) for number, block in enumerate(blocks)
        ]
    for number, message in enumerate(body["messages"]):
        for position, block in enumerate(blocks_of(message["content"])):
            path = f"messages.{number}.content.{position}"
            places.append((f"{path}.cache_control", block))
            if block["type"] == "tool_result":
                for inner_position, inner in enumerate(blocks_of(block.get("content") or [])):
                    places.append((f"{path}.content.{inner_position}.cache_control", inner))
    marked = [(path, place) for path, place in places if place.get("cache_control") is not None]
    for path, place in marked:
        control = place["cache_control"]
        fits = isinstance(control, dict) and control.get("type") == "ephemeral"
        expect(fits, f"{path}.type", "Input should be 'ephemeral'")
        expect(
            control.get("ttl") in (None, "5m", "1h"), f"{path}.ttl", "Input should be '5m' or '1h'"
        )
    if len(marked) > MAX_BREAKPOINTS:
        raise Rejected(
            f"A maximum of {MAX_BREAKPOINTS} blocks with cache_control may be provided. "
            f"Found {len(marked)}."
        )

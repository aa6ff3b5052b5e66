"""Where a request is cached. Pure; the rules are those of the API's prompt cache.

The cache is written at each breakpoint, and read at the longest prefix that an earlier request
wrote, among the breakpoint itself and the 19 blocks before it; four breakpoints at most.
https://docs.claude.com/en/docs/build-with-claude/prompt-caching
"""

from typing import Any, Literal

from turnwire_server.model.port import ApiBlock, ApiMessage, ToolForm

__all__ = ["CacheTtl", "cache_control", "with_breakpoints", "with_last_marked"]

CacheTtl = Literal["5m", "1h"]

_UNCACHEABLE = ("thinking", "redacted_thinking")


def cache_control(ttl: CacheTtl) -> dict[str, Any]:
    """The mark of a breakpoint, as a field of a block."""
    control = {"type": "ephemeral"} if ttl == "5m" else {"type": "ephemeral", "ttl": ttl}
    return {"cache_control": control}


def with_breakpoints(messages: list[ApiMessage], mark: dict[str, Any]) -> list[ApiMessage]:
    """A copy with two breakpoints: at the end, and where the request before this one had its last.

    The first is what the next request finds, being a prefix of it. A step with many parallel calls
    puts more blocks between the two than the cache looks back, so the second goes exactly where
    the last one was: at the end of what the model was shown before it said the last answer.
    """
    marked = list(messages)
    answers = [n for n, message in enumerate(messages) if message["role"] == "assistant"]
    ends = {len(messages) - 1, answers[-1] - 1 if answers else -1}
    for number in ends:
        if number >= 0:
            marked[number] = _marked(messages[number], mark)
    return marked


def with_last_marked(tools: list[ToolForm], mark: dict[str, Any]) -> list[ToolForm]:
    """A copy with a breakpoint at the last tool; those that are loaded later cannot have one."""
    last = max((at for at, tool in enumerate(tools) if not tool.get("defer_loading")), default=-1)
    return [{**tool, **mark} if at == last else tool for at, tool in enumerate(tools)]


def _marked(message: ApiMessage, mark: dict[str, Any]) -> ApiMessage:
    content = message["content"]
    blocks: list[ApiBlock] = (
        [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    )
    for number in reversed(range(len(blocks))):
        if blocks[number]["type"] not in _UNCACHEABLE:
            blocks[number] = {**blocks[number], **mark}
            break
    return {"role": message["role"], "content": blocks}

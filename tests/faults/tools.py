"""The tools of the service under test."""

from turnwire_server import ToolContext, tool


@tool
def lookup(word: str) -> str:
    """Look a word up.

    Args:
        word: What to look up.
    """
    return f"found {word}"


@tool(approval=True)
def act(path: str, context: ToolContext) -> str:
    """Act, and leave a trace of it that `kill -9` does not take away.

    Args:
        path: The file in which each call leaves its id.
    """
    with open(path, "a", encoding="ascii") as trace:
        trace.write(f"{context.tool_id}\n")
    return "acted"

"""What the core wants of a tool: its name, its schema, and how it runs. Knows no SDK."""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from turnwire_protocol import RunsOn

__all__ = ["CONTEXT", "Approval", "Tool", "ToolContext"]

Approval = bool | Callable[[dict[str, Any]], bool]


@dataclass(slots=True, frozen=True)
class ToolContext:
    """Who calls a tool, and where; a parameter of this type is filled in and not in the schema."""

    principal: str
    conversation: str
    turn: str
    tool_id: str
    report: Callable[[str, float | None], None]
    state: Any = None
    """The app's: what `Turnwire` was given as `state`, or the `app.state` of its app."""

    def progress(self, message: str, fraction: float | None = None) -> None:
        """Tell the readers how far it is; `fraction` from 0 to 1. Callable from any thread."""
        self.report(message, fraction)


CONTEXT: ContextVar[ToolContext] = ContextVar("turnwire_tool_context")
"""The call that runs now; set by `Toolset.run`."""


@dataclass(slots=True, frozen=True)
class Tool:
    """A tool the model may call. `function` takes the input object and may be sync or async."""

    name: str
    description: str
    input_schema: dict[str, Any]
    function: Callable[[dict[str, Any]], Any | Awaitable[Any]] | None
    """None: it runs in a client, which is waited for."""
    is_async: bool
    timeout_seconds: float | None = None
    """None: the server's default."""
    approval: Approval = False
    """Whether somebody must allow a call: always, or as a function of its input says. It runs in a
    thread; one that fails, or does not answer in time, counts as yes."""
    definition: dict[str, Any] | None = None
    """Of a tool that the API defines, its own form, with its `type`: it is offered so, as it is.
    Without a function it is the provider's, who runs it, too."""

    @property
    def runs_on(self) -> RunsOn:
        """Where it runs."""
        if self.function is not None:
            return "server"
        return "client" if self.definition is None else "provider"

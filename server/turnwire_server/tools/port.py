"""What the core wants of a tool: its name, its schema, and how it runs. Knows no SDK."""

import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["CONTEXT", "Approval", "Tool", "ToolContext"]

logger = logging.getLogger(__name__)

Approval = bool | Callable[[dict[str, Any]], bool]


@dataclass(slots=True, frozen=True)
class ToolContext:
    """Who calls a tool, and where; a parameter of this type is filled in and not in the schema."""

    principal: str
    conversation: str
    turn: str
    tool_id: str
    report: Callable[[str, float | None], None]

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
    """Whether somebody must allow a call: always, or as a function of its input says."""

    @property
    def runs_on(self) -> Literal["server", "client"]:
        """Where it runs."""
        return "client" if self.function is None else "server"

    def needs_approval(self, input: dict[str, Any]) -> bool:
        """Whether this call must be allowed. A policy that fails counts as yes."""
        if not callable(self.approval):
            return self.approval
        try:
            return bool(self.approval(input))
        except Exception:
            # Boundary: a policy is foreign code, and the safe answer is to ask.
            logger.warning("the approval policy of %s failed", self.name, exc_info=True)
            return True

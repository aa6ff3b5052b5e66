"""A tool that runs in the server: a Python function with a name, a description and a schema.

Schemas are derived as the Anthropic SDK derives them (`anthropic.beta_tool`); tools made with the
SDK's own decorators are taken as they are. Knows nothing of turns or transports.
"""

import functools
import inspect
import logging
import typing
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, overload, runtime_checkable

from turnwire_server.errors import SettingsError
from turnwire_server.model.claude import derive_tool

__all__ = ["SdkTool", "Tool", "ToolContext", "as_tool", "tool"]


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


logger = logging.getLogger(__name__)

Approval = bool | Callable[[dict[str, Any]], bool]

CONTEXT: ContextVar[ToolContext] = ContextVar("turnwire_tool_context")


@runtime_checkable
class SdkTool(Protocol):
    """What `anthropic.beta_tool` and `anthropic.beta_async_tool` make."""

    name: str
    description: str
    input_schema: Any

    def call(self, input: object) -> Any:
        """Run it with an input that fits the schema."""


@dataclass(slots=True, frozen=True)
class Tool:
    """A tool the model may call. `function` takes the input object and may be sync or async."""

    name: str
    description: str
    input_schema: dict[str, Any]
    function: Callable[[dict[str, Any]], Any | Awaitable[Any]]
    is_async: bool
    timeout_seconds: float | None = None
    """None: the server's default."""
    approval: Approval = False
    """Whether somebody must allow a call: always, or as a function of its input says."""
    runs_on: Literal["server", "client"] = "server"
    """Where it runs; `function` of a client's tool waits for what the client answers."""

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


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_seconds: float | None = None,
    approval: Approval = False,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    timeout_seconds: float | None = None,
    approval: Approval = False,
) -> Tool | Callable[[Callable[..., Any]], Tool]:
    """Make a tool of a function with typed parameters and a docstring.

    With `approval`, somebody who follows the conversation must allow each call, or those for which
    the function of its input says so. What it returns goes to the model: text as it is, other
    values as JSON. An exception becomes an error result with its text. Sync functions run in a
    thread.
    """

    def make(function: Callable[..., Any]) -> Tool:
        sdk_tool = derive_tool(_without_context(function), name=name, description=description)
        made = _from_sdk(sdk_tool)
        return replace(made, timeout_seconds=timeout_seconds, approval=approval)

    return make if function is None else make(function)


def as_tool(candidate: object) -> Tool:
    """A `Tool` from what users pass as one: a `Tool`, an SDK tool, a function.

    Raises:
        SettingsError: it is none of these.
    """
    if isinstance(candidate, Tool):
        return candidate
    if isinstance(candidate, SdkTool):
        return _from_sdk(candidate)
    if inspect.isroutine(candidate):
        return tool(candidate)
    raise SettingsError(f"tools: {candidate!r:.80} is neither a tool nor a function")


def _from_sdk(sdk_tool: SdkTool) -> Tool:
    return Tool(
        name=sdk_tool.name,
        description=sdk_tool.description,
        input_schema=dict(sdk_tool.input_schema),
        function=sdk_tool.call,
        is_async=inspect.iscoroutinefunction(sdk_tool.call),
    )


def _without_context(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without its `ToolContext` parameter, which is filled in at the call."""
    hints = typing.get_type_hints(function, include_extras=True)
    names = [name for name, hint in hints.items() if hint is ToolContext and name != "return"]
    if not names:
        return function
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def bound(*args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs, **dict.fromkeys(names, CONTEXT.get()))

    else:

        @functools.wraps(function)
        def bound(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs, **dict.fromkeys(names, CONTEXT.get()))

    signature = inspect.signature(function)
    kept = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
        if name not in names
    ]
    bound.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    bound.__annotations__ = {name: hint for name, hint in hints.items() if name not in names}
    del bound.__wrapped__
    return bound

"""Makes a tool of a Python function, or of one that the SDK's decorators made.

Schemas are derived as the Anthropic SDK derives them (`anthropic.beta_tool`); tools made with the
SDK's own decorators are taken as they are. Knows nothing of turns or transports.
"""

import functools
import inspect
import typing
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol, overload, runtime_checkable

from turnwire_server.errors import SettingsError
from turnwire_server.model.claude import derive_tool
from turnwire_server.tools.port import CONTEXT, Approval, Tool, ToolContext

__all__ = ["SdkTool", "as_tool", "tool"]


@runtime_checkable
class SdkTool(Protocol):
    """What `anthropic.beta_tool` and `anthropic.beta_async_tool` make."""

    name: str
    description: str
    input_schema: Any

    def call(self, input: object) -> Any:
        """Run it with an input that fits the schema."""


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

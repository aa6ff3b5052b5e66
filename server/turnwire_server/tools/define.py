"""Makes a tool of a Python function, or of one that the SDK's decorators made.

Schemas are derived as the Anthropic SDK derives them (`anthropic.beta_tool`); tools made with the
SDK's own decorators are taken as they are. Knows nothing of turns or transports.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Protocol, overload, runtime_checkable

from pydantic import ValidationError

from turnwire_server.errors import SettingsError
from turnwire_server.model.server_tools import SERVER_TOOLS, is_run_here
from turnwire_server.tools.port import CONTEXT, Approval, Tool, ToolContext

__all__ = ["BuiltinTool", "SdkTool", "as_tool", "server_tool", "tool"]

_INJECTED = {
    "BackgroundTask",
    "Depends",
    "HTTPConnection",
    "Response",
    "SecurityScopes",
    "UploadFile",
}
"""Classes of FastAPI and Starlette; requests and WebSockets are `HTTPConnection`s."""


@runtime_checkable
class SdkTool(Protocol):
    """What `anthropic.beta_tool` and `anthropic.beta_async_tool` make."""

    name: str
    description: str
    input_schema: Any

    def call(self, input: object) -> Any:
        """Run it with an input that fits the schema."""


@runtime_checkable
class BuiltinTool(Protocol):
    """What derives from the SDK's `BetaBuiltinFunctionTool`, sync or async: it runs a tool that the
    API defines, such as `memory`."""

    def to_dict(self) -> Any:
        """The API's definition."""

    def call(self, input: object) -> Any:
        """Run it."""


_ASKS_FIRST = ("bash_", "browser_", "computer_", "text_editor_")
"""Types of tools that do to a machine whatever the model says, unless somebody is asked."""
_SDK_TOOLS = "anthropic.lib.tools."
_SDK_TOOLS_ASK_FIRST = ("bash", "edit", "write")
"""Of its `agent_toolset`, those that do the same."""
_ANY_OBJECT = {"type": "object"}


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

    Raises:
        SettingsError: a parameter is one that only a web framework gives.
    """

    def make(function: Callable[..., Any]) -> Tool:
        # The SDK is half of a start, and a service without functions for tools need not wait.
        from turnwire_server.model.claude import derive_tool

        _refuse_injected(function)
        sdk_tool = derive_tool(_prepared(function), name=name, description=description)
        made = _from_sdk(sdk_tool)
        return replace(made, timeout_seconds=timeout_seconds, approval=approval)

    return make if function is None else make(function)


def as_tool(candidate: object) -> Tool:
    """A `Tool` from what users pass as one: a `Tool`, an SDK tool, a function, a definition of the
    API's own (`{"type": "web_search_20260318", "name": "web_search", …}`).

    Raises:
        SettingsError: it is none of these, or has a parameter that only a web framework gives.
    """
    if isinstance(candidate, Tool):
        return candidate
    # First: to ask one of these for its name may fail, and what the SDK makes of functions has a
    # definition, too.
    is_class = isinstance(candidate, type)
    if isinstance(candidate, BuiltinTool) and not (is_class or hasattr(candidate, "input_schema")):
        return _from_builtin(candidate)
    if isinstance(candidate, SdkTool):
        if inspect.isroutine(function := getattr(candidate, "func", None)):
            _refuse_injected(function)
        asks = str(getattr(function, "__module__", "")).startswith(_SDK_TOOLS)
        return replace(
            _from_sdk(candidate), approval=asks and candidate.name in _SDK_TOOLS_ASK_FIRST
        )
    if isinstance(candidate, dict):
        return _from_definition(candidate)
    if inspect.isroutine(candidate):
        return tool(candidate)
    raise SettingsError(f"tools: {candidate!r:.80} is neither a tool nor a function")


def server_tool(name: str) -> Tool:
    """A tool of the provider's, in the version that the model of each request knows."""
    return _from_definition({"type": name, "name": name})


def _from_definition(definition: dict[str, Any]) -> Tool:
    """
    Raises:
        SettingsError: it is none, or nobody would run its calls.
    """
    kind = definition.get("type")
    if not isinstance(kind, str) or kind == "custom":
        raise SettingsError("tools: a dict must be a definition of the API's own, with its `type`")
    if is_run_here(kind):
        raise SettingsError(
            f"tools: nobody runs {kind!r}: in place of its definition, give an object that does, of"
            " a class derived from the SDK's BetaAsyncBuiltinFunctionTool"
        )
    return _defined({"name": kind, **definition} if kind in SERVER_TOOLS else definition)


def _from_builtin(builtin: BuiltinTool) -> Tool:
    definition = builtin.to_dict()
    if not isinstance(definition, dict) or not isinstance(definition.get("type"), str):
        raise SettingsError(f"tools: {builtin!r:.80} has no definition of a tool")
    is_async = inspect.iscoroutinefunction(builtin.call)
    return replace(
        _defined(definition),
        function=builtin.call,
        is_async=is_async,
        approval=definition["type"].startswith(_ASKS_FIRST),
    )


def _defined(definition: dict[str, Any]) -> Tool:
    name = definition.get("name")
    if not isinstance(name, str):
        raise SettingsError(f"tools: the definition of {definition['type']!r} has no name")
    # Where the last breakpoint is, is the service's to say: there are four.
    definition = {key: value for key, value in definition.items() if key != "cache_control"}
    return Tool(
        name=name,
        description="",
        input_schema=_ANY_OBJECT,
        function=None,
        is_async=True,
        definition=definition,
    )


class _FailedInside(Exception):
    """Carries a `ValidationError` of the function's own past the SDK, which would take it for one
    of the arguments and say "Invalid arguments", although the function has run."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__(error)
        self.error = error


def _from_sdk(sdk_tool: SdkTool) -> Tool:
    async def call_async(input: dict[str, Any]) -> Any:
        try:
            return await sdk_tool.call(input)
        except _FailedInside as failed:
            raise failed.error from None

    def call(input: dict[str, Any]) -> Any:
        try:
            return sdk_tool.call(input)
        except _FailedInside as failed:
            raise failed.error from None

    is_async = inspect.iscoroutinefunction(sdk_tool.call)
    return Tool(
        name=sdk_tool.name,
        description=sdk_tool.description,
        input_schema=dict(sdk_tool.input_schema),
        function=call_async if is_async else call,
        is_async=is_async,
    )


def _prepared(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as the SDK is to see it: without its `ToolContext` parameter, which is filled in
    at the call, and with errors of its own told from those of its arguments."""
    hints = typing.get_type_hints(function, include_extras=True)
    names = [name for name, hint in hints.items() if hint is ToolContext and name != "return"]

    def filled_in() -> dict[str, ToolContext]:
        return dict.fromkeys(names, CONTEXT.get()) if names else {}

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def prepared(*args: Any, **kwargs: Any) -> Any:
            try:
                return await function(*args, **kwargs, **filled_in())
            except ValidationError as error:
                raise _FailedInside(error) from error

    else:

        @functools.wraps(function)
        def prepared(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs, **filled_in())
            except ValidationError as error:
                raise _FailedInside(error) from error

    signature = inspect.signature(function)
    kept = [
        parameter.replace(annotation=hints.get(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
        if name not in names
    ]
    prepared.__signature__ = signature.replace(parameters=kept)  # type: ignore[attr-defined]
    prepared.__annotations__ = {name: hint for name, hint in hints.items() if name not in names}
    del prepared.__wrapped__
    return prepared


def _refuse_injected(function: Callable[..., Any]) -> None:
    """Refuse a parameter that only a web framework gives: the model would be asked for it.

    Raises:
        SettingsError: there is one.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        for part in (parameter.default, *_parts(hints.get(name))):
            if (kind := _injected(part)) is not None:
                raise SettingsError(
                    f"tools: the parameter {name!r} of {function.__name__!r} is a {kind}, which "
                    "only a web framework gives, and none calls a tool. Make it in the function, "
                    "or give it to one that makes the tool; who calls is in a ToolContext."
                )


def _parts(hint: Any) -> Iterator[Any]:
    """A type, and what it is composed of: `Annotated[A | None, x]` of A, None and x."""
    yield hint
    for part in typing.get_args(hint):
        yield from _parts(part)


def _injected(part: Any) -> str | None:
    # By name: a service without FastAPI's part of us need not import it.
    for kind in (part if isinstance(part, type) else type(part)).__mro__:
        if kind.__name__ in _INJECTED and kind.__module__.startswith(("fastapi.", "starlette.")):
            return kind.__name__
    return None

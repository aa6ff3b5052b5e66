"""A tool of this program: a Python function the model may call; knows no connection."""

import asyncio
import functools
import inspect
import typing
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError, validate_call
from pydantic.errors import PydanticUserError
from pydantic_core import to_json

from turnwire.errors import BadArgument
from turnwire_protocol import (
    ClientTool,
    Content,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    first_problem,
)

__all__ = ["Tool", "ToolContext"]

BLOCKS = (TextBlock, ImageBlock, DocumentBlock)


@dataclass(slots=True, frozen=True)
class ToolContext:
    """Which call it is; a parameter of this type is filled in and not in the schema."""

    conversation: str
    turn: str
    tool_id: str
    report: Callable[[str, float | None], None] = field(repr=False)

    def progress(self, message: str, fraction: float | None = None) -> None:
        """Tell the readers how far it is; `fraction` from 0 to 1. Callable from any thread."""
        self.report(message, fraction)


CONTEXT: ContextVar[ToolContext] = ContextVar("turnwire_client_tool_context")


class Tool:
    """A function with typed parameters, as the model sees it and as it is run."""

    def __init__(
        self, function: Callable[..., Any], *, name: str | None, description: str | None
    ) -> None:
        name = getattr(function, "__name__", "") if name is None else name
        self._is_async = inspect.iscoroutinefunction(function)
        try:
            self._call = validate_call(_without_context(function))
            schema = TypeAdapter(typing.cast(Any, self._call)).json_schema()
            # Parameters that have no names to be given by make a list.
            if schema.get("type") != "object":
                raise BadArgument(f"tool {name!r}: every parameter must have a name")
            self.offer = ClientTool(
                name=name,
                description=inspect.getdoc(function) or "" if description is None else description,
                input_schema=schema,
            )
        except ValidationError as error:
            raise BadArgument(f"tool {name!r}: {first_problem(error)}") from error
        except (PydanticUserError, NameError) as error:
            raise BadArgument(f"tool {name!r}: its parameters have no schema: {error}") from error

    async def run(self, input: dict[str, Any], context: ToolContext) -> Content:
        """Call the function, a sync one in a thread; what is neither text nor content blocks is
        given as JSON.

        Raises whatever the function raises, and ValidationError where the input does not fit.
        """
        CONTEXT.set(context)
        if self._is_async:
            value = await self._call(**input)
        else:
            value = await asyncio.to_thread(self._call, **input)
        if value is None:
            return ""
        blocks = [value] if isinstance(value, BLOCKS) else value
        if isinstance(blocks, list) and blocks and all(isinstance(one, BLOCKS) for one in blocks):
            return blocks
        return value if isinstance(value, str) else to_json(value, fallback=str).decode()


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

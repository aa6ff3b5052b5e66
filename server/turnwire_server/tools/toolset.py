"""The tools a server offers: specifications for the model, validation of input, and the run."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextvars import copy_context
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import anyio.to_thread
from anyio import CapacityLimiter

from turnwire_protocol import Content
from turnwire_server.errors import SettingsError
from turnwire_server.model.port import ToolSpecification
from turnwire_server.tools.content import Shelf, content_of, said_by
from turnwire_server.tools.port import CONTEXT, Tool, ToolContext
from turnwire_server.tools.schema import Schema, schema_problem

__all__ = ["Outcome", "Toolset"]

logger = logging.getLogger(__name__)


@dataclass(slots=True, frozen=True)
class Outcome:
    """What the model is shown of a call."""

    content: Content
    is_error: bool = False


class Toolset:
    """Tools by name. Sync ones share `max_threads` threads, so that abandoned ones are bounded.

    Images and documents that tools return go to the `shelf`; without one they are left out.
    """

    def __init__(
        self,
        tools: Iterable[Tool] = (),
        *,
        timeout_seconds: float = 60.0,
        max_threads: int = 32,
        shelf: Shelf | None = None,
    ) -> None:
        self._tools: dict[str, Tool] = {}
        self._schemas: dict[str, Schema] = {}
        self._own = list(tools)
        self._offers: dict[str, list[Tool]] = {}
        self._timeout_seconds = timeout_seconds
        self._threads = CapacityLimiter(max_threads)
        self._shelf = shelf
        for tool in self._own:
            self._add(tool)

    def _add(self, tool: Tool) -> None:
        if tool.name in self._tools:
            raise SettingsError(f"tools: two are named {tool.name!r}")
        is_foreign = tool.runs_on == "client"
        if problem := schema_problem(tool.input_schema, is_foreign=is_foreign):
            raise SettingsError(f"tools: the schema of {tool.name!r}: {problem}")
        self._tools[tool.name] = tool
        self._schemas[tool.name] = Schema(tool.input_schema, is_foreign=is_foreign)

    def offer(self, source: str, tools: Iterable[Tool]) -> None:
        """What a source offers from now on, in place of what it offered before; after our own.

        Turns that were begun keep what they have. A tool whose name is taken, or whose schema is
        none, is left out and logged.
        """
        self._offers[source] = list(tools)
        # New objects: subsets share the old ones.
        self._tools, self._schemas = {}, {}
        for tool in self._own:
            self._add(tool)
        for source, offered in self._offers.items():
            for tool in offered:
                try:
                    self._add(tool)
                except SettingsError as error:
                    logger.warning("left out what %s offers: %s", source, error)

    def subset(self, names: Iterable[str]) -> "Toolset":
        """The tools so named and no others, sharing these threads."""
        subset = copy(self)
        subset._tools = {name: self._tools[name] for name in names if name in self._tools}
        return subset

    def with_tools(self, tools: Iterable[Tool]) -> "Toolset":
        """These tools and those, sharing these threads.

        Raises:
            SettingsError: two have one name, or a schema is none.
        """
        more = copy(self)
        more._tools, more._schemas = dict(self._tools), dict(self._schemas)
        for tool in tools:
            more._add(tool)
        return more

    def runs_on(self, name: str) -> Literal["server", "client"]:
        """Where a call of this name runs; an unknown one fails in the server."""
        tool = self._tools.get(name)
        return "server" if tool is None else tool.runs_on

    @property
    def names(self) -> list[str]:
        """In the order they were given."""
        return list(self._tools)

    def specifications(self) -> list[ToolSpecification]:
        """The tools in the form of the Messages API."""
        return [
            {
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.input_schema,
            }
            for tool in self._tools.values()
        ]

    def problem(self, name: str, input: dict[str, Any] | None) -> str | None:
        """Why the call cannot run, in words for the model; None if it can."""
        if name not in self._tools:
            return f"There is no tool {name!r}."
        if input is None:
            return "The input was not a JSON object."
        try:
            return self._schemas[name].problem(input)
        except Exception as broken:
            # Boundary: a schema may refer to nowhere or to itself, and it may be a client's.
            logger.warning("the schema of %s cannot be used: %s", name, type(broken).__name__)
            return f"The schema of the tool {name!r} cannot be used."

    def needs_approval(self, name: str, input: dict[str, Any]) -> bool:
        """Whether somebody must allow this call."""
        return self._tools[name].needs_approval(input)

    async def run(
        self,
        name: str,
        input: dict[str, Any],
        context: ToolContext,
        *,
        answer: Callable[[], Awaitable[Any]] | None = None,
    ) -> Outcome:
        """Run a call that has no problem. Never raises but on cancellation.

        `answer` gives what a client answers: for tools that run there.

        A sync function cannot be stopped: on time-out or cancellation its thread is abandoned.
        """
        tool = self._tools[name]
        timeout = tool.timeout_seconds or self._timeout_seconds
        CONTEXT.set(context)
        limit = asyncio.timeout(timeout)
        try:
            async with limit:
                value = await (self._call(tool, input) if answer is None else answer())
            return Outcome(await content_of(value, owner=context.principal, shelf=self._shelf))
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            # Nobody cancelled the call: something inside the tool was.
            return Outcome("The tool was cancelled.", is_error=True)
        except (Exception, SystemExit) as error:
            # Boundary: a tool is foreign code. Its text is for the model, its traceback for us.
            if limit.expired():
                text = f"The tool did not finish within {timeout:g} seconds."
                return Outcome(text, is_error=True)
            # One that brings content for the model is no accident, and has no traceback.
            is_meant = hasattr(error, "content")
            logger.warning("tool %s failed", name, exc_info=not is_meant)
            said = await said_by(error, owner=context.principal, shelf=self._shelf)
            return Outcome(said, is_error=True)

    async def _call(self, tool: Tool, input: dict[str, Any]) -> Any:
        assert tool.function is not None, "a tool that runs in a client is answered there"
        if tool.is_async:
            return await tool.function(input)
        run = copy_context().run
        return await anyio.to_thread.run_sync(
            run, tool.function, input, abandon_on_cancel=True, limiter=self._threads
        )

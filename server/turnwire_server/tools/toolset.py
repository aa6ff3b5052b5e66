"""The tools a server offers: specifications for the model, validation of input, and the run."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

from turnwire_protocol import Content
from turnwire_server.errors import SettingsError
from turnwire_server.model.port import ToolForm
from turnwire_server.tools.content import Shelf, Shown, content_of, said_by, shown
from turnwire_server.tools.foreign import Foreign, NotStarted, Raised, Returned, TimedOut
from turnwire_server.tools.port import CONTEXT, Tool, ToolContext
from turnwire_server.tools.schema import Schema, schema_problem

__all__ = ["Outcome", "Toolset"]

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
"""https://platform.claude.com/docs/en/agents-and-tools/tool-use/define-tools"""


@dataclass(slots=True, frozen=True)
class Outcome:
    """What the model is shown of a call."""

    content: Content
    is_error: bool = False


class Toolset:
    """Tools by name. Sync ones share `max_threads` threads; see `Foreign` for all the bounds.

    Images and documents that tools return go to the `shelf`; without one they are left out.
    """

    def __init__(
        self,
        tools: Iterable[Tool] = (),
        *,
        timeout_seconds: float = 60.0,
        policy_timeout_seconds: float = 10.0,
        stop_seconds: float = 1.0,
        max_threads: int = 32,
        max_abandoned: int = 32,
        shelf: Shelf | None = None,
    ) -> None:
        self._tools: dict[str, Tool] = {}
        self._schemas: dict[str, Schema] = {}
        self._own = list(tools)
        self._offers: dict[str, list[Tool]] = {}
        self._left_out: set[tuple[str, str]] = set()
        """What is not offered now, and why; it was logged."""
        self._timeout_seconds = timeout_seconds
        self._policy_timeout_seconds = policy_timeout_seconds
        self._foreign = Foreign(
            max_threads=max_threads, max_abandoned=max_abandoned, stop_seconds=stop_seconds
        )
        self._shelf = shelf
        for tool in self._own:
            self._add(tool)

    def _add(self, tool: Tool) -> None:
        if tool.name in self._tools:
            raise SettingsError(f"tools: two are named {tool.name!r}")
        is_foreign = tool.runs_on == "client"
        if problem := _problem(tool, is_foreign=is_foreign):
            raise SettingsError(f"tools: {tool.name!r}: {problem}")
        self._tools[tool.name] = tool
        self._schemas[tool.name] = Schema(tool.input_schema, is_foreign=is_foreign)

    def offer(self, source: str, tools: Iterable[Tool]) -> None:
        """What a source offers from now on, in place of what it offered before; after our own.

        Turns that were begun keep what they have. A tool whose name is taken, or that the API would
        refuse, is left out and logged, once.
        """
        self._offers[source] = list(tools)
        # New objects: subsets share the old ones.
        self._tools, self._schemas = {}, {}
        for tool in self._own:
            self._add(tool)
        left_out: set[tuple[str, str]] = set()
        for source, offered in self._offers.items():
            for tool in offered:
                try:
                    self._add(tool)
                except SettingsError as error:
                    left_out.add((source, str(error)))
        for source, problem in sorted(left_out - self._left_out):
            logger.warning("left out what %s offers: %s", source, problem)
        self._left_out = left_out

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
        """Where a call of this name runs; one that nobody here runs fails in the server."""
        tool = self._tools.get(name)
        return "client" if tool is not None and tool.runs_on == "client" else "server"

    @property
    def names(self) -> list[str]:
        """In the order they were given."""
        return list(self._tools)

    def specifications(self) -> list[ToolForm]:
        """The tools in the form of the Messages API."""
        return [
            tool.definition
            or {
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.input_schema,
            }
            for tool in self._tools.values()
        ]

    def problem(self, name: str, input: dict[str, Any] | None) -> str | None:
        """Why the call cannot run, in words for the model; None if it can."""
        if name not in self._tools or self._tools[name].runs_on == "provider":
            return f"There is no tool {name!r}."
        if input is None:
            return "The input was not a JSON object."
        try:
            return self._schemas[name].problem(input)
        except Exception as broken:
            # Boundary: a schema may refer to nowhere or to itself, and it may be a client's.
            logger.warning("the schema of %s cannot be used: %s", name, type(broken).__name__)
            return f"The schema of the tool {name!r} cannot be used."

    async def needs_approval(self, name: str, input: dict[str, Any]) -> bool:
        """Whether somebody must allow this call. A policy that fails or hangs counts as yes."""
        policy = self._tools[name].approval
        if not callable(policy):
            return policy
        ended = await self._foreign.run_sync(
            f"the approval policy of {name}",
            lambda: bool(policy(input)),
            timeout_seconds=self._policy_timeout_seconds,
        )
        if isinstance(ended, Returned):
            return ended.value
        # A policy is foreign code, and the safe answer is to ask.
        error = ended.error if isinstance(ended, Raised) else None
        _log_failure(f"the approval policy of {name}", error)
        return True

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

        On time-out or cancellation a tool is told to stop; one that does not is abandoned.
        """
        tool = self._tools[name]
        timeout = tool.timeout_seconds or self._timeout_seconds
        CONTEXT.set(context)
        if answer is None:
            ended = await self._call(tool, input, timeout)
        else:
            ended = await _answered(answer, timeout)
        match ended:
            case Returned(value):
                content = await content_of(value, owner=context.principal, shelf=self._shelf)
                return Outcome(content)
            case TimedOut():
                return _failed(f"The tool did not finish within {timeout:g} seconds.")
            case NotStarted():
                logger.warning("tool %s was not started: too many calls have not ended", name)
                return _failed(
                    "The tool was not started: too many earlier calls have not come to an end. "
                    f"It waited for at most {timeout:g} seconds."
                )
            case Raised(asyncio.CancelledError()):
                # Nobody cancelled the call: something inside the tool was.
                return _failed("The tool was cancelled.")
            case Raised(error):
                # Its text is for the model, its traceback for us.
                _log_failure(f"tool {name}", error)
                said = await said_by(error, owner=context.principal, shelf=self._shelf)
                return Outcome(said, is_error=True)

    async def _call(
        self, tool: Tool, input: dict[str, Any], timeout_seconds: float
    ) -> Returned[Shown] | Raised | TimedOut | NotStarted:
        function = tool.function
        assert function is not None, "a tool that runs in a client is answered there"
        if not tool.is_async:
            return await self._foreign.run_sync(
                f"tool {tool.name}",
                lambda: shown(function(input)),
                timeout_seconds=timeout_seconds,
            )

        async def call() -> Shown:
            return shown(await function(input))

        return await self._foreign.run_async(
            f"tool {tool.name}", call, timeout_seconds=timeout_seconds
        )


def _problem(tool: Tool, *, is_foreign: bool) -> str | None:
    """The rule of the API that the tool breaks; None if there is none."""
    if not isinstance(tool.name, str) or _NAME.fullmatch(tool.name) is None:
        return f"name: does not match ^{_NAME.pattern}$"
    if not isinstance(tool.description, str):
        return "description: is no text"
    schema = schema_problem(tool.input_schema, is_foreign=is_foreign)
    return None if schema is None else schema.at("input_schema")


async def _answered(
    answer: Callable[[], Awaitable[Any]], timeout_seconds: float
) -> Returned[Shown] | Raised | TimedOut:
    """What a client says: our code, so it needs no task of its own."""
    limit = asyncio.timeout(timeout_seconds)
    try:
        async with limit:
            return Returned(shown(await answer()))
    except Exception as error:
        # Boundary: a client may say anything.
        return TimedOut() if limit.expired() else Raised(error)


def _failed(text: str) -> Outcome:
    return Outcome(text, is_error=True)


def _log_failure(what: str, error: BaseException | None) -> None:
    try:
        # One that brings content for the model is no accident, and has no traceback.
        logger.warning("%s failed", what, exc_info=None if hasattr(error, "content") else error)
    except BaseException:
        # Boundary: to look at a foreign exception is to run its code.
        logger.warning("%s failed with %s, which cannot be printed", what, type(error).__name__)

"""Runs this program's tools when the model calls them: each call once, whatever the connection."""

import asyncio
import logging
import math
import secrets
from collections.abc import Callable
from typing import Any

from turnwire.errors import BadArgument, Rejected, TurnwireError
from turnwire.replica import Replica
from turnwire.session import Session
from turnwire.tool import Tool, ToolContext
from turnwire_protocol import (
    ClientTool,
    Code,
    Content,
    Event,
    Progress,
    ToolExecuting,
    ToolOutput,
    ToolResult,
)

__all__ = ["Runner"]

logger = logging.getLogger("turnwire")

PROGRESS_INTERVAL_SECONDS = 0.1
MAX_MESSAGE_CHARACTERS = 1000

OVER = frozenset({Code.ALREADY_DECIDED, Code.UNKNOWN_TOOL_CALL, Code.UNKNOWN_CONVERSATION})
"""Nobody waits for the output."""


class Runner:
    """The tools of one wire, and the calls of them that run.

    `id` names this program to the server for as long as the wire lives: a call goes to the
    program that offered the tool, and no other program runs it.
    """

    def __init__(self, session: Session) -> None:
        self.id = secrets.token_urlsafe(16)
        self._session = session
        self._tools: dict[str, Tool] = {}
        self._due: dict[str, ToolExecuting] = {}
        """Calls that were seen where older events are still coming: their end may be among them."""
        self._begun: set[str] = set()
        """Ids of the calls that ever ran: a reset shows them again."""
        self._running: dict[str, asyncio.Task[None]] = {}
        session.watch(self._see, runner=self.id)

    def add(
        self, function: Callable[..., Any], *, name: str | None, description: str | None
    ) -> None:
        """Offer a function as a tool from the next `send` on.

        Raises:
            BadArgument: it cannot be one, or there is one of this name.
        """
        tool = Tool(function, name=name, description=description)
        if tool.offer.name in self._tools:
            raise BadArgument(f"tool {tool.offer.name!r}: there is one of this name already")
        self._tools[tool.offer.name] = tool

    @property
    def offers(self) -> list[ClientTool]:
        """The tools, as a `send` offers them."""
        return [tool.offer for tool in self._tools.values()]

    def has(self, name: str) -> bool:
        """Whether calls of this name are run here; others wait for somebody's `tool_output`."""
        return name in self._tools

    async def close(self) -> None:
        """Stop what runs. A thread cannot be stopped: what it returns goes nowhere."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def _see(self, replica: Replica, event: Event | None) -> None:
        """A replica has taken the event, or a subscription of it stands."""
        if isinstance(event, ToolExecuting):
            if event.runner == self.id and self.has(event.tool_name):
                self._due[event.tool_id] = event
        elif isinstance(event, ToolResult):
            self._due.pop(event.tool_id, None)
            # Its own result as well: the task has nothing left to do but to wait for the ack.
            if task := self._running.get(event.tool_id):
                task.cancel()
        if self._due and replica.is_complete:
            for call in list(self._due.values()):
                if call.conversation == replica.conversation:
                    self._begin(self._due.pop(call.tool_id))

    def _begin(self, call: ToolExecuting) -> None:
        if call.tool_id in self._begun:
            return
        self._begun.add(call.tool_id)
        task = asyncio.create_task(self._run(call), name=f"tool {call.tool_name}")
        self._running[call.tool_id] = task
        task.add_done_callback(lambda task: self._running.pop(call.tool_id, None))

    async def _run(self, call: ToolExecuting) -> None:
        context = ToolContext(call.conversation, call.turn, call.tool_id, self._reporter(call))
        content: Content
        try:
            content = await self._tools[call.tool_name].run(call.input, context)
            is_error = False
        except (Exception, SystemExit) as error:
            # Boundary: a tool is foreign code. Its text is for the model, its traceback for us.
            logger.warning("tool %s failed", call.tool_name, exc_info=True)
            content, is_error = f"{type(error).__name__}: {error}", True
        try:
            await self._answer(call, content, is_error=is_error)
        except TurnwireError as error:
            # The turn has ended meanwhile, or the wire: nobody waits for it any more.
            logger.info("the output of %s was not taken: %s", call.tool_name, error)

    async def _answer(self, call: ToolExecuting, content: Content, *, is_error: bool) -> None:
        try:
            await self._output(call, content, is_error=is_error)
        except (BadArgument, Rejected) as error:
            if isinstance(error, Rejected) and error.code in OVER:
                raise
            # An error result is better than letting the model wait for a result that cannot come.
            await self._output(call, f"The result could not be sent: {error}", is_error=True)

    async def _output(self, call: ToolExecuting, content: Content, *, is_error: bool) -> None:
        await self._session.command(
            ToolOutput(
                id=self._session.next_id(),
                conversation=call.conversation,
                tool_id=call.tool_id,
                runner=self.id,
                content=_sendable(content) if isinstance(content, str) else content,
                is_error=is_error,
            )
        )

    def _reporter(self, call: ToolExecuting) -> Callable[[str, float | None], None]:
        loop = asyncio.get_running_loop()
        reported = float("-inf")

        def post(message: str, fraction: float | None) -> None:
            nonlocal reported
            # Servers bound the commands of a connection: no tool may use up what all share.
            if loop.time() - reported < PROGRESS_INTERVAL_SECONDS:
                return
            reported = loop.time()
            self._session.post(
                Progress(
                    id=self._session.next_id(),
                    conversation=call.conversation,
                    tool_id=call.tool_id,
                    runner=self.id,
                    message=_sendable(str(message)[:MAX_MESSAGE_CHARACTERS]),
                    fraction=_bound(fraction),
                )
            )

        def report(message: str, fraction: float | None) -> None:
            loop.call_soon_threadsafe(post, message, fraction)

        return report


def _sendable(text: str) -> str:
    # Half a surrogate pair (a file name, say) is a Python string but could not be sent.
    return text.encode(errors="replace").decode()


def _bound(fraction: float | None) -> float | None:
    # Tools are foreign code: `fraction` may be out of range, or not a number.
    if not isinstance(fraction, int | float) or not math.isfinite(fraction):
        return None
    return min(max(float(fraction), 0.0), 1.0)

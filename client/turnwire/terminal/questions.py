"""What a turn asks the user of `turnwire chat`: approvals, and tool calls that the user answers."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from turnwire.conversation import Conversation
from turnwire.errors import BadArgument, Rejected
from turnwire.terminal.text import printable
from turnwire_protocol import (
    Code,
    Event,
    ToolApproval,
    ToolDecision,
    ToolExecuting,
    ToolResult,
)

if TYPE_CHECKING:
    from turnwire.terminal.keyboard import Keyboard

__all__ = ["Questions"]

OVER = frozenset({Code.ALREADY_DECIDED, Code.UNKNOWN_TOOL_CALL})


class Questions:
    """The open questions of a turn, asked one at a time; one that is over elsewhere goes away.

    `hold` is called with True while there are any: the screen is theirs then. Calls of `allowed`
    tools are not asked about; without a `keyboard` nobody is there to allow others, and they are
    denied. `interrupt` is called where Ctrl-C is the answer.
    """

    def __init__(
        self,
        console: Console,
        conversation: Conversation,
        hold: Callable[[bool], None],
        *,
        keyboard: "Keyboard | None",
        allowed: frozenset[str],
        interrupt: Callable[[], None],
    ) -> None:
        self._console = console
        self._conversation = conversation
        self._hold = hold
        self._keyboard = keyboard
        self._allowed = allowed
        self._interrupt = interrupt
        self._open: dict[str, asyncio.Task[None]] = {}
        self._asked: set[str] = set()
        """Those of them that the user is to answer: what is settled here needs no screen."""
        self._asking = asyncio.Lock()
        self._held = ExitStack()

    def see(self, event: Event) -> None:
        """The turn's next event: it may ask something, or tell that it needs no answer any more."""
        match event:
            case ToolApproval(tool_name=name) as approval if name in self._allowed:
                self._begin(approval.tool_id, self._settle(approval, allow=True))
            case ToolApproval() as approval if self._keyboard is None:
                self._begin(approval.tool_id, self._settle(approval, allow=False))
            case ToolApproval() as approval:
                self._ask(approval.tool_id, lambda: self._decide(approval))
            case ToolExecuting(runner=self._conversation.runner) as call:
                if self._keyboard and not self._conversation.runs(call.tool_name):
                    self._ask(call.tool_id, lambda: self._answer(call))
            case ToolDecision() | ToolResult():
                if task := self._open.get(event.tool_id):
                    task.cancel()

    async def close(self) -> None:
        """Take back what is asked."""
        tasks = list(self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ask(self, tool_id: str, question: Callable[[], Awaitable[None]]) -> None:
        async def ask() -> None:
            async with self._asking:
                await question()

        if not self._asked and self._keyboard:
            self._hold(True)
            # What was typed before the question is no answer to it.
            self._held.enter_context(self._keyboard.aside())
        self._asked.add(tool_id)
        self._begin(tool_id, ask())

    def _begin(self, tool_id: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._open[tool_id] = asyncio.create_task(work, name=f"question {tool_id}")
        task.add_done_callback(lambda task: self._finish(tool_id, task))

    def _finish(self, tool_id: str, task: asyncio.Task[None]) -> None:
        # Allowed, a call may become a question of its own under the same id.
        if self._open.get(tool_id) is task:
            del self._open[tool_id]
            self._asked.discard(tool_id)
        if not self._asked:
            self._held.close()
            self._hold(False)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._note(f"It could not be answered: {error}", "red")

    async def _settle(self, approval: ToolApproval, *, allow: bool) -> None:
        name = approval.tool_name
        reason = None if allow else "Nobody is there to allow it."
        if (
            await self._try(self._conversation.decide(approval.tool_id, allow=allow, reason=reason))
            and not allow
        ):
            self._note(f"{name} was denied: nobody can be asked. Allow it with --allow {name}", "")

    async def _decide(self, approval: ToolApproval) -> None:
        self._show(approval.tool_name, approval.input)
        while True:
            said = await self._line("Allow it? [y]es, [n]o, [e]dit its input: ")
            match (said or "n").strip().lower():
                case "y" | "yes":
                    answer: dict[str, Any] = {"allow": True}
                case "n" | "no":
                    reason = None if said is None else await self._line("Why not? (may be empty) ")
                    answer = {"allow": False, "reason": (reason or "").strip() or None}
                case "e" | "edit":
                    edited = _object(await self._line("Input, as JSON on one line: "))
                    if edited is None:
                        self._note("That is not a JSON object.", "red")
                        continue
                    answer = {"allow": True, "input": edited}
                case _:
                    continue
            if await self._try(self._conversation.decide(approval.tool_id, **answer)):
                return

    async def _answer(self, call: ToolExecuting) -> None:
        self._show(call.tool_name, call.input)
        while True:
            said = await self._line("Your answer: ")
            content = "The user gave no answer." if said is None else said
            output = self._conversation.tool_output(call.tool_id, content, is_error=said is None)
            if await self._try(output):
                return

    async def _try(self, answering: Awaitable[None]) -> bool:
        """Send an answer; False if it was refused, and the user may try again."""
        try:
            await answering
        except (BadArgument, Rejected) as error:
            if isinstance(error, Rejected) and error.code in OVER:
                return True
            self._note(str(error), "red")
            return False
        return True

    def _show(self, tool_name: str, input: dict[str, Any]) -> None:
        # In full: what is not shown cannot be judged.
        self._note(f"{tool_name} {json.dumps(input, ensure_ascii=False)}", "bold cyan")

    def _note(self, text: str, style: str) -> None:
        self._console.print(Text(printable(text), style))

    async def _line(self, question: str) -> str | None:
        assert self._keyboard is not None  # Nothing is asked without.
        try:
            return await self._keyboard.answer(question)
        except KeyboardInterrupt:
            self._interrupt()
            raise asyncio.CancelledError from None


def _object(text: str | None) -> dict[str, Any] | None:
    try:
        value = json.loads(text or "")
    except ValueError:
        return None
    return value if isinstance(value, dict) else None

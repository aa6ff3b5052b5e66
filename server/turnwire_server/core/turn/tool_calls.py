"""The tool calls of one turn: announced, completed, run, answered.

Every complete call gets exactly one result, whatever happens to its turn.
"""

import asyncio
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic_core import to_json

from turnwire_protocol import (
    ClientTool,
    Code,
    DecideBody,
    ProgressBody,
    RunsOn,
    StopReason,
    TextBlock,
    ToolExecuting,
    ToolOutputBody,
    ToolProgress,
    ToolResult,
    ToolStart,
)
from turnwire_server.core.history.answer import parse_input
from turnwire_server.core.telemetry import TurnWatch
from turnwire_server.core.turn.approvals import Approvals, check_size
from turnwire_server.core.turn.writer import TurnWriter
from turnwire_server.errors import Rejected
from turnwire_server.model.port import ToolForm, ToolInputPart, ToolPart, ToolResultPart
from turnwire_server.tools.port import Tool, ToolContext
from turnwire_server.tools.toolset import Outcome, Toolset

__all__ = ["ToolCalls", "unfinished_result"]

_PROGRESS_INTERVAL_SECONDS = 0.1
_PROGRESS_CHARS = 1000
_API_ID = re.compile(r"[a-zA-Z0-9_-]{1,128}")
"""What the Messages API takes as the id of a call (https://docs.claude.com/en/api/messages)."""
_NOTE_CHARS = 10_000

_GIVEN_UP = "Not run: the model declined, and another one answers."

_UNFINISHED: dict[str, str] = {
    StopReason.CANCELLED: "Cancelled by the user.",
    StopReason.FAILED: "Not finished: the turn failed.",
    StopReason.INTERRUPTED: "Not finished: the server stopped.",
    StopReason.MAX_STEPS: "Not run: the turn had reached its limit of steps.",
}


def unfinished_result(stop_reason: str) -> str:
    """What the model is told of a tool call that has no result when its turn ends.

    It stands in the log, so that the history of the conversation stays valid.
    """
    return _UNFINISHED.get(stop_reason, "Not run: the answer was cut off.")


class ClientToolError(Exception):
    """A client says that its tool failed; `content` is what the model is shown."""

    def __init__(self, content: str | list[dict[str, Any]]) -> None:
        super().__init__("the client's tool failed")
        self.content = content


@dataclass(slots=True)
class _Call:
    block: int
    tool_id: str
    """Its id in the log. It is the model's own unless that is taken, or none the API takes back."""
    name: str
    runs_on: RunsOn
    pieces: list[str] = field(default_factory=list)
    is_complete: bool = False
    has_result: bool = False
    input: dict[str, Any] = field(default_factory=dict)
    """What it runs with, once that is known."""
    note: str | None = None
    """Set where the input is not the model's own."""
    began: float | None = None
    """When it began to run (monotonic seconds)."""
    output: asyncio.Future[ToolOutputBody] | None = None
    """Set while a client runs it, and done once it has answered."""
    is_taken: asyncio.Future[bool] | None = None
    """Set once a client has answered: done when the call has its result; whether it is that one."""
    reported: float = float("-inf")
    """When it last reported progress."""


class ToolCalls:
    """Keeps the calls of a turn and runs those that run in the server."""

    def __init__(
        self,
        writer: TurnWriter,
        *,
        toolset: Toolset,
        client_tools: Iterable[ClientTool],
        runner: str | None,
        approval_timeout_seconds: float,
        client_tool_timeout_seconds: float,
        context: Callable[[str, Callable[[str, float | None], None]], ToolContext],
        objection: Callable[[str, str, RunsOn, dict[str, Any]], Awaitable[str | None]],
        watch: TurnWatch,
    ) -> None:
        self._writer = writer
        self._toolset = toolset.with_tools(
            Tool(
                name=tool.name,
                description=tool.description,
                input_schema=tool.input_schema,
                function=None,
                is_async=True,
                timeout_seconds=client_tool_timeout_seconds,
            )
            for tool in client_tools
        )
        self._runner = runner
        self._approvals = Approvals(writer, self._toolset, timeout_seconds=approval_timeout_seconds)
        self._context = context
        """(tool_id, report) → what the tool is told of its call."""
        self._objection = objection
        """(tool_id, tool_name, runs_on, input) → why a call must not run so; None if it may."""
        self._watch = watch
        self._calls: dict[int, _Call] = {}
        """By block: a model may give one id to several calls."""

    @property
    def specifications(self) -> list[ToolForm]:
        """The tools of this turn, in the form of the Messages API."""
        return self._toolset.specifications()

    @property
    def are_waiting(self) -> bool:
        """Whether the model wants something to run here or in a client."""
        return any(call.is_complete for call in self._unanswered())

    def announce(self, part: ToolPart, block: int) -> None:
        """The model named a tool."""
        runs_on = part.runs_on if part.runs_on == "provider" else self._toolset.runs_on(part.name)
        tool_id = part.tool_id
        if runs_on != "provider" and (
            _API_ID.fullmatch(tool_id) is None or self._writer.has_call(tool_id)
        ):
            # Gateways count from 0 in every answer, or send none. Results, decisions and the
            # history go by the id, so the call gets one of its own.
            tool_id = f"toolu_{secrets.token_hex(12)}"
        self._calls[block] = _Call(block, tool_id, part.name, runs_on)
        self._writer.write(
            ToolStart(
                **self._writer.place(),
                block=block,
                tool_id=tool_id,
                tool_name=part.name,
                runs_on=runs_on,
            )
        )

    def append_input(self, part: ToolInputPart, block: int) -> str:
        """A piece of a call's input; gives the call's id in the log."""
        call = self._calls.get(block)
        if call is None:
            return part.tool_id
        call.pieces.append(part.partial_json)
        return call.tool_id

    def complete(self, block: int) -> None:
        """The block is complete; if it is a call, so is its input."""
        if call := self._calls.get(block):
            call.is_complete = True

    def provide(self, part: ToolResultPart) -> None:
        """The provider ran its own tool."""
        for call in reversed(self._calls.values()):
            if call.tool_id == part.tool_id:
                outcome = Outcome(part.text, is_error=part.is_error)
                self._result(call, outcome, files=part.files)
                return

    def rewind(self, block: int) -> None:
        """The calls from `block` on are void."""
        self._calls = {number: call for number, call in self._calls.items() if number < block}

    def give_up(self, first_block: int) -> None:
        """The model that made the calls from this block on has declined, and another goes on: it is
        not shown them, and so they must not run."""
        for call in self._unanswered():
            if call.block >= first_block:
                call.is_complete = True
                self._result(call, Outcome(_GIVEN_UP, is_error=True))

    def end(self, stop_reason: str) -> None:
        """The turn ends: what is unfinished gets an error result."""
        for call in self._calls.values():
            if call.is_complete:
                self._result(call, Outcome(unfinished_result(stop_reason), is_error=True))

    def _unanswered(self) -> Iterator[_Call]:
        for call in self._calls.values():
            if not call.has_result and call.runs_on != "provider":
                yield call

    async def run(self) -> None:
        """Run all calls that wait, at once, and return when each has its result."""
        async with asyncio.TaskGroup() as group:
            for call in [call for call in self._unanswered() if call.is_complete]:
                group.create_task(self._run(call), name=f"tool {call.name}")

    async def _run(self, call: _Call) -> None:
        input = parse_input("".join(call.pieces))
        problem = self._toolset.problem(call.name, input)
        if problem is not None or input is None:
            self._result(call, Outcome(problem or "", is_error=True))
            return
        if await self._is_refused(call, input):
            return
        call.input = input
        if await self._toolset.needs_approval(call.name, input):
            act = partial(self._act_on, call)
            await self._approvals.ask(call.tool_id, call.name, input, act)
            if call.has_result:
                return
        else:
            self._execute(call)
        try:
            # Nothing acts before it is written: after a crash the log says what may have run.
            await self._writer.stored()
        except Rejected:
            return  # The log is gone: the turn ends, and nothing of it can be told any more.
        # Somebody has made it another call than the one that was let pass.
        if call.note is not None and await self._is_refused(call, call.input):
            return
        call.began = time.monotonic()
        context = self._context(call.tool_id, self._reporter(call))
        answer = None if call.output is None else partial(_client_answer, call.output)
        with self._watch.run(call.tool_id):
            outcome = await self._toolset.run(call.name, call.input, context, answer=answer)
        if call.note is not None:
            outcome = _with_note(outcome, call.note)
        self._result(call, outcome, by_client=call.is_taken is not None)

    async def _is_refused(self, call: _Call, input: dict[str, Any]) -> bool:
        """Whether it must not run with this input; it has its result then."""
        why = await self._objection(call.tool_id, call.name, call.runs_on, input)
        if why is not None:
            self._result(call, Outcome(why, is_error=True))
        return why is not None

    def _act_on(self, call: _Call, decide: DecideBody) -> None:
        """Somebody has decided: run it, or tell the model that it must not."""
        if decide.decision == "deny":
            why = f": {decide.reason}" if decide.reason else "."
            self._result(call, Outcome(f"The user did not allow this call{why}", is_error=True))
            return
        if decide.input is not None and decide.input != call.input:
            call.input, call.note = decide.input, _note(decide.input)
        self._execute(call)

    def _execute(self, call: _Call) -> None:
        """Write that the call runs. It does once this is durable."""
        runner = None
        if call.runs_on == "client":
            runner = self._runner
            call.output = asyncio.get_running_loop().create_future()
        self._writer.write(
            ToolExecuting(
                **self._writer.place(),
                tool_id=call.tool_id,
                tool_name=call.name,
                input=call.input,
                runs_on=call.runs_on,
                runner=runner,
            )
        )

    # What comes from outside while the turn runs

    def decide(self, decide: DecideBody) -> None:
        """Somebody allows or denies a call; the first answer wins.

        Raises:
            Rejected: no such call waits, it is decided, or the edited input is not valid.
        """
        self._find(decide.tool_id)
        self._approvals.decide(decide)

    def take_output(self, output: ToolOutputBody) -> asyncio.Future[bool]:
        """The client that runs a call gives its result, once.

        Done once the call has its result, in the log but perhaps not durable yet: True where it is
        this one, False where the turn was ended first.

        Raises:
            Rejected: no such call waits, another client runs it, it was answered, this is too
                large, or the store cannot take it.
        """
        call = self._of_runner(output.tool_id, output.runner)
        if call.output is None or call.output.done() or call.has_result:
            raise Rejected(Code.ALREADY_DECIDED, "tool_id: this call has its result already")
        check_size("content", output.content)
        self._writer.check_store()
        call.output.set_result(output)
        call.is_taken = asyncio.get_running_loop().create_future()
        return call.is_taken

    def take_progress(self, progress: ProgressBody) -> None:
        """The client that runs a call reports.

        Raises:
            Rejected: no such call waits, another client runs it, or it was answered.
        """
        call = self._of_runner(progress.tool_id, progress.runner)
        if call.has_result:
            raise Rejected(Code.ALREADY_DECIDED, "tool_id: this call has its result already")
        self._progress(call, progress.message, progress.fraction)

    def _find(self, tool_id: str) -> _Call:
        for call in self._calls.values():
            if call.tool_id == tool_id:
                return call
        raise Rejected(Code.UNKNOWN_TOOL_CALL, "tool_id: no such call in the running turn")

    def _of_runner(self, tool_id: str, runner: str) -> _Call:
        call = self._find(tool_id)
        if call.runs_on != "client" or (call.output is None and not call.has_result):
            raise Rejected(Code.UNKNOWN_TOOL_CALL, "tool_id: no client runs this call")
        if runner != self._runner:
            raise Rejected(Code.BAD_COMMAND, "runner: another client runs this call")
        return call

    def _reporter(self, call: _Call) -> Callable[[str, float | None], None]:
        loop = asyncio.get_running_loop()

        def report(message: str, fraction: float | None) -> None:
            # Tools report from threads of their own, too.
            loop.call_soon_threadsafe(self._progress, call, message, fraction)

        return report

    def _progress(self, call: _Call, message: str, fraction: float | None) -> None:
        now = time.monotonic()
        if call.has_result or now - call.reported < _PROGRESS_INTERVAL_SECONDS:
            return
        call.reported = now
        # Tools are foreign code: what they say may be no text, no number, or out of range.
        text = str(message)[:_PROGRESS_CHARS].encode(errors="replace").decode()
        is_number = isinstance(fraction, int | float) and math.isfinite(fraction)
        bounded = min(max(fraction, 0.0), 1.0) if fraction is not None and is_number else None
        self._writer.write(
            ToolProgress(
                **self._writer.place(), tool_id=call.tool_id, message=text, fraction=bounded
            )
        )

    def _result(
        self,
        call: _Call,
        outcome: Outcome,
        *,
        by_client: bool = False,
        files: tuple[str, ...] = (),
    ) -> None:
        if call.has_result:
            return
        call.has_result = True
        self._writer.write(
            ToolResult(
                **self._writer.place(),
                tool_id=call.tool_id,
                content=outcome.content,
                is_error=outcome.is_error,
                duration_ms=_milliseconds_since(call.began),
                files=list(files) or None,
            )
        )
        if call.is_taken is not None and not call.is_taken.done():
            call.is_taken.set_result(by_client)


async def _client_answer(output: asyncio.Future[ToolOutputBody]) -> str | list[dict[str, Any]]:
    """Wait for what the client answers."""
    given = await output
    blocks = given.content
    content = blocks if isinstance(blocks, str) else [block.model_dump() for block in blocks]
    if given.is_error:
        raise ClientToolError(content)
    # An empty list would be taken for a value and shown as JSON.
    return content or ""


def _milliseconds_since(began: float | None) -> int:
    """How long a call ran; 0 if it never did, however long somebody thought about it."""
    return 0 if began is None else round((time.monotonic() - began) * 1000)


def _note(input: dict[str, Any]) -> str:
    said = to_json(input).decode()
    cut = f"{said[:_NOTE_CHARS]} [cut here]" if len(said) > _NOTE_CHARS else said
    return f"The user changed the input to {cut}"


def _with_note(outcome: Outcome, note: str) -> Outcome:
    """The outcome of a call whose input was edited: the model's own call does not change."""
    if isinstance(outcome.content, str):
        return Outcome(f"{note}. The result:\n{outcome.content}", outcome.is_error)
    return Outcome([TextBlock(text=f"{note}. The result:"), *outcome.content], outcome.is_error)

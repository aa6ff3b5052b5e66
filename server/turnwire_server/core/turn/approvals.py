"""Approvals: tool calls that wait until somebody allows or denies them. The first answer wins."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from turnwire_protocol import Code, DecideBody, ToolApproval, ToolDecision
from turnwire_server.core.turn.writer import TurnWriter
from turnwire_server.errors import Rejected
from turnwire_server.timestamp import timestamp
from turnwire_server.tools.toolset import Toolset

__all__ = ["Approvals", "check_size"]

_MAX_ANSWER_BYTES = 256 * 1024
"""Largest edited input or tool output that a client may give, as JSON."""


@dataclass(slots=True, frozen=True)
class _Question:
    tool_name: str
    act: Callable[[DecideBody], None]
    is_settled: asyncio.Future[None]


class Approvals:
    """The questions of one turn, each about one call."""

    def __init__(self, writer: TurnWriter, toolset: Toolset, *, timeout_seconds: float) -> None:
        self._writer = writer
        self._toolset = toolset
        self._timeout_seconds = timeout_seconds
        self._questions: dict[str, _Question] = {}

    async def ask(
        self,
        tool_id: str,
        tool_name: str,
        input: dict[str, Any],
        act: Callable[[DecideBody], None],
    ) -> None:
        """Wait for a decision; if nobody decides in time, it is `deny`.

        `act` writes what follows from it, in the same step: decision and consequence are stored by
        one commit, and neither is there without the other.
        """
        timeout = self._timeout_seconds
        loop = asyncio.get_running_loop()
        is_settled: asyncio.Future[None] = loop.create_future()
        self._questions[tool_id] = _Question(tool_name, act, is_settled)
        self._writer.write(
            ToolApproval(
                **self._writer.place(),
                tool_id=tool_id,
                tool_name=tool_name,
                input=input,
                expires_at=timestamp(in_seconds=timeout),
            )
        )
        # The timer decides in the same way as a person does. A time-out of the wait itself could
        # come between a decision and the task's waking up: the call would be decided twice.
        timer = loop.call_later(timeout, self._expire, tool_id)
        try:
            await is_settled
        finally:
            timer.cancel()

    def decide(self, decide: DecideBody) -> None:
        """Take somebody's decision.

        Raises:
            Rejected: no such call waits, it is decided already, the edited input is not valid, or
                the store cannot take the decision.
        """
        question = self._questions.get(decide.tool_id)
        if question is None:
            raise Rejected(Code.UNKNOWN_TOOL_CALL, "tool_id: this call waits for no decision")
        if question.is_settled.done():
            raise Rejected(Code.ALREADY_DECIDED, "tool_id: this call is decided already")
        if decide.input is not None:
            if decide.decision == "deny":
                raise Rejected(Code.BAD_COMMAND, "input: goes with allow only")
            check_size("input", decide.input)
            problem = self._toolset.problem(question.tool_name, decide.input)
            if problem is not None:
                raise Rejected(Code.BAD_COMMAND, f"input: {problem}")
        self._writer.check_store()
        self._settle(question, decide)

    def _expire(self, tool_id: str) -> None:
        question = self._questions[tool_id]
        if not question.is_settled.done():
            reason = "nobody answered in time"
            self._settle(question, DecideBody(tool_id=tool_id, decision="deny", reason=reason))

    def _settle(self, question: _Question, decide: DecideBody) -> None:
        question.is_settled.set_result(None)
        self._writer.write(
            ToolDecision(
                **self._writer.place(),
                tool_id=decide.tool_id,
                decision=decide.decision,
                input=decide.input,
                reason=decide.reason,
            )
        )
        question.act(decide)


def check_size(field: str, value: object) -> None:
    """Reject what a client answers to a tool call if it is too large for the log.

    Raises:
        Rejected: it is; the message names the field.
    """
    if len(to_json(value)) > _MAX_ANSWER_BYTES:
        raise Rejected(Code.TOO_LARGE, f"{field}: at most {_MAX_ANSWER_BYTES} bytes of JSON")

"""What an observer of turns is told: turn, attempts and tools, as they begin and end."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from turnwire_protocol import Content, Done, RunsOn, Usage
from turnwire_server.core.telemetry import TurnNames
from turnwire_server.model.port import ApiMessage, ModelRequest, ResponseNames, UsagePart

__all__ = ["Attempt", "Observer", "ToolRun", "TurnObserver", "Words"]

Words = Mapping[str, Any]
"""What the provider said of a failure: the fields of `ProviderWords` that it has."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A call of the model. Times are monotonic seconds."""

    step: int
    attempt: int
    model: str
    began: float
    request: ModelRequest | None = None
    response: ResponseNames | None = None
    first_delta: float | None = None
    usage: Usage | UsagePart | None = None
    """The last counts; None: none have come."""
    output_tokens: int = 0
    is_estimate: bool = False
    """Whether `output_tokens` is one: it was ended before the model told."""
    stop_reason: str | None = None
    said: Callable[[], list[ApiMessage]] | None = None
    code: str | None = None
    """Why it failed, if it did. One that has neither this nor a reason was ended from outside."""
    words: Words | None = None
    ended: float = 0.0

    @property
    def input_tokens(self) -> int:
        """All of them, cached or not."""
        usage = self.usage
        if usage is None:
            return 0
        cached = usage.cache_read_input_tokens + usage.cache_creation_input_tokens
        return usage.input_tokens + cached


@dataclass(slots=True, kw_only=True)
class ToolRun:
    """A call of a tool. Times are monotonic seconds."""

    tool_id: str
    name: str
    runs_on: RunsOn
    input: dict[str, Any] | None = None
    asked: float | None = None
    """When somebody was asked whether it may run."""
    decision: str | None = None
    began: float | None = None
    """When it began to run; None: it never did."""
    ended: float = 0.0
    is_error: bool = False
    content: Content = ""


class TurnObserver:
    """Observes one turn; each method may do nothing."""

    def begin_attempt(self, attempt: Attempt) -> None:
        """The model will be asked."""

    def end_attempt(self, attempt: Attempt) -> None:
        """It has answered, failed, or was ended."""

    def retry(self, attempt: Attempt, delay_seconds: float) -> None:
        """Another attempt follows the one that failed."""

    def rewind(self) -> None:
        """What a failed attempt had said is void."""

    def detach(self) -> None:
        """The last of those who followed the conversation has gone."""

    def ask_for_tool(self, tool: ToolRun) -> None:
        """Somebody is asked whether a tool may run."""

    def decide(self, tool: ToolRun, waited_seconds: float) -> None:
        """That is decided, or (`decision` is None) the turn has ended before."""

    def begin_tool(self, tool: ToolRun) -> None:
        """The tool runs."""

    def end_tool(self, tool: ToolRun) -> None:
        """It has a result, whether it ran or not."""

    def end(self, done: Done, code: str | None, seconds: float) -> None:
        """The turn is over; `code` says why it failed, if it did."""

    def attempt_context(self, attempt: Attempt) -> AbstractContextManager[None]:
        """For the task that asks the model."""
        return nullcontext()

    def tool_context(self, tool: ToolRun) -> AbstractContextManager[None]:
        """For the task in which the tool runs."""
        return nullcontext()

    def ids(self) -> Mapping[str, str]:
        """By what the turn is found there."""
        return {}


class Observer(Protocol):
    """Observes turns."""

    def turn(self, names: TurnNames) -> TurnObserver | None:
        """The next turn; called where its message came in. None: it is not observed."""

    def aside(self, conversation: str, attempt: Attempt) -> None:
        """An attempt that is over, and part of no turn."""

"""What watches the service: a port with nobody behind it. Knows no library and no format.

The watch of a turn reads what the turn writes into its log, event by event, but no delta: what it
costs does not grow with the answer. What the log does not say it is told: `ask`, `speak`, `answer`.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from turnwire_protocol import Event
from turnwire_server.errors import ModelError
from turnwire_server.model.port import ApiMessage, ModelRequest, ResponseNames, UsagePart

__all__ = ["NO_TELEMETRY", "Aside", "Readings", "Tally", "Telemetry", "TurnNames", "TurnWatch"]


@dataclass(slots=True, frozen=True, kw_only=True)
class TurnNames:
    """Which turn it is, and whose."""

    conversation: str
    turn: str
    principal: str
    model: str | None
    """The one that its message asks for; None: of that nothing is known here."""
    trace: str | None = None
    """The `traceparent` of who sent the message, if it is to go on in the turn."""
    is_recovered: bool = False
    """It ran in a process that is gone, which may have watched it, and is ended here."""


class TurnWatch(Protocol):
    """Watches one turn, on the loop. Raises nothing, and decides nothing."""

    def see(self, event: Event, private: Mapping[str, object] | None) -> None:
        """The turn has written this; it is over with its `done`."""

    def ask(self, request: ModelRequest) -> AbstractContextManager[None]:
        """The model is asked, in the attempt whose `step` was seen last; entered in the task that
        asks, for as long as the answer is read."""

    def respond(self, response: ResponseNames) -> None:
        """The attempt's answer has begun."""

    def speak(self) -> None:
        """The attempt's first delta is there."""

    def answer(self, stop_reason: str, said: Callable[[], list[ApiMessage]]) -> None:
        """The attempt's answer is complete; `said` makes the messages of it, if they are wanted."""

    def fail(self, error: ModelError) -> None:
        """The attempt has failed, and the log says nothing of it: the turn goes on without."""

    def detach(self) -> None:
        """Nobody follows the conversation any more, while the turn runs."""

    def run(self, tool_id: str) -> AbstractContextManager[None]:
        """The tool runs; entered in the task in which it does."""

    def ids(self) -> Mapping[str, str]:
        """By what the turn is found elsewhere: for its lines in the log."""


@dataclass(slots=True, kw_only=True)
class Aside:
    """A call of the model that is part of no turn, for a title; it is over."""

    conversation: str
    model: str
    began: float
    """Monotonic seconds."""
    usage: UsagePart | None = None
    stop_reason: str | None = None
    code: str | None = None
    """Why it failed, if it did."""


class Telemetry(Protocol):
    """Watches the service."""

    def aside(self, aside: Aside) -> None:
        """The model was asked beside the turns. Called on the loop; raises nothing."""

    def turn(self, names: TurnNames) -> TurnWatch:
        """A message was accepted; called where it came in. The turn may yet be withdrawn: then its
        watch sees nothing."""


@dataclass(slots=True)
class Tally:
    """What is counted where it happens, since the start; nothing but additions."""

    output_chars: int = 0
    """That models have written: answers, thoughts, inputs of tools."""
    merged_events: int = 0
    """Events that readers got as part of another, because they were behind."""


@dataclass(slots=True, kw_only=True)
class Readings:
    """What the core shows to whoever looks at it now and then; added up when it is asked for."""

    open_conversations: int = 0
    turns_running: int = 0
    turns_queued: int = 0
    turns_resting: int = 0
    """Of those that run: all that is left to do is up to somebody outside."""
    subscriptions: int = 0
    reader_lag_events: int = 0
    """How far the slowest reader is behind the durable head of its log."""
    undurable_events: int = 0
    """What is appended and not stored yet."""
    commits: int = 0
    """Since the start, like what follows."""
    commit_seconds: float = 0.0
    commit_batches: int = 0
    """How many logs' batches they took."""
    store_failures: int = 0
    output_chars: int = 0
    merged_events: int = 0
    blob_bytes: int = 0
    """Of attachments that were taken in."""


class _NoWatch:
    def see(self, event: Event, private: Mapping[str, object] | None) -> None:
        pass

    def ask(self, request: ModelRequest) -> AbstractContextManager[None]:
        return nullcontext()

    def respond(self, response: ResponseNames) -> None:
        pass

    def speak(self) -> None:
        pass

    def answer(self, stop_reason: str, said: Callable[[], list[ApiMessage]]) -> None:
        pass

    def fail(self, error: ModelError) -> None:
        pass

    def detach(self) -> None:
        pass

    def run(self, tool_id: str) -> AbstractContextManager[None]:
        return nullcontext()

    def ids(self) -> Mapping[str, str]:
        return {}


class _NoTelemetry:
    _watch = _NoWatch()

    def aside(self, aside: Aside) -> None:
        pass

    def turn(self, names: TurnNames) -> TurnWatch:
        return self._watch


NO_TELEMETRY: Telemetry = _NoTelemetry()
"""Nobody watches."""

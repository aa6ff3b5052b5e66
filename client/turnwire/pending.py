"""The commands that wait for a reply; knows no connection."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from turnwire.errors import TurnwireError, rejected
from turnwire_protocol import Ack, Cancel, Decide, Reject, Send, ToolOutput

__all__ = ["Lasting", "Pending"]

Lasting = Send | Cancel | Decide | ToolOutput
"""Commands that are repeated over connections until they have a reply."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    command: Lasting
    acked: Callable[[Ack], None]
    outcome: asyncio.Future[Ack]


class Pending:
    """The commands without a reply, in the order in which they were given.

    A reply to none of them is no mistake: its caller may have been cancelled.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}

    @property
    def commands(self) -> list[Lasting]:
        """Those that wait, as of now."""
        return [waiting.command for waiting in self._waiting.values()]

    def add(self, command: Lasting, acked: Callable[[Ack], None]) -> asyncio.Future[Ack]:
        """Its ack, to come; `acked` is called with it at once, and what that raises is the outcome.

        Who stops waiting says so with `forget`.
        """
        outcome: asyncio.Future[Ack] = asyncio.get_running_loop().create_future()
        self._waiting[command.id] = _Waiting(command, acked, outcome)
        return outcome

    def forget(self, command_id: str) -> None:
        """Nobody waits for this one (any more)."""
        self._waiting.pop(command_id, None)

    def take_ack(self, ack: Ack) -> None:
        """A command took effect."""
        if (waiting := self._waiting.pop(ack.id, None)) is None:
            return
        try:
            waiting.acked(ack)
        except TurnwireError as error:
            _settle(waiting.outcome, error)
        else:
            _settle(waiting.outcome, ack)

    def take_reject(self, reject: Reject) -> None:
        """The server said no to a command."""
        if reject.id is not None and (waiting := self._waiting.pop(reject.id, None)):
            _settle(waiting.outcome, rejected(reject))

    def fail(self, failure: TurnwireError) -> None:
        """No reply comes to any of them."""
        failed, self._waiting = self._waiting, {}
        for waiting in failed.values():
            _settle(waiting.outcome, failure)


def _settle(outcome: asyncio.Future[Ack], value: Ack | TurnwireError) -> None:
    # It is done already if the caller was cancelled.
    if outcome.done():
        return
    if isinstance(value, TurnwireError):
        outcome.set_exception(value)
    else:
        outcome.set_result(value)

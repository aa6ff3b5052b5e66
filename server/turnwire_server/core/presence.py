"""Presence: the readers and the runner that a running turn needs, and its end when they are gone.

A client that comes back within the grace time counts as never gone.
"""

import asyncio
from collections.abc import Callable

from turnwire_protocol import StopReason
from turnwire_server.core.log.durable_log import DurableLog
from turnwire_server.core.turn.turn import Turn

__all__ = ["Presence"]


class Presence:
    """Readers, for a turn that is not to go on unread; the client that runs its client tools."""

    def __init__(self, *, grace_seconds: float) -> None:
        self._turn: Turn | None = None
        self._readers = _Absence(self._cancel, grace_seconds)
        self._runner = _Absence(self._abandon, grace_seconds)

    def look(self, turn: Turn | None, log: DurableLog) -> None:
        """Re-evaluate who is missing.

        Call after every change of the followers, the running turn, or its client-tool calls.
        """
        self._turn = turn
        unread = turn is not None and turn.cancel_on_detach and not log.has_followers
        self._readers.note(is_absent=unread)
        runner = None if turn is None else turn.runner
        # A follower that gives no `runner` may be the one.
        left = runner is not None and not log.runners & {None, runner}
        self._runner.note(is_absent=left)

    def _cancel(self) -> None:
        if self._turn is not None:
            self._turn.end(StopReason.CANCELLED)

    def _abandon(self) -> None:
        if self._turn is not None:
            self._turn.calls.abandon()


class _Absence:
    """A grace period: one timer at most, which begins with the absence."""

    def __init__(self, give_up: Callable[[], None], grace_seconds: float) -> None:
        self._give_up = give_up
        self._grace_seconds = grace_seconds
        self._timer: asyncio.TimerHandle | None = None

    def note(self, *, is_absent: bool) -> None:
        if is_absent and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._grace_seconds, self._over)
        elif not is_absent and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self) -> None:
        self._timer = None
        self._give_up()

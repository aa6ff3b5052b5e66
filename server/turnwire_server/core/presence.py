"""Presence: the readers that a running turn needs, and its end when they are gone.

A client that comes back within the grace time counts as never gone. While the turn rests, nobody
has to be there: it waits for a person, or for a client that cannot stay connected, as long as its
questions and its client tools have time.
"""

import asyncio

from turnwire_protocol import StopReason
from turnwire_server.core.log.durable_log import DurableLog
from turnwire_server.core.turn.turn import Turn

__all__ = ["Presence"]


class Presence:
    """Readers, for a turn that is not to go on unread: one timer at most, from when they went."""

    def __init__(self, *, grace_seconds: float) -> None:
        self._grace_seconds = grace_seconds
        self._turn: Turn | None = None
        self._is_followed = False
        """Whether anybody read when it was last looked."""
        self._timer: asyncio.TimerHandle | None = None

    def look(self, turn: Turn | None, log: DurableLog) -> None:
        """Re-evaluate who is missing.

        Call after every change of the followers, the running turn, or its rest.
        """
        is_followed = log.has_followers
        if turn is not None and turn is self._turn and self._is_followed and not is_followed:
            turn.detach()
        self._turn, self._is_followed = turn, is_followed
        needs_readers = turn is not None and turn.cancel_on_detach and not turn.is_resting
        is_absent = needs_readers and not is_followed
        if is_absent and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._grace_seconds, self._give_up)
        elif not is_absent and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._turn is not None:
            self._turn.end(StopReason.CANCELLED)

"""The order in which open conversations fell idle, and what all of them weigh. Pure.

There may be very many, where sockets follow them, and something changes in few. So only those are
looked at that somebody has named since the last look, and those at work, which name themselves when
their readers change but not when the last of what they said is stored.
"""

from collections import OrderedDict
from collections.abc import Callable

from turnwire_server.core.conversation import Conversation

__all__ = ["IdleOrder"]


class IdleOrder:
    """Knows what it was told of, until it is to forget it.

    `is_wanted` says of an id whether somebody waits for that conversation, to use it.
    """

    def __init__(self, *, is_wanted: Callable[[str], bool]) -> None:
        self.size = 0
        """The bytes that all weigh, as seen when each was last looked at."""
        self._is_wanted = is_wanted
        self._changed: dict[str, Conversation] = {}
        self._working: dict[str, Conversation] = {}
        # Emptied from the front, where a dictionary would look at all that was there before.
        self._idle: OrderedDict[str, tuple[float, Conversation]] = OrderedDict()
        self._weights: dict[str, int] = {}

    def change(self, conversation: Conversation) -> None:
        """It was opened or used, its readers have come or gone, or a turn of it has ended."""
        id = conversation.conversation
        self._idle.pop(id, None)
        # At the end: those that were used last fall idle last.
        self._working.pop(id, None)
        self._changed.pop(id, None)
        self._changed[id] = conversation

    def forget(self, id: str) -> None:
        """It is not open any more."""
        for known in (self._changed, self._working, self._idle):
            known.pop(id, None)
        self.size -= self._weights.pop(id, 0)

    def sort(self, now: float) -> list[Conversation]:
        """Look at what has changed; returns those that are idle and were not."""
        changed, self._changed = self._changed, {}
        fell_idle: list[Conversation] = []
        for id, one in changed.items():
            weight = one.weight
            self.size += weight - self._weights.get(id, 0)
            self._weights[id] = weight
            if self._is_wanted(id) or one.is_busy or not one.is_stored:
                self._working[id] = one
            elif one.is_idle:
                self._idle[id] = now, one
                fell_idle.append(one)
            # Of the others the readers are waited for.
        return fell_idle

    def sort_all(self, now: float) -> list[Conversation]:
        """The same, and look at those that were at work."""
        self._changed = self._working | self._changed
        self._working = {}
        return self.sort(now)

    @property
    def oldest(self) -> tuple[float, Conversation] | None:
        """Of the idle ones that which has been so for longest, and since when."""
        return next(iter(self._idle.values()), None)

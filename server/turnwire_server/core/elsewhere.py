"""Elsewhere: the unfinished turns that other processes have stored. A pure fold over their items.

Turns that run here need none of it: they end before the right to append is given back.
"""

from collections.abc import Callable, Iterator

from turnwire_protocol import Done, Event, Message
from turnwire_server.core.log.items import Entry, Item, Place
from turnwire_server.core.recovery import Recovery
from turnwire_server.core.rest import Rest
from turnwire_server.core.turn.usage import PriceOf

__all__ = ["Elsewhere"]


class Elsewhere:
    """Of one conversation. `price_of`: for what its turns cost, should they be ended here."""

    def __init__(self, price_of: PriceOf) -> None:
        self._price_of = price_of
        self._recovery = Recovery(price_of)
        self._rests: dict[str, Rest] = {}

    def apply(self, item: Item) -> None:
        """Take in the next item that others have stored."""
        self._recovery.apply(item)
        if not isinstance(item, Entry):
            return
        event = item.event
        if isinstance(event, Message):
            self._rests[event.turn] = Rest()
        elif isinstance(event, Done):
            self._rests.pop(event.turn, None)
        elif (rest := self._rests.get(event.turn)) is not None:
            rest.apply(event)

    def is_resting(self) -> bool | None:
        """Whether all that is unfinished is a turn at rest; None: nothing is unfinished."""
        rests = [rest.is_resting for rest in self._rests.values()]
        return rests == [True] if rests else None

    def end(self, place: Callable[[str], Place]) -> Iterator[Event]:
        """The events that end these turns, which have nobody any more; see `Recovery.missing`."""
        recovery, self._recovery = self._recovery, Recovery(self._price_of)
        self._rests.clear()
        yield from recovery.missing(place)

"""How many connections there are, in all and of an address, and which of them gives way. Pure.

A connection that asks for nothing (no request yet, none any more, no `hello`) holds a place only as
long as nobody else wants it: when all are taken, the one that has waited longest is closed for the
next that comes. So who says nothing cannot keep out who has something to say, and no list of bad
addresses is needed. Those who are being served are never closed; when all are, the next is refused.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from turnwire_server.addresses import Network, counted_as

__all__ = ["Place", "Room"]


class Place:
    """One connection's place, from its accept until `leave`."""

    def __init__(self, room: "Room", counted_as: str | None) -> None:
        self._room = room
        self.counted_as = counted_as
        """Address or network; None: its number is not bounded."""

    def wait(self, give_way: Callable[[], None]) -> None:
        """Nothing is asked: from now on the place may be taken away, by `give_way`.

        Whoever waits already keeps his turn.
        """
        self._room.waiting.setdefault(self, give_way)

    def work(self) -> None:
        """Somebody is being served: the place is kept."""
        self._room.waiting.pop(self, None)

    def leave(self) -> None:
        """The connection is over. May be called again."""
        self._room.leave(self)


class Room:
    """The places of all connections."""

    def __init__(
        self, *, max_connections: int, max_per_address: int, proxies: Sequence[Network] = ()
    ) -> None:
        self.max_connections = max_connections
        self._max_per_address = max_per_address
        self._proxies = proxies
        self._places: set[Place] = set()
        self._per_address: Counter[str] = Counter()
        self.waiting: dict[Place, Callable[[], None]] = {}
        """Those who ask for nothing, the longest first."""

    @property
    def taken(self) -> int:
        """How many connections there are."""
        return len(self._places)

    def enter(self, address: str) -> Place | None:
        """A place for a connection from this address; None: there is none.

        Somebody who asks for nothing may have to give way.
        """
        name = counted_as(address, self._proxies)
        if name is not None and self._per_address[name] >= self._max_per_address:
            mine = (place for place in self.waiting if place.counted_as == name)
            if not self._displace(next(mine, None)):
                return None
        elif self.taken >= self.max_connections and not self.displace():
            return None
        place = Place(self, name)
        self._places.add(place)
        if name is not None:
            self._per_address[name] += 1
        return place

    def displace(self) -> bool:
        """Close who has asked for nothing for longest; False: all are being served."""
        return self._displace(next(iter(self.waiting), None))

    def leave(self, place: Place) -> None:
        """This connection is over."""
        self.waiting.pop(place, None)
        if place not in self._places:
            return
        self._places.remove(place)
        if place.counted_as is not None:
            self._per_address[place.counted_as] -= 1
            if not self._per_address[place.counted_as]:
                del self._per_address[place.counted_as]

    def _displace(self, place: Place | None) -> bool:
        if place is None:
            return False
        give_way = self.waiting[place]
        # Its descriptor is closed in the loop's next turn; nobody is to wait for that.
        self.leave(place)
        give_way()
        return True

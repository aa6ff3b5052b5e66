"""How many connections there are, in all and of an address, and which of them gives way. Pure.

A connection that asks for nothing (no request yet, none any more, no `hello`) holds a place only as
long as nobody else wants it: when all are taken, the one that has waited longest is closed for the
next that comes. So who says nothing cannot keep out who has something to say, and no list of bad
addresses is needed. Those who are being served are never closed; when all are, the next is refused.
"""

import ipaddress
from collections import Counter
from collections.abc import Callable, Sequence

__all__ = ["Place", "Room"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


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
        counted_as = self._counted_as(address)
        if counted_as is not None and self._per_address[counted_as] >= self._max_per_address:
            mine = (place for place in self.waiting if place.counted_as == counted_as)
            if not self._displace(next(mine, None)):
                return None
        elif self.taken >= self.max_connections and not self.displace():
            return None
        place = Place(self, counted_as)
        self._places.add(place)
        if counted_as is not None:
            self._per_address[counted_as] += 1
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

    def _counted_as(self, address: str) -> str | None:
        try:
            # A zone ("fe80::1%eth0") is of this machine, not of the peer.
            known: Address = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return None
        if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is not None:
            known = known.ipv4_mapped
        if any(known in network for network in self._proxies):
            return None
        if isinstance(known, ipaddress.IPv6Address):
            # One customer has a whole /64 (RFC 6177), and as many addresses as he likes.
            return str(ipaddress.ip_network((known, 64), strict=False))
        return str(known)

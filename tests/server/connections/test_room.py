"""Who gets a place, and whose is taken away."""

import ipaddress

import pytest

from turnwire_server.connections.room import Place, Room

LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


class Visitor:
    """Somebody with a place, who notes that he had to go."""

    def __init__(self, place: Place | None) -> None:
        assert place is not None
        self.place = place
        self.is_gone = False

    def wait(self) -> "Visitor":
        """Ask for nothing."""
        self.place.wait(self._go)
        return self

    def _go(self) -> None:
        self.is_gone = True


def room(most: int = 100, per_address: int = 100) -> Room:
    """A room with a proxy on this machine."""
    return Room(max_connections=most, max_per_address=per_address, proxies=[LOOPBACK])


def test_who_waits_longest_gives_way_and_who_is_served_never() -> None:
    full = room(most=3)
    served, early, late = (Visitor(full.enter("192.0.2.1")).wait() for _ in range(3))
    served.place.work()
    Visitor(full.enter("192.0.2.2")).wait()
    assert (served.is_gone, early.is_gone, late.is_gone) == (False, True, False)
    assert full.taken == 3


def test_nobody_gets_in_where_all_are_served_until_one_leaves() -> None:
    full = room(most=1)
    only = Visitor(full.enter("192.0.2.1"))
    assert full.enter("192.0.2.2") is None
    only.place.leave()
    only.place.leave()
    assert full.taken == 0
    assert full.enter("192.0.2.2") is not None


def test_to_wait_again_does_not_make_one_wait_for_less_long() -> None:
    full = room(most=2)
    first, second = (Visitor(full.enter("192.0.2.1")).wait() for _ in range(2))
    first.wait()
    assert full.displace()
    assert (first.is_gone, second.is_gone) == (True, False)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("", "", False),
    ],
    ids=["v4", "mapped", "same-64", "other-64", "zone", "proxy", "none"],
)
def test_connections_are_counted_by_address_and_of_ipv6_by_its_64(
    one: str, other: str, is_same: bool
) -> None:
    narrow = room(per_address=1)
    assert narrow.enter(one) is not None
    assert (narrow.enter(other) is None) == is_same


def test_of_an_address_with_too_many_its_own_give_way_first() -> None:
    narrow = room(per_address=1)
    other = Visitor(narrow.enter("192.0.2.1")).wait()
    mine = Visitor(narrow.enter("192.0.2.2")).wait()
    assert narrow.enter("192.0.2.2") is not None
    assert (other.is_gone, mine.is_gone) == (False, True)

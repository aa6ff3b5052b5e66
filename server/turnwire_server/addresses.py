"""Addresses of peers: as what they are counted, and who stands behind a proxy. Pure."""

import ipaddress
from collections.abc import Sequence

__all__ = ["Network", "client_of", "counted_as"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def counted_as(address: str, proxies: Sequence[Network]) -> str | None:
    """The address, or of IPv6 its network; None: many may come from it, or it is none."""
    known = _known(address)
    if known is None or _is_in(known, proxies):
        return None
    if isinstance(known, ipaddress.IPv6Address):
        # One customer has a whole /64 (RFC 6177), and as many addresses as he likes.
        return str(ipaddress.ip_network((known, 64), strict=False))
    return str(known)


def client_of(peer: str, forwarded_for: str, proxies: Sequence[Network]) -> str:
    """Who asks: the peer or, if that is one of `proxies`, whom it names in `X-Forwarded-For`.

    Read from the right, where each proxy adds the peer it has seen. What stands left of the first
    address that is no proxy, anybody may have written.
    """
    client = peer
    for hop in reversed(forwarded_for.split(",")):
        known = _known(client)
        if known is None or not _is_in(known, proxies) or _known(hop.strip()) is None:
            break
        client = hop.strip()
    return client


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _known(address: str) -> Address | None:
    try:
        # A zone ("fe80::1%eth0") is of this machine, not of the peer.
        known: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is not None:
        return known.ipv4_mapped
    return known

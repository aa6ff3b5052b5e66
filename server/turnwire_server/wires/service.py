"""What a wire is given: the core's port, and the bounds that hold on every transport."""

from dataclasses import dataclass

from turnwire_server.core.blobs.blobs import Blobs
from turnwire_server.core.hub import Hub
from turnwire_server.core.limits import Places, ServiceLimits
from turnwire_server.core.turn.options import Policy
from turnwire_server.transports.access import Access
from turnwire_server.transports.body import Bodies
from turnwire_server.transports.handshake import Peer

__all__ = ["Service"]


@dataclass(slots=True, frozen=True)
class Service:
    """One service, as its wires see it."""

    hub: Hub
    blobs: Blobs
    access: Access
    policy: Policy
    limits: ServiceLimits
    bodies: Bodies
    """Reads bodies of wires, which are larger than commands: they carry the whole conversation."""
    streams: Places
    """The streams of each principal, over all transports."""
    sockets: Places
    """The same of sockets."""
    peers: set[Peer]
    """Sockets that are told when the service goes away."""
    keepalive_seconds: float

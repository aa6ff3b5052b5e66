"""What an endpoint is given: the core's port, and the bounds that hold on every transport."""

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from turnwire_server.core.blobs.blobs import Blobs
from turnwire_server.core.hub import Hub
from turnwire_server.core.limits import Places, ServiceLimits
from turnwire_server.core.turn.options import Policy
from turnwire_server.transports.access import Access
from turnwire_server.transports.body import Bodies
from turnwire_server.transports.handshake import Peer

__all__ = ["Service", "service_of"]

KEY = "turnwire"
"""Under which a request's scope has the service that is asked."""


@dataclass(slots=True, frozen=True)
class Service:
    """One service, as its endpoints and wires see it."""

    hub: Hub
    blobs: Blobs
    access: Access
    policy: Policy
    limits: ServiceLimits
    commands: Bodies
    """Reads the bodies of commands."""
    bodies: Bodies
    """Reads bodies of wires, which are larger: they carry the whole conversation."""
    streams: Places
    """The streams of each principal, over all transports."""
    sockets: Places
    """The same of sockets."""
    peers: set[Peer]
    """Sockets that are told when the service goes away."""
    keepalive_seconds: float


def service_of(connection: HTTPConnection) -> Service:
    """The service whose endpoint is asked; see `endpoints.per_service`."""
    service: Service = connection.scope[KEY]
    return service

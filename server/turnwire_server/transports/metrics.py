"""`GET /metrics`, for Prometheus."""

from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from turnwire_server.transports.access import Access
from turnwire_server.transports.endpoints import guarded

__all__ = ["metrics_router"]


def metrics_router(
    access: Access, shown: Callable[[str], tuple[bytes, str]], *, needs_token: bool
) -> APIRouter:
    """Who knows the service's one token is shown them; where there is none, this machine is.

    An app's own authenticator tells people, and what the metrics say is of all of them: there, too,
    this machine alone is served. `shown`: Accept header → what there is, and its media type.
    """
    route = guarded(access, needs_principal=needs_token)
    router = APIRouter(include_in_schema=False, route_class=route)

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        if not needs_token:
            access.check_machine(request)
        content, media_type = shown(request.headers.get("accept", ""))
        return Response(content, media_type=media_type)

    return router

"""The endpoints of AG-UI, and the routes that CopilotKit's front end asks for."""

from fastapi import APIRouter

from turnwire_server.transports.http import guarded
from turnwire_server.wires.service import Service

__all__ = ["ag_ui_router"]


def ag_ui_router(service: Service) -> APIRouter:
    """All endpoints of the wire."""
    return APIRouter(prefix="/v1/ag-ui", tags=["ag_ui"], route_class=guarded(service.access))

"""The endpoints of the AI SDK's UI message stream, v5, v6 and v7."""

from fastapi import APIRouter

from turnwire_server.transports.http import guarded
from turnwire_server.wires.service import Service

__all__ = ["ai_sdk_router"]


def ai_sdk_router(service: Service) -> APIRouter:
    """All endpoints of the wire."""
    return APIRouter(prefix="/v1/ai-sdk", tags=["ai_sdk"], route_class=guarded(service.access))

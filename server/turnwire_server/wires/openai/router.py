"""The endpoints of OpenAI's chat completions and models."""

from fastapi import APIRouter

from turnwire_server.transports.http import guarded
from turnwire_server.wires.service import Service

__all__ = ["openai_router"]


def openai_router(service: Service) -> APIRouter:
    """All endpoints of the wire."""
    return APIRouter(prefix="/openai/v1", tags=["openai"], route_class=guarded(service.access))

"""All wires, by the names that the setting `wires` has for them."""

from collections.abc import Callable, Mapping

from fastapi import APIRouter

from turnwire_server.settings import Wire
from turnwire_server.wires.ag_ui.router import ag_ui_router
from turnwire_server.wires.ai_sdk.router import ai_sdk_router
from turnwire_server.wires.openai.router import openai_router
from turnwire_server.wires.service import Service

__all__ = ["WIRES"]

WIRES: Mapping[Wire, Callable[[Service], APIRouter]] = {
    "ai_sdk": ai_sdk_router,
    "ag_ui": ag_ui_router,
    "openai": openai_router,
}

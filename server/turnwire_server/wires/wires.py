"""All wires, by the names that the setting `wires` has for them."""

from collections.abc import Callable, Mapping, Sequence

from starlette.routing import BaseRoute

from turnwire_server.settings import Wire
from turnwire_server.transports.service import Service
from turnwire_server.wires.ag_ui.router import ag_ui_routes
from turnwire_server.wires.ai_sdk.router import ai_sdk_routes
from turnwire_server.wires.openai.router import openai_routes

__all__ = ["WIRES"]

WIRES: Mapping[Wire, Callable[[Service], Sequence[BaseRoute]]] = {
    "ai_sdk": ai_sdk_routes,
    "ag_ui": ag_ui_routes,
    "openai": openai_routes,
}

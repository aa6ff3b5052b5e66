"""What the package is for who imports it, in one place; `__init__` loads it when first asked."""

from turnwire_server.app import Turnwire, create_app
from turnwire_server.errors import SettingsError, TurnwireError
from turnwire_server.tools.define import tool
from turnwire_server.tools.port import Tool, ToolContext

__all__ = [
    "SettingsError",
    "Tool",
    "ToolContext",
    "Turnwire",
    "TurnwireError",
    "create_app",
    "tool",
]

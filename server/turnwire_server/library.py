"""What the package is for who imports it, in one place; `__init__` loads it when first asked."""

from turnwire_server.app import Turnwire, create_app
from turnwire_server.core.past import PastTurn
from turnwire_server.core.turn.hooks import (
    CallContext,
    Document,
    Hooks,
    MessageContext,
    TurnContext,
    TurnEnd,
    TurnSetup,
)
from turnwire_server.errors import Rejected, SettingsError, TurnwireError
from turnwire_server.inprocess.conversation import LocalConversation
from turnwire_server.inprocess.reply import Reply, TurnFailed
from turnwire_server.inprocess.turn import LocalTurn
from turnwire_server.tools.define import tool
from turnwire_server.tools.port import Tool, ToolContext

__all__ = [
    "CallContext",
    "Document",
    "Hooks",
    "LocalConversation",
    "LocalTurn",
    "MessageContext",
    "PastTurn",
    "Rejected",
    "Reply",
    "SettingsError",
    "Tool",
    "ToolContext",
    "TurnContext",
    "TurnEnd",
    "TurnFailed",
    "TurnSetup",
    "Turnwire",
    "TurnwireError",
    "create_app",
    "tool",
]

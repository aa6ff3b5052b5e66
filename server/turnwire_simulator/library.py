"""What the package is for who imports it, in one place; `__init__` loads it when first asked."""

from turnwire_simulator.answer import Answer, Event
from turnwire_simulator.api import Simulator
from turnwire_simulator.blocks import (
    Compaction,
    Fallback,
    ProviderTool,
    RedactedThinking,
    Text,
    Thinking,
    ToolUse,
    Unknown,
    Whole,
)
from turnwire_simulator.controls import Cut, ErrorEvent, Gate, Pause, Raw, Stall
from turnwire_simulator.errors import Rejected, ScriptError, SimulatorError
from turnwire_simulator.fault import Fault

__all__ = [
    "Answer",
    "Compaction",
    "Cut",
    "ErrorEvent",
    "Event",
    "Fallback",
    "Fault",
    "Gate",
    "Pause",
    "ProviderTool",
    "Raw",
    "RedactedThinking",
    "Rejected",
    "ScriptError",
    "Simulator",
    "SimulatorError",
    "Stall",
    "Text",
    "Thinking",
    "ToolUse",
    "Unknown",
    "Whole",
]

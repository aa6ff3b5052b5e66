"""A strict, programmable stand-in for the Claude Messages API over real HTTP."""

from turnwire_simulator.answer import Answer, Event
from turnwire_simulator.api import Simulator
from turnwire_simulator.blocks import (
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

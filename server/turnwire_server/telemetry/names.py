"""What the settings name of OpenTelemetry: without loading any of it."""

from typing import Literal

__all__ = ["Signal", "UserNames"]

Signal = Literal["traces", "metrics"]
UserNames = Literal["none", "hashed", "plain"]

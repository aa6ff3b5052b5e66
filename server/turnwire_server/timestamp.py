"""Points in time as text: RFC 3339, UTC, as events and heads carry them."""

from datetime import UTC, datetime, timedelta
from typing import Literal

__all__ = ["timestamp"]


def timestamp(
    *,
    in_seconds: float = 0.0,
    precision: Literal["milliseconds", "microseconds"] = "milliseconds",
) -> str:
    """Now, or the instant that is `in_seconds` from now, for example `2026-11-25T10:00:00.000Z`."""
    at = datetime.now(UTC) + timedelta(seconds=in_seconds)
    return at.isoformat(timespec=precision).replace("+00:00", "Z")

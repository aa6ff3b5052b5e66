"""Tools of the demo: what `turnwire serve` offers when it has neither a key nor tools."""

import asyncio
from datetime import UTC, datetime

from turnwire_server.tools.tool import ToolContext, tool

__all__ = ["tools"]


@tool
async def weather(city: str, context: ToolContext) -> dict[str, object]:
    """The weather in a city, today. (Invented: this is a demo.)

    Args:
        city: Name of the city.
    """
    for step in range(1, 4):
        context.progress(f"asking station {step} of 3", step / 3)
        await asyncio.sleep(0.4)
    return {"city": city, "temperature_celsius": 12 + len(city) % 15, "sky": "partly cloudy"}


@tool
def clock() -> str:
    """The current date and time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


tools = [weather, clock]

"""Tools of the demo: what `turnwire serve` offers when it has neither a key nor tools."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field

from turnwire_server.tools.define import server_tool, tool
from turnwire_server.tools.port import ToolContext

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


@tool(approval=True)
async def send_email(
    to: Annotated[str, Field(examples=["ada@example.com"])],
    subject: Annotated[str, Field(examples=["A log is enough"])],
    text: Annotated[
        str,
        Field(
            examples=[
                "Dear Ada,\n\nevery conversation is a log here, and every reader a cursor.\n\nYours"
            ]
        ),
    ],
    context: ToolContext,
) -> str:
    """Send an email. (Nothing is sent: this is a demo.)

    Args:
        to: Address of the recipient.
        subject: What it is about.
        text: What it says.
    """
    context.progress("finding a stamp")
    await asyncio.sleep(1)
    return f"Sent to {to}, if this were not a demo."


tools = [weather, clock, send_email, server_tool("web_search")]

"""Tools of the demo: what `turnwire serve` offers when it has neither a key nor tools.

Written out, as what is derived of functions takes the SDK, for which this start shall not wait.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from turnwire_server.tools.define import server_tool
from turnwire_server.tools.port import CONTEXT, Tool

__all__ = ["tools"]


async def _weather(input: dict[str, Any]) -> dict[str, object]:
    city = input["city"]
    for step in range(1, 4):
        CONTEXT.get().progress(f"asking station {step} of 3", step / 3)
        await asyncio.sleep(0.4)
    return {"city": city, "temperature_celsius": 12 + len(city) % 15, "sky": "partly cloudy"}


async def _clock(input: dict[str, Any]) -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


async def _send_email(input: dict[str, Any]) -> str:
    CONTEXT.get().progress("finding a stamp")
    await asyncio.sleep(1)
    return f"Sent to {input['to']}, if this were not a demo."


def _text(description: str, *examples: str) -> dict[str, object]:
    text: dict[str, object] = {"type": "string", "description": description}
    return {**text, "examples": [*examples]} if examples else text


def _tool(
    name: str,
    description: str,
    function: Callable[[dict[str, Any]], Awaitable[object]],
    *,
    approval: bool = False,
    **properties: dict[str, object],
) -> Tool:
    schema = {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }
    return Tool(
        name=name,
        description=description,
        input_schema=schema,
        function=function,
        is_async=True,
        approval=approval,
    )


_LETTER = "Dear Ada,\n\nevery conversation is a log here, and every reader a cursor.\n\nYours"

tools = [
    _tool(
        "weather",
        "The weather in a city, today. (Invented: this is a demo.)",
        _weather,
        city=_text("Name of the city."),
    ),
    _tool("clock", "The current date and time, in UTC.", _clock),
    _tool(
        "send_email",
        "Send an email. (Nothing is sent: this is a demo.)",
        _send_email,
        approval=True,
        to=_text("Address of the recipient.", "ada@example.com"),
        subject=_text("What it is about.", "A log is enough"),
        text=_text("What it says.", _LETTER),
    ),
    server_tool("web_search"),
]

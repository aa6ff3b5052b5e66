"""The tool of the service under test."""

import asyncio

from turnwire_server import tool


@tool
async def wait_for_rain(city: str) -> str:
    """Wait until it rains, which takes for ever.

    Args:
        city: Where.
    """
    await asyncio.Event().wait()
    return f"rain in {city}"

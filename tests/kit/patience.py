"""How long a test waits for what has to come; it says nothing about how fast that should be.

A wait that gives up too early makes a slow machine look like a fault, and one that gives up late
costs time only where something is broken. So there is one generous bound for every wait, and one
factor: `TURNWIRE_TEST_PATIENCE=3 pytest` on a machine on which even that is too short, 0.1 while
one repairs what hangs. Two minutes, because two processors with sixteen that want them needed one.
"""

import asyncio
import os

__all__ = ["PATIENCE_SECONDS", "SILENCE_SECONDS", "patience"]

PATIENCE_SECONDS = 120.0 * float(os.environ.get("TURNWIRE_TEST_PATIENCE", "1"))

SILENCE_SECONDS = PATIENCE_SECONDS / 100
"""For a test in which a limit of the service is to be met by one thing and not by the others: what
is well is not as slow as that, and the test sits it out."""


def patience() -> asyncio.Timeout:
    """Bounds what is awaited in a block: `async with patience(): ...`."""
    return asyncio.timeout(PATIENCE_SECONDS)

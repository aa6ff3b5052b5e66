"""How many of something a request may have: each is looked at on the event loop.

A body's bytes are bounded already (`limits.max_wire_body_bytes`), but eight megabytes are a million
of the smallest things, which would hold up everybody else for seconds.
"""

__all__ = ["MAX_ANSWERS", "MAX_MESSAGES", "MAX_PARTS", "MAX_TOOLS"]

MAX_MESSAGES = 20_000
"""In a list. Who has more may leave out the oldest: the log has them."""
MAX_PARTS = 1_000
"""Of a message that is to be answered: all are written into the log."""
MAX_TOOLS = 1_000
"""That a page offers, and entries of what it wants the model to know."""
MAX_ANSWERS = 2_000
"""To calls of tools: each is put to the hub, and no turn has more."""

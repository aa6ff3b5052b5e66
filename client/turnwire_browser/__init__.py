"""The folder of the browser's files; knows nothing of how they are served."""

from pathlib import Path

__all__ = ["STATIC"]

STATIC = Path(__file__).parent / "static"
"""The chat page and `turnwire.js`: ES modules, served as they are."""

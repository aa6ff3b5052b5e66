"""The folder of the browser's files; knows nothing of how they are served."""

from pathlib import Path

__all__ = ["BUILT"]

BUILT = Path(__file__).parent / "built"
"""The chat page and `turnwire.js`, as `build.mjs` makes them of `static/`: what is served.

A wheel and an sdist have it; in a checkout the installation makes it, or
`python -m turnwire_browser.build`.
"""

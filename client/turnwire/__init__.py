"""Realtime chat with Claude over a Turnwire server: `async with connect(url) as wire`."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turnwire.library import *  # noqa: F403


def __getattr__(name: str) -> object:
    # What the package is for is loaded when it is asked for: a command line starts without most.
    if name.startswith("__") and name not in ("__all__", "__version__"):
        raise AttributeError(name)
    value: object = getattr(import_module("turnwire.library"), name)
    return value


def __dir__() -> list[str]:
    # Who asks for the names, to complete one or to look around, is not in such a hurry.
    return sorted({*globals(), *import_module("turnwire.library").__all__})

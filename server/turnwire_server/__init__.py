"""The Turnwire service: the agent loop, the log, and the transports over it."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from turnwire_server.library import *  # noqa: F403


def __getattr__(name: str) -> object:
    # What the package is for is loaded when it is asked for: a command line starts without most.
    if name.startswith("__") and name != "__all__":
        raise AttributeError(name)
    value: object = getattr(import_module("turnwire_server.library"), name)
    return value


def __dir__() -> list[str]:
    # Who asks for the names, to complete one or to look around, is not in such a hurry.
    return sorted({*globals(), *import_module("turnwire_server.library").__all__})

"""What the processes that share a database should have alike, so that they can be compared."""

import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from turnwire_server.model.port import ToolForm
from turnwire_server.settings import Settings

__all__ = ["alike"]

_OWN = {"host", "port", "workers", "db", "proxies", "drain_grace", "token", "tools", "mcp"}
_OWN |= {"metrics", "trace_content", "trace_users", "trace_propagate", "log_format"}
"""Settings that each may have otherwise, or that are compared by what they lead to."""


def alike(
    settings: Settings,
    *,
    authenticate: Callable[..., object] | None,
    tools: Sequence[ToolForm],
) -> Mapping[str, str]:
    """Texts by name, some of them secret: nobody may be shown more than whether they differ."""
    # A set has another order in each process.
    unordered = {name for name, value in settings if isinstance(value, frozenset)}
    found = {
        name: json.dumps(sorted(value) if name in unordered else value, sort_keys=True)
        for name, value in settings.model_dump(mode="json", exclude=_OWN).items()
    }
    found["version"] = version("turnwire")
    found["token"] = settings.token or ""
    found["tools"] = json.dumps(tools, sort_keys=True)
    found["mcp"] = "" if settings.mcp is None else Path(settings.mcp).read_text("utf-8")
    if settings.token is None and authenticate is not None:
        # What it does cannot be compared.
        found["authenticate"] = getattr(authenticate, "__qualname__", type(authenticate).__name__)
    return found

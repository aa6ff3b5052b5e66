"""File descriptors: as many as the process may have, and not all of them for connections."""

import sys

__all__ = ["raise_descriptors", "room_for_connections"]

_ENOUGH = 65_536
"""Where there is no hard limit at all."""

_LEAST_RESERVE = 64


def raise_descriptors() -> None:
    """Raise this process's soft limit on open files to the hard one, where there is such a thing.

    For a process of our own only: an app that we are a part of, and its children, may count on the
    soft limit (`select` takes no descriptor above 1023).
    """
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, _ENOUGH) if hard == resource.RLIM_INFINITY else hard
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        # macOS refuses what is above a limit of its kernel, which it does not tell here.
        return


def room_for_connections(max_connections: int) -> int:
    """How many connections may be open: a quarter of the descriptors stay for the model, the
    database and the tools, so that those who are in are served whatever knocks."""
    if sys.platform == "win32":
        return max_connections
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return max_connections
    reserve = min(max(_LEAST_RESERVE, soft // 4), soft // 2)
    return max(1, min(max_connections, soft - reserve))

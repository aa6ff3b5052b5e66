"""The heap: what a large moment took goes back to the system.

Python frees at once what a conversation held when it closes, and the C library keeps it for later:
the process would stay as large as it ever was.
"""

import asyncio
import contextlib
import ctypes
import gc
import sys

__all__ = ["free_bytes", "give_back", "keep_small", "spare_the_collector"]

_LOOK_SECONDS = 60.0
_WORTH_BYTES = 32 * 1024 * 1024
_WORTH_BLOCKS = 200_000
"""Of Python's own allocator: some 20 MiB. It gives back what is wholly free, a MiB at a time."""
_FEW_BLOCKS = 400_000
"""So much more than at first may be there when the collector runs, which looks at all of it."""


class _MallocInfo(ctypes.Structure):
    """`struct mallinfo2` (https://man7.org/linux/man-pages/man3/mallinfo.3.html)."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def spare_the_collector() -> None:
    """Collect garbage less often, and never look at the program's own objects again: with hundreds
    of turns, one full collection delays every token by a quarter of a second."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)


def free_bytes() -> int | None:
    """What the C library has and nobody uses; None where it does not tell (it is not glibc)."""
    try:
        told = ctypes.CDLL(None).mallinfo2
    except (AttributeError, OSError, TypeError):
        return None
    told.restype = _MallocInfo
    free: int = told().fordblks
    return free


def give_back() -> None:
    """Return free pages to the system: milliseconds, in which the interpreter goes on."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


async def keep_small() -> None:
    """Give back now and then what has become free; runs until it is cancelled."""
    least = free_bytes()
    first = most = sys.getallocatedblocks()
    while least is not None:
        await asyncio.sleep(_LOOK_SECONDS)
        blocks = sys.getallocatedblocks()
        most = max(most, blocks)
        if most - blocks >= _WORTH_BLOCKS and blocks - first <= _FEW_BLOCKS:
            # For its side effect: the interpreter's lists of free objects are emptied, each of
            # which holds up the return of a whole MiB.
            gc.collect()
            most = sys.getallocatedblocks()
            least -= _WORTH_BYTES  # Look below at what became free.
        free = free_bytes() or 0
        if free - least >= _WORTH_BYTES:
            await asyncio.to_thread(give_back)
            # What was given back counts as free all the same: look for what comes to it.
            least = free = free_bytes() or 0
        least = min(least, free)

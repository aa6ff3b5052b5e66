"""The heap: what a large moment took goes back to the system.

Python frees at once what a conversation held when it closes, and the C library keeps it for later:
the process would stay as large as it ever was.
"""

import asyncio
import contextlib
import ctypes
import gc
import mmap
import sys

__all__ = ["free_bytes", "give_back", "keep_small", "spare_the_collector"]

_LOOK_SECONDS = 60.0
_WORTH_BYTES = 32 * 1024 * 1024
_FEW_BLOCKS = 400_000
"""Of Python's own allocator: so many more than at first may be there when the collector runs, which
looks at all of it."""


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


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as told:
        return int(told.read().split()[1]) * mmap.PAGESIZE


async def keep_small() -> None:
    """Give back now and then what has become free; runs until it is cancelled."""
    least = free_bytes()
    if least is None:
        return
    first, kept = sys.getallocatedblocks(), _resident_bytes()
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        is_quiet = sys.getallocatedblocks() - first <= _FEW_BLOCKS
        is_large = is_quiet and _resident_bytes() - kept >= _WORTH_BYTES
        if is_large:
            # For its side effect: the interpreter's lists of free objects are emptied, each of
            # which holds up the return of a whole MiB of Python's own allocator.
            gc.collect()
        if is_large or (free_bytes() or 0) - least >= _WORTH_BYTES:
            await asyncio.to_thread(give_back)
            # What was given back counts as free all the same: look for what comes to it.
            least = free_bytes() or 0
        if is_large:
            kept = _resident_bytes()
        least = min(least, free_bytes() or 0)

"""What a large moment took goes back to the system."""

import subprocess
import sys

import pytest

from tests.kit.patience import PATIENCE_SECONDS

SCRIPT = """
import os
from turnwire_server.heap import free_bytes, give_back

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before, free = resident(), free_bytes()
# Above what Python's own allocator takes, and below what is mapped by itself.
many = [bytes(2000) for _ in range(50_000)]
kept = many[::100]
del many
large, freed = resident(), free_bytes()
give_back()
print(large - before, freed - free, large - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that keeps what is freed")
def test_what_is_free_is_seen_and_goes_back() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, timeout=PATIENCE_SECONDS, check=True
    )
    grown, freed, gone = map(int, ended.stdout.split())
    assert grown > 90_000_000
    assert freed > 90_000_000
    assert gone > 50_000_000


LOOKING = """
import asyncio, gc
from turnwire_server import heap

heap._LOOK_SECONDS = 0.001
collected = []
gc.disable()
gc.callbacks.append(lambda phase, info: collected.append(phase))

async def looked():
    # Timers go off in the order in which they are due.
    await asyncio.sleep(0.01)

async def main():
    looking = asyncio.create_task(heap.keep_small())
    await looked()
    many = [[] for _ in range(1_000_000)]
    await looked()
    before = len(collected)
    # What stays holds up the return of all that is around it.
    kept = many[::1000]
    del many
    await looked()
    print(before, len(collected) > 0)
    looking.cancel()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc that keeps what is freed")
def test_of_a_process_that_stays_large_the_free_lists_are_emptied_when_it_is_quiet() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", LOOKING], capture_output=True, timeout=PATIENCE_SECONDS, check=True
    )
    assert ended.stdout.split() == [b"0", b"True"]

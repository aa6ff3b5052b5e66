"""SQLite's threads: a call that failed keeps nothing of what it was to do."""

import gc
import weakref
from collections.abc import Iterator
from functools import partial

import pytest

from turnwire_server.errors import StoreError
from turnwire_server.store.sqlite.lane import Lane


class Batches:
    """What a call was given."""


@pytest.fixture
def lane() -> Iterator[Lane]:
    lane = Lane("test")
    yield lane
    lane.close()
    lane.join()


@pytest.fixture
def _no_collector() -> Iterator[None]:
    """As `turnwire serve` is nearly always."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def fails(lane: Lane) -> "weakref.ref[Batches]":
    batches = Batches()
    kept = weakref.ref(batches)

    def work() -> None:
        raise OSError(str(batches))

    with pytest.raises(OSError, match="Batches"):
        await lane.run(work)
    return kept


@pytest.mark.usefixtures("_no_collector")
async def test_what_failed_is_gone_without_a_collector(lane: Lane) -> None:
    kept = [await fails(lane) for _ in range(3)]
    await lane.run(lambda: None)  # The thread is done with the last one.
    assert [each() for each in kept] == [None] * 3


async def test_calls_run_in_order_and_a_closed_lane_takes_none(lane: Lane) -> None:
    order: list[int] = []
    calls = [lane.run(partial(order.append, number)) for number in range(5)]
    lane.close()
    for call in calls:
        await call
    assert order == [0, 1, 2, 3, 4]
    with pytest.raises(StoreError, match="closed"):
        lane.run(lambda: None)

"""The pace of reading: few streams wait for nothing, many are read together."""

import asyncio
from contextlib import ExitStack

import pytest

from tests.kit.patience import patience
from turnwire_server.model.pace import Pace

MANY = 1_000


@pytest.fixture
def pace() -> Pace:
    """As a service has one."""
    return Pace()


async def waiting(pace: Pace) -> asyncio.Task[None]:
    """A stream that waits for the next tick."""
    task = asyncio.create_task(pace.tick())
    await asyncio.sleep(0)
    return task


async def test_the_first_read_waits_for_nothing(pace: Pace) -> None:
    with pace.stream():
        task = await waiting(pace)
        assert task.done()


async def test_many_streams_are_released_together(pace: Pace) -> None:
    with ExitStack() as streams:
        for _ in range(MANY):
            streams.enter_context(pace.stream())
        await pace.tick()
        tasks = [await waiting(pace) for _ in range(3)]
        assert not any(task.done() for task in tasks)
        async with patience():
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert all(task.done() for task in tasks)


async def test_a_stream_that_is_stopped_takes_no_other_with_it(pace: Pace) -> None:
    with ExitStack() as streams:
        for _ in range(MANY):
            streams.enter_context(pace.stream())
        await pace.tick()
        stopped, other = await waiting(pace), await waiting(pace)
        stopped.cancel()
        async with patience():
            await other
        assert stopped.cancelled()


async def test_streams_that_have_ended_hold_nobody_up(pace: Pace) -> None:
    with ExitStack() as streams:
        for _ in range(MANY):
            streams.enter_context(pace.stream())
        await pace.tick()
    task = await waiting(pace)
    assert task.done()

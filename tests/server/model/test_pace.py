"""The pace of reading: as tokens come while there is time, together when there is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import httpx2
import pytest

from tests.kit.patience import patience
from turnwire_server.model.claude import Claude
from turnwire_server.model.clients import connect
from turnwire_server.model.pace import Pace
from turnwire_server.model.port import ModelRequest, TextPart

MANY = 1_000


class Machine:
    """A machine on which time passes as the test says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.worked = 0.0
        self.pace = Pace(clock=lambda: self.now, cpu=lambda: self.worked)

    async def work(self, share: float, *, seconds: float = 10.0) -> None:
        """Time passes, of which the process uses this share."""
        self.now += seconds
        self.worked += share * seconds
        await self.pace.tick()


@pytest.fixture
def machine() -> Machine:
    return Machine()


async def waiting(pace: Pace) -> asyncio.Task[None]:
    """A stream that waits for the next tick."""
    task = asyncio.create_task(pace.tick())
    await asyncio.sleep(0)
    return task


def many(pace: Pace, number: int = MANY) -> ExitStack:
    """So many streams."""
    with ExitStack() as streams:
        for _ in range(number):
            streams.enter_context(pace.stream())
        return streams.pop_all()


@pytest.mark.parametrize("number", [1, MANY])
async def test_while_there_is_time_nobody_waits(machine: Machine, number: int) -> None:
    with many(machine.pace, number):
        await machine.work(0.1)
        tasks = [await waiting(machine.pace) for _ in range(3)]
        assert all(task.done() for task in tasks)


async def test_more_is_gathered_the_fuller_the_process_is(machine: Machine) -> None:
    gathered = []
    with many(machine.pace):
        for share in (0.0, 0.15, 0.3, 0.5, 0.65, 0.8, 1.0):
            await machine.work(share)
            gathered.append(machine.pace.seconds)
    assert gathered[:2] == [0, 0]
    assert gathered == sorted(gathered)
    assert gathered[3] == pytest.approx(0.008)
    assert gathered[5:] == [0.05, 0.05]


async def test_a_busy_moment_is_no_load(machine: Machine) -> None:
    with many(machine.pace):
        await machine.work(0.0)
        await machine.work(0.4, seconds=0.1)
        assert machine.pace.seconds < 0.002


async def test_a_few_that_come_as_fast_as_they_can_are_not_throttled(machine: Machine) -> None:
    with many(machine.pace, 4):
        await machine.work(1.0)
        assert machine.pace.seconds == pytest.approx(0.004)


async def test_many_streams_are_released_together(machine: Machine) -> None:
    with many(machine.pace):
        await machine.work(1.0)
        tasks = [await waiting(machine.pace) for _ in range(3)]
        assert not any(task.done() for task in tasks)
        async with patience():
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert all(task.done() for task in tasks)


async def test_a_stream_that_is_stopped_takes_no_other_with_it(machine: Machine) -> None:
    with many(machine.pace):
        await machine.work(1.0)
        stopped, other = await waiting(machine.pace), await waiting(machine.pace)
        stopped.cancel()
        async with patience():
            await other
        assert stopped.cancelled()


async def test_streams_that_have_ended_hold_nobody_up(machine: Machine) -> None:
    with many(machine.pace):
        await machine.work(1.0)
    task = await waiting(machine.pace)
    assert task.done()


class Chunks(httpx2.AsyncByteStream):
    """A body whose bytes come when the test says."""

    def __init__(self) -> None:
        self.queue = asyncio.Queue[bytes]()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            yield await self.queue.get()


async def test_a_token_that_arrives_is_told_within_two_rounds_of_the_loop() -> None:
    chunks = Chunks()
    respond = httpx2.MockTransport(
        lambda request: httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, stream=chunks
        )
    )
    client = connect("http://127.0.0.1:1", "key", trust_env=False)
    claude = Claude(client.with_options(http_client=httpx2.AsyncClient(transport=respond)))
    start = b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'
    delta = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}'
    request = ModelRequest("claude-simulated", [{"role": "user", "content": "?"}], 16)
    async with patience(), claude.stream(request) as answer:
        chunks.queue.put_nowait(b"event: content_block_start\ndata: " + start + b"\n\n")
        for _ in range(3):
            reading = asyncio.ensure_future(anext(answer))
            await asyncio.sleep(0)
            chunks.queue.put_nowait(b"event: content_block_delta\ndata: " + delta + b"\n\n")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert reading.done()
            assert reading.result() == [TextPart(0, "a")]
    await claude.close()

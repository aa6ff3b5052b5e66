"""The pace of reading: as tokens come while there is time, together when there is not."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from tests.kit.patience import patience
from turnwire_server.model.claude import Claude
from turnwire_server.model.clients import connect
from turnwire_server.model.pace import Pace, core_seconds
from turnwire_server.model.port import ModelRequest, TextPart

MANY = 1_000


class Machine:
    """A machine on which time passes as the test says."""

    def __init__(self) -> None:
        self.now = 0.0
        self.worked = 0.0
        self.wanted = 0.0
        self.pace = Pace(clock=lambda: self.now, used=lambda: (self.worked, self.wanted))

    async def work(
        self, share: float, *, seconds: float = 10.0, wanted: float | None = None
    ) -> None:
        """Time passes, of which the process uses this share, and would have used that."""
        self.now += seconds
        self.worked += share * seconds
        self.wanted += (share if wanted is None else wanted) * seconds
        await self.pace.hold()


@pytest.fixture
def machine() -> Machine:
    return Machine()


async def waiting(wait: Callable[[], Coroutine[None, None, None]]) -> asyncio.Task[None]:
    """A stream that waits for the next tick, if it has to."""
    task = asyncio.create_task(wait())
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
        for wait in (machine.pace.hold, machine.pace.rest):
            tasks = [await waiting(wait) for _ in range(3)]
            assert all(task.done() for task in tasks)


async def test_more_is_gathered_the_fuller_the_process_is(machine: Machine) -> None:
    gathered = []
    with many(machine.pace):
        for share in (0.0, 0.1, 0.2, 0.3, 0.45, 0.48, 0.5, 1.0):
            await machine.work(share)
            gathered.append(machine.pace.seconds)
    assert gathered[:2] == [0, 0]
    assert gathered == sorted(gathered)
    assert gathered[3:5] == [pytest.approx(0.01), pytest.approx(0.01)]
    assert gathered[6:] == [pytest.approx(0.05), pytest.approx(0.08)]


async def test_who_has_to_wait_for_a_core_gathers_as_who_is_busy(machine: Machine) -> None:
    with many(machine.pace):
        await machine.work(0.25, wanted=1.0)
        assert machine.pace.seconds == pytest.approx(0.08)
        await machine.work(0.5, wanted=0.0)
        assert machine.pace.seconds == pytest.approx(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="nobody says how long a thread has waited")
def test_a_thread_that_waits_for_a_core_is_known_to_be_ready() -> None:
    worked, ready = time.process_time(), time.thread_time()
    told = Path("/proc/thread-self/schedstat").read_text()
    ready += int(told.split()[1]) / 1e9
    now = core_seconds()
    assert (now[0] >= worked, now[1] >= ready) == (True, True)


async def test_for_a_short_while_what_was_read_is_held_and_for_a_long_one_nothing_is_read(
    machine: Machine,
) -> None:
    with many(machine.pace):
        for share, is_long in ((0.3, False), (1.0, True)):
            await machine.work(share)
            await machine.pace.rest()  # The tick that was due meanwhile.
            held, rested = await waiting(machine.pace.hold), await waiting(machine.pace.rest)
            assert (held.done(), rested.done()) == (is_long, not is_long)
            async with patience():
                await asyncio.gather(held, rested)


async def test_a_busy_moment_is_no_load(machine: Machine) -> None:
    with many(machine.pace):
        await machine.work(0.0)
        await machine.work(0.4, seconds=0.2)
        assert 0 < machine.pace.seconds < 0.006


async def test_a_few_that_come_as_fast_as_they_can_are_not_throttled(machine: Machine) -> None:
    with many(machine.pace, 4):
        await machine.work(1.0)
        assert machine.pace.seconds == pytest.approx(0.004)


async def test_many_streams_are_released_together(machine: Machine) -> None:
    with many(machine.pace):
        await machine.work(1.0)
        await machine.pace.rest()
        tasks = [await waiting(machine.pace.rest) for _ in range(3)]
        assert not any(task.done() for task in tasks)
        async with patience():
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert all(task.done() for task in tasks)


async def test_those_who_gather_for_long_are_read_in_groups(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[Callable[[], None]] = []

    def call_later(seconds: float, callback: Callable[[float], None], tick: float) -> None:
        assert 0 < seconds <= 0.08
        timers.append(lambda: callback(tick))

    with many(machine.pace):
        await machine.work(1.0)
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
        tasks = [await waiting(machine.pace.rest) for _ in range(2)]
        machine.now += 0.025
        tasks.append(await waiting(machine.pace.rest))
        first, second = timers
        for release, released in ((first, [True, True, False]), (second, [True] * 3)):
            release()
            await asyncio.sleep(0)
            assert [task.done() for task in tasks] == released


async def test_a_stream_that_is_stopped_takes_no_other_with_it(machine: Machine) -> None:
    with many(machine.pace):
        await machine.work(1.0)
        await machine.pace.rest()
        stopped, other = await waiting(machine.pace.rest), await waiting(machine.pace.rest)
        stopped.cancel()
        async with patience():
            await other
        assert stopped.cancelled()


async def test_streams_that_have_ended_hold_nobody_up(machine: Machine) -> None:
    with many(machine.pace):
        await machine.work(1.0)
        await machine.pace.rest()
    task = await waiting(machine.pace.rest)
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

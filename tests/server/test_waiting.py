"""What a connection's tasks wait for."""

import asyncio

from tests.kit.patience import patience
from turnwire_server.waiting import Flag, Mailbox


async def begun(*tasks: asyncio.Task[object]) -> None:
    """They have run as far as they get."""
    await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_a_flag_lets_all_go_on_who_wait_also_where_it_is_cleared_at_once() -> None:
    flag = Flag()
    tasks = [asyncio.create_task(flag.wait()) for _ in range(3)]
    await begun(*tasks)
    flag.set()
    flag.clear()
    late = asyncio.create_task(flag.wait())
    async with patience():
        await asyncio.gather(*tasks)
    await begun(late)
    flag.set()
    async with patience():
        await late
        await flag.wait()


async def test_who_waits_for_a_flag_no_more_holds_up_nobody() -> None:
    flag = Flag()
    stopped, other = (asyncio.create_task(flag.wait()) for _ in range(2))
    await begun(stopped, other)
    stopped.cancel()
    flag.set()
    async with patience():
        await other
        await asyncio.wait([stopped])
    assert stopped.cancelled()


async def test_a_mailbox_gives_each_once_in_order() -> None:
    box = Mailbox[int]()
    assert box.empty()
    taking = asyncio.create_task(box.get())
    await begun(taking)
    for number in range(3):
        box.put_nowait(number)
    async with patience():
        assert (await taking, await box.get(), box.get_nowait()) == (0, 1, 2)
    assert box.qsize() == 0


async def test_whoever_is_stopped_while_they_take_loses_nothing() -> None:
    box = Mailbox[int]()
    stopped = asyncio.create_task(box.get())
    await begun(stopped)
    box.put_nowait(1)
    stopped.cancel()
    async with patience():
        await asyncio.wait([stopped])
        assert await box.get() == 1

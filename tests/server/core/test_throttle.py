"""The throttle: one piece of work at a time, in the order of coming."""

import asyncio

from tests.kit.patience import patience
from turnwire_server.core.blobs.throttle import Throttle


async def test_pieces_of_work_never_overlap_and_have_their_turns_in_the_order_of_coming() -> None:
    throttle = Throttle(rest=1.0, max_rest_seconds=0.001)
    log: list[str] = []

    async def work(name: str) -> None:
        for _ in range(2):
            async with throttle.turn():
                log.append(f"{name} begins")
                await asyncio.sleep(0)
                log.append(f"{name} ends")

    async with patience():
        await asyncio.gather(work("a"), work("b"))
    assert log == [f"{name} {what}" for name in "abab" for what in ("begins", "ends")]


async def test_work_that_fails_lets_the_next_have_its_turn() -> None:
    throttle = Throttle(rest=1.0, max_rest_seconds=60.0)

    async def fail() -> None:
        async with throttle.turn():
            raise ValueError

    async with patience():
        results = await asyncio.gather(*(fail() for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError] * 3

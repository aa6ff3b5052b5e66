"""A node that cannot renew its lease gives up before others may take over, and says that it is not
ready, though nobody has asked anything of it."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.faults.log_readers import log_of
from tests.faults.test_storage import healed, ready
from tests.kit.oracle import check_log
from tests.kit.patience import patience
from tests.kit.postgres import postgres_server
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import wired
from turnwire_protocol import Done
from turnwire_simulator import Answer, Gate, Simulator, Text


async def until(ask: Callable[[], Awaitable[int]], expected: int) -> None:
    """Ask until that is the answer."""
    async with patience():
        while await ask() != expected:
            pass


async def test_without_postgresql_for_most_of_its_lease_a_node_is_as_good_as_dead(
    simulator: Simulator,
) -> None:
    with postgres_server() as postgres:
        async with (
            serving(turnwire_over(simulator, db=postgres.url(), lease=3.0)) as address,
            wired(address) as wire,
        ):
            simulator.program(Answer(Text(["one ", Gate(), "two"])))
            ack = await wire.ask("send", content="Hello")
            await wire.until("token")
            await asyncio.to_thread(postgres.kill)
            closed = await wire.until("closed")
            assert (closed["code"], closed["retryable"]) == ("storage_unavailable", True)
            assert await ready(address) == 503
            await asyncio.to_thread(postgres.start)
            await until(lambda: ready(address), 200)
            simulator.program(Answer(Text("three")))
            more = await healed(wire, content="And?", conversation=ack["conversation"])
            await wire.end(more["turn"])
            log = await log_of(address, ack["conversation"])
            check_log(log)
            assert [event.stop_reason for event in log if isinstance(event, Done)] == [
                "interrupted",
                "end_turn",
            ]


async def test_an_idle_node_without_postgresql_is_not_ready_until_it_is_back(
    simulator: Simulator,
) -> None:
    with postgres_server() as postgres:
        async with serving(turnwire_over(simulator, db=postgres.url(), lease=1.0)) as address:
            assert await ready(address) == 200
            await asyncio.to_thread(postgres.kill)
            await until(lambda: ready(address), 503)
            await asyncio.to_thread(postgres.start)
            await until(lambda: ready(address), 200)

"""PostgreSQL is killed with -9 under a running service: nothing acked is lost, and turns go on."""

import asyncio
import os
import random
from typing import Any

from tests.faults.log_readers import log_of
from tests.faults.test_storage import healed, ready
from tests.kit.oracle import check_log, check_reader
from tests.kit.patience import patience
from tests.kit.postgres import PostgresServer
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import wired
from turnwire_protocol import Message, fold
from turnwire_simulator import Answer, Gate, Simulator, Text

KILLS = int(os.environ.get("TURNWIRE_TEST_POSTGRES_KILLS", "5"))
CLIENTS = 4


async def test_a_turn_goes_on_when_postgresql_was_gone_for_a_while(
    simulator: Simulator, postgres: PostgresServer
) -> None:
    gate, said = Gate(), Gate()
    simulator.program(Answer(Text(["one ", gate, "two ", said, "three"])))
    async with (
        patience(),
        serving(turnwire_over(simulator, db=postgres.url())) as address,
        wired(address) as wire,
    ):
        ack = await wire.ask("send", content="Count")
        await wire.until("token")
        await asyncio.to_thread(postgres.kill)
        gate.open()
        refused = await wire.ask("send", content="meanwhile")
        assert (refused["code"], refused["retryable"]) == ("storage_unavailable", True)
        # The refusal may rest on what could not be read: the commit is still to fail.
        while await ready(address) != 503:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.01)
        await asyncio.to_thread(postgres.start)
        said.open()
        done = await wire.until("done", turn=ack["turn"])
        assert done["stop_reason"] == "end_turn"
        following = await healed(wire, content="next", conversation=ack["conversation"])
        await wire.until("done", turn=following["turn"])
        assert await ready(address) == 200
        log = await log_of(address, ack["conversation"])
        check_log(log)
        check_reader(wire.events, log)
        assert fold(log).turns[ack["turn"]].text == "one two three"


async def test_where_it_is_gone_and_nothing_runs_the_first_refused_send_makes_it_not_ready(
    simulator: Simulator, postgres: PostgresServer
) -> None:
    async with (
        patience(),
        serving(turnwire_over(simulator, db=postgres.url())) as address,
        wired(address) as wire,
    ):
        await asyncio.to_thread(postgres.kill)
        said = {"content": "meanwhile", "key": "k"}
        refused = await wire.ask("send", **said)
        assert (refused["code"], refused["retryable"]) == ("storage_unavailable", True)
        assert await ready(address) == 503
        await asyncio.to_thread(postgres.start)
        ack = await healed(wire, **said)
        await wire.until("done", turn=ack["turn"])
        assert await ready(address) == 200


async def test_killed_at_random_moments_under_load_no_acked_send_is_lost(
    simulator: Simulator, postgres: PostgresServer
) -> None:
    chance = random.Random(14)
    simulator.answer_with(
        lambda body: Answer(Text([f"{number} " for number in range(20)]), tokens_per_second=200.0)
    )
    acked: dict[str, set[str]] = {}
    ends: set[str] = set()
    is_over = asyncio.Event()

    async def chat(address: str, name: str) -> None:
        async with wired(address) as wire:
            said: dict[str, Any] = {}
            number = 0
            while not is_over.is_set():
                number += 1
                key = f"{name}-{number}"
                ack = await healed(wire, content=key, key=key, **said)
                said = {"conversation": ack["conversation"]}
                acked.setdefault(ack["conversation"], set()).add(key)
                ends.add((await wire.until("done", turn=ack["turn"]))["stop_reason"])
            log = await log_of(address, ack["conversation"])
            check_log(log)
            check_reader(wire.events, log)

    async with serving(turnwire_over(simulator, db=postgres.url())) as address, patience():
        async with asyncio.TaskGroup() as group:
            for index in range(CLIENTS):
                group.create_task(chat(address, f"c{index}"))
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0.0, 0.3))  # Anywhere in what goes on.
                await asyncio.to_thread(postgres.kill)
                await asyncio.to_thread(postgres.start)
            is_over.set()
        assert len(acked) == CLIENTS
        for conversation, keys in acked.items():
            log = await log_of(address, conversation)
            stored = [event.key for event in log if isinstance(event, Message)]
            assert set(stored) == keys
            assert len(stored) == len(keys), "each of them once"
    assert ends == {"end_turn"}

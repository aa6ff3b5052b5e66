"""PostgreSQL fails over to a server that lacks the last commits: what readers have seen of them is
never mistaken for what comes in their place."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.faults.log_readers import log_of
from tests.faults.test_storage import healed
from tests.faults.turns import begun
from tests.kit.oracle import check_log, check_reader
from tests.kit.patience import patience
from tests.kit.postgres import PostgresServer
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import Wire, wired
from turnwire_protocol import Done, fold
from turnwire_simulator import Answer, Gate, Simulator, Text


async def resubscribed(wire: Wire, conversation: str, epoch: str, after: int) -> dict[str, Any]:
    """The ack of a subscription, which may have to be asked for again."""
    async with patience():
        while True:
            cursor = {"conversation": conversation, "epoch": epoch, "after": after}
            reply = await wire.ask("subscribe", **cursor)
            if reply["type"] == "ack":
                return reply
            assert reply["code"] == "storage_unavailable", reply


async def reread(wire: Wire, ack: dict[str, Any]) -> tuple[str, Done]:
    """Do as clients do until the turn is over; gives the epoch that it ended in, and its end."""
    epoch = ack["epoch"]
    while not (ends := [event for event in wire.events if isinstance(event, Done)]):
        message = await wire.receive()
        if message["type"] == "closed":
            assert (message["code"], message["retryable"]) == ("storage_unavailable", True)
            await resubscribed(wire, ack["conversation"], epoch, wire.seqs()[-1])
        elif message["type"] == "reset":
            epoch = message["epoch"]
            wire.events.clear()
    return epoch, ends[0]


def texts(events: Any) -> list[str]:
    return [turn.text for turn in fold(events).turns]


async def told(address: str, conversation: str, text: str) -> None:
    """Once the log has this much, which nobody need be there to read."""
    async with patience():
        while True:
            if texts(await log_of(address, conversation)) == [text]:
                return


async def all_over(url: str) -> None:
    """Once no turn is unfinished."""
    connection = await asyncpg.connect(url)
    try:
        async with patience():
            while await connection.fetchval("SELECT count(*) FROM conversations WHERE is_open"):
                pass
    finally:
        await connection.close()


async def test_a_turn_whose_end_was_lost_ends_interrupted_in_another_epoch(
    simulator: Simulator, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.url()
    async with (
        serving(turnwire_over(simulator, db=url)) as one,
        serving(turnwire_over(simulator, db=url)) as other,
        wired(one) as near,
        wired(other) as far,
        wired(one) as quiet,
    ):
        lost, kept = Gate(), Gate()
        ack = await begun(simulator, near, "one ", lost, "two ", Gate(), "three")
        unharmed = await begun(simulator, quiet, "four ", kept, "five")
        async with wired(one) as gone:
            unread = await begun(simulator, gone, "one ", lost, "two ", Gate(), "three")
        await resubscribed(far, ack["conversation"], ack["epoch"], ack["after"])
        await far.until("token")
        await asyncio.to_thread(postgres.copy)
        lost.open()
        for wire in (near, far):
            await wire.until("token")
        # What is not stored yet would be stored behind the failover, and nothing be lost of it.
        await told(one, unread["conversation"], "one two ")
        await asyncio.to_thread(postgres.fail_over)
        for address, wire in ((one, near), (other, far)):
            epoch, end = await reread(wire, ack)
            assert epoch != ack["epoch"]
            assert end.stop_reason == "interrupted"
            log = await log_of(address, ack["conversation"])
            check_log(log)
            check_reader(wire.events, log)
            assert texts(log) == ["one "]
        # What has lost nothing goes on as if nothing had been.
        kept.open()
        assert (await quiet.end(unharmed["turn"])).stop_reason == "end_turn"
        log = await log_of(other, unharmed["conversation"])
        check_log(log)
        assert texts(log) == ["four five"]
        await all_over(url)
        check_log(log := await log_of(other, unread["conversation"]))
        assert texts(log) == ["one "]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_seqs_that_are_given_away_a_second_time_are_of_another_epoch(
    simulator: Simulator, postgres: PostgresServer
) -> None:
    url = postgres.url()
    async with serving(turnwire_over(simulator, db=url)) as other, wired(other) as far:
        # Nobody who knew what was lost is there any more.
        async with serving(turnwire_over(simulator, db=url)) as one, wired(one) as near:
            ack = await begun(simulator, near, "one")
            await near.end(ack["turn"])
            into = {"conversation": ack["conversation"]}
            await asyncio.to_thread(postgres.copy)
            simulator.program(Answer(Text("two")))
            second = await near.ask("send", content="And?", **into)
            await near.end(second["turn"])
            new = await begun(simulator, near, "nobody will know")
            await near.end(new["turn"])
            seen = [e for e in near.events if e.conversation == ack["conversation"]][-1].seq
        await asyncio.to_thread(postgres.fail_over)
        simulator.answer_with(lambda body: Answer(Text("three")))
        after = 0
        while after <= seen:
            third = await healed(far, content="And?", **into)
            await far.end(third["turn"])
            after = third["after"]
        again = await resubscribed(far, ack["conversation"], ack["epoch"], seen)
        assert (again["after"], again["epoch"] == ack["epoch"]) == (0, False)
        await far.until("reset")
        log = await log_of(other, ack["conversation"])
        check_log(log)
        assert set(texts(log)) == {"one", "three"}
        reply = await far.ask("subscribe", conversation=new["conversation"], after=0)
        assert reply["code"] == "unknown_conversation"

"""Nodes that die, or stand still for too long: what they had under way another ends, once."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from tests.faults.log_readers import log_of
from tests.faults.server import KillableServer, several
from tests.faults.turns import begun, subscribed
from tests.kit.oracle import check_log, check_reader
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.postgres import fresh_url, postgres_server
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import Wire, wired
from turnwire_protocol import Done, Message, ToolExecuting
from turnwire_server.core import attendance, turn_queue
from turnwire_simulator import Answer, Gate, Simulator, Text, ToolUse

STOPS = int(os.environ.get("TURNWIRE_TEST_STOPS", "4"))
KILLS = int(os.environ.get("TURNWIRE_TEST_HOLDER_KILLS", "1"))
TOOLS = Path(__file__).with_name("tools.py")


@asynccontextmanager
async def nodes(
    simulator: Simulator, folder: Path, *, lease: float, db: str | None = None
) -> AsyncIterator[tuple[KillableServer, KillableServer]]:
    """Two that run; after `lease` seconds without a word one of them is dead."""
    flags = ("--tools", str(TOOLS), "--base-delay", "0.01", "--lease", str(lease))
    async with several(
        2, simulator.url, db or fresh_url(), *flags, log=folder / "serve.log"
    ) as servers:
        for server in servers:
            await server.start()
        yield servers[0], servers[1]


def ends(events: Any) -> list[str]:
    return [event.stop_reason for event in events if isinstance(event, Done)]


async def test_when_the_holder_is_killed_its_turn_ends_once_and_nothing_shown_is_lost(
    simulator: Simulator, tmp_path: Path
) -> None:
    late: list[float] = []
    url = fresh_url()
    async with nodes(simulator, tmp_path, lease=1.0, db=url) as (a, b), wired(b.address) as far:
        for number in range(KILLS):
            key = f"k-{number}"
            async with wired(a.address) as near:
                ack = await begun(simulator, near, "one ", Gate(), "two", key=key)
                await subscribed(far, ack)
                await far.until("token", turn=ack["turn"])
                a.kill()
                assert await near.closed() == 1006
                shown = near.events
            leased_until = await leased(url, ack["conversation"])
            assert (await far.end(ack["turn"])).stop_reason == "interrupted"
            late.append(await ended_after(url, ack["conversation"], leased_until))
            again = await far.ask("send", content="Hello", key=key)
            assert (again["turn"], again["seq"]) == (ack["turn"], ack["seq"])
            simulator.program(Answer(Text("three")))
            more = await far.ask("send", content="And?", conversation=ack["conversation"])
            assert (await far.end(more["turn"])).stop_reason == "end_turn"
            log = await log_of(b.address, ack["conversation"])
            check_log(log)
            check_reader([e for e in far.events if e.conversation == ack["conversation"]], log)
            check_reader(shown, log)
            assert ends(log) == ["interrupted", "end_turn"]
            await a.start()
    late.sort()
    print(
        f"{KILLS} holders killed: their turns ended {late[len(late) // 2]:.2f} s after the lease"
        f" had run out, at most {late[-1]:.2f} s"
    )
    assert late[0] >= 0, "nobody is dead whose lease still runs"


async def leased(url: str, conversation: str) -> datetime:
    """When the lease of its holder runs out, by the database's clock."""
    query = """SELECT lease_until FROM nodes JOIN conversations ON node = nodes.id
        WHERE conversations.id = $1"""
    return cast(datetime, await fetched(url, query, conversation))


async def ended_after(url: str, conversation: str, moment: datetime) -> float:
    """So many seconds after that moment its log was written last, by the database's clock."""
    query = """SELECT extract(epoch FROM updated_at::timestamptz - $2)::float8
        FROM conversations WHERE id = $1"""
    return cast(float, await fetched(url, query, conversation, moment))


async def fetched(url: str, query: str, *parameters: object) -> object:
    """One value of the database."""
    connection = await asyncpg.connect(url)
    try:
        return cast(object, await connection.fetchval(query, *parameters))
    finally:
        await connection.close()


async def test_a_node_that_comes_back_to_its_port_ends_at_once_what_it_had_under_way(
    simulator: Simulator, tmp_path: Path
) -> None:
    # Nobody outlives this lease: it is the name that tells.
    async with (
        nodes(simulator, tmp_path, lease=10_000.0) as (a, b),
        wired(b.address) as far,
    ):
        async with wired(a.address) as near:
            ack = await begun(simulator, near, "one ", Gate(), "two")
            await subscribed(far, ack)
            a.kill()
        await a.start()
        assert (await far.until("done"))["stop_reason"] == "interrupted"
        check_log(await log_of(a.address, ack["conversation"]))


async def test_what_a_node_does_that_stood_still_beyond_its_lease_has_no_effect(
    simulator: Simulator, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    async with nodes(simulator, tmp_path, lease=1.0) as (a, b), wired(b.address) as far:
        for number in range(STOPS):
            gate = Gate()
            call = ToolUse("act", {"path": str(trace)}, id=f"toolu_{number}")
            simulator.program(Answer(Text("one"), call, stop_reason="tool_use"))
            async with wired(a.address) as near:
                ack = await near.ask("send", content="act")
                approval = await near.until("tool_approval")
                spoken = await begun(simulator, near, "one ", gate, "two")
                for each in (ack, spoken):
                    await subscribed(far, each)
                a.stop()
                # What comes while it stands still lies in its sockets, and is done afterwards.
                named = {name: approval[name] for name in ("conversation", "tool_id")}
                decision = await near.send("decide", **named, decision="allow")
                gate.open()
                for each in (ack, spoken):
                    done = await far.end(each["turn"])
                    assert done.stop_reason == "interrupted"
                a.go_on()
                closed = [await near.until("closed") for _ in range(2)]
                assert {each["code"] for each in closed} == {"storage_unavailable"}
                assert all(each["retryable"] for each in closed)
            async with wired(a.address) as near:
                answer = await near.ask("decide", **named, decision="allow")
                assert answer["type"] == "reject"
                simulator.program(Answer(Text("three")))
                more = await near.ask("send", content="And?", conversation=ack["conversation"])
                assert (await near.end(more["turn"])).stop_reason == "end_turn"
            for each, expected in ((ack, ["interrupted", "end_turn"]), (spoken, ["interrupted"])):
                log = await log_of(b.address, each["conversation"])
                check_log(log)
                assert ends(log) == expected
                assert not [event for event in log if isinstance(event, ToolExecuting)]
                assert await log_of(a.address, each["conversation"]) == log
                check_reader([e for e in far.events if e.conversation == each["conversation"]], log)
            assert decision
    assert not trace.exists(), "no tool of it ran"


async def test_a_turn_goes_on_while_its_node_drains_and_is_stopped_from_another(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with nodes(simulator, tmp_path, lease=15.0) as (a, b), wired(b.address) as far:
        async with wired(a.address) as near:
            gate = Gate()
            ack = await begun(simulator, near, "one ", gate, "two")
            other = await begun(simulator, near, "one ", Gate(), "two")
            for each in (ack, other):
                await subscribed(far, each)
            a.terminate()
            await near.until("going_away")
            into = {"conversation": ack["conversation"], "if_busy": "queue"}
            refused = await far.ask("send", content="And?", **into)
            assert (refused["code"], refused["retryable"]) == ("draining", True)
            turn = {"conversation": other["conversation"], "turn": other["turn"]}
            assert (await far.ask("cancel", **turn))["outcome"] == "cancelling"
            assert (await far.end(other["turn"])).stop_reason == "cancelled"
            gate.open()
            assert (await far.end(ack["turn"])).stop_reason == "end_turn"
        await a.ended()
        simulator.program(Answer(Text("three")))
        more = await far.ask("send", content="And?", **into)
        assert (await far.end(more["turn"])).stop_reason == "end_turn"
        log = await log_of(b.address, ack["conversation"])
        check_log(log)
        assert len([event for event in log if isinstance(event, Message)]) == 2


async def test_what_is_said_and_deleted_elsewhere_is_seen_without_a_look(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attendance, "_LOOK_SECONDS", 10_000.0)
    url = fresh_url()
    async with (
        serving(turnwire_over(simulator, db=url)) as one,
        serving(turnwire_over(simulator, db=url)) as other,
        wired(one) as near,
        wired(other) as far,
    ):
        gate = Gate()
        ack = await begun(simulator, near, "one ", gate, "two")
        await subscribed(far, ack)
        await far.until("token")
        gate.open()
        await far.until("done")
        for wire in (far, near):
            simulator.program(Answer(Text("three")))
            more = await wire.ask("send", content="And?", conversation=ack["conversation"])
            for reader in (near, far):
                await reader.end(more["turn"])
        async with asking(one) as http:
            await http.delete(f"/v1/conversations/{ack['conversation']}")
        for wire in (near, far):
            assert (await wire.until("closed"))["code"] == "unknown_conversation"


async def test_a_reader_whose_name_was_lost_finds_the_next_turn_by_looking(
    simulator: Simulator,
) -> None:
    url = fresh_url()
    async with (
        serving(turnwire_over(simulator, db=url)) as one,
        serving(turnwire_over(simulator, db=url)) as other,
        wired(one) as near,
        wired(other) as far,
    ):
        simulator.program(Answer(Text("one")), Answer(Text("two")))
        ack = await near.ask("send", content="Hello")
        await near.until("done")
        await subscribed(far, ack)
        await far.until("done")
        connection = await asyncpg.connect(url)
        try:
            async with patience():
                while await connection.fetchval("SELECT count(*) FROM readers") < 2:
                    pass
            await connection.execute("DELETE FROM readers")
        finally:
            await connection.close()
        more = await near.ask("send", content="And?", conversation=ack["conversation"])
        assert (await far.end(more["turn"])).stop_reason == "end_turn"
        check_reader(far.events, await log_of(one, ack["conversation"]))


async def test_who_has_stopped_reading_at_once_is_no_reader(simulator: Simulator) -> None:
    url = fresh_url()
    async with (
        serving(turnwire_over(simulator, db=url)) as one,
        serving(turnwire_over(simulator, db=url)) as other,
        wired(one) as near,
        wired(other) as far,
    ):
        ack = await begun(simulator, near, "one ", Gate())
        cursor = {"conversation": ack["conversation"]}
        for _ in range(20):
            # What is said of the first is still under way when the second comes.
            ids = [await far.send("subscribe", **cursor), await far.send("unsubscribe", **cursor)]
            for id in ids:
                await far.until("ack", id=id)
        connection = await asyncpg.connect(url)
        try:
            async with patience():
                while await connection.fetchval("SELECT count(*) FROM readers"):
                    pass
            await far.ask("subscribe", **cursor)
            async with patience():
                while await connection.fetchval("SELECT count(*) FROM readers") != 1:
                    pass
            await far.ask("unsubscribe", **cursor)
            async with patience():
                while await connection.fetchval("SELECT count(*) FROM readers"):
                    pass
        finally:
            await connection.close()


async def test_when_postgresql_was_gone_for_a_while_nodes_find_each_other_again(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How soon it is back is the machine's affair.
    monkeypatch.setattr(turn_queue, "_MAX_UNDURABLE_SECONDS", PATIENCE_SECONDS)
    with postgres_server() as postgres:
        url = postgres.url()
        async with (
            serving(turnwire_over(simulator, db=url)) as one,
            serving(turnwire_over(simulator, db=url)) as other,
            wired(one) as near,
            wired(other) as far,
        ):
            gate, last = Gate(), Gate()
            ack = await begun(simulator, near, "one ", gate, "two ", last, "three")
            await subscribed(far, ack)
            await far.until("token")
            await asyncio.to_thread(postgres.kill)
            gate.open()
            await asyncio.to_thread(postgres.start)
            await far.until("token")
            # Its tables of readers and mail are empty now.
            simulator.program(Answer(Text("four")))
            queued = await asked(far, content="And?", conversation=ack["conversation"])
            last.open()
            for wire in (near, far):
                for turn in (ack, queued):
                    done = await wire.end(turn["turn"])
                    assert done.stop_reason == "end_turn"
            log = await log_of(other, ack["conversation"])
            check_log(log)
            for wire in (near, far):
                check_reader(wire.events, log)


async def asked(wire: Wire, **said: Any) -> dict[str, Any]:
    """The ack of a message that waits, sent again until it is taken."""
    async with patience():
        while True:
            answer = await wire.ask("send", key="k-queued", if_busy="queue", **said)
            if answer["type"] == "ack":
                return answer
            assert answer["code"] == "storage_unavailable", answer

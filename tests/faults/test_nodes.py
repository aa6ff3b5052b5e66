"""Three real nodes on one PostgreSQL: whichever of them one talks to, it is one conversation."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.faults.log_readers import log_of
from tests.faults.server import several
from tests.faults.turns import begun
from tests.kit.oracle import check_log, check_reader
from tests.kit.patience import patience
from tests.kit.postgres import fresh_url
from tests.kit.sse import asking
from tests.kit.wire import Wire, wired
from turnwire_protocol import ToolResult, fold
from turnwire_simulator import Answer, Gate, Simulator, Text, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOOLS = Path(__file__).with_name("tools.py")
KEYS = int(os.environ.get("TURNWIRE_TEST_KEYS", "10"))


@dataclass
class Cluster:
    """The nodes' addresses, and their model."""

    simulator: Simulator
    a: str
    b: str
    c: str

    @property
    def all(self) -> tuple[str, str, str]:
        """All three."""
        return self.a, self.b, self.c

    @asynccontextmanager
    async def wires(self) -> AsyncIterator[tuple[Wire, Wire, Wire]]:
        """A connection to each."""
        async with wired(self.a) as a, wired(self.b) as b, wired(self.c) as c:
            yield a, b, c


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """Three nodes for all tests here: each test talks in conversations of its own."""
    log = tmp_path_factory.mktemp("nodes") / "serve.log"
    flags = ("--tools", str(TOOLS), "--base-delay", "0.01", "--detach-grace", "0.2")
    async with (
        Simulator() as simulator,
        several(3, simulator.url, fresh_url(), *flags, log=log) as servers,
    ):
        for server in servers:
            await server.start()
        yield Cluster(simulator, *(server.address for server in servers))


def of(ack: dict[str, Any]) -> dict[str, Any]:
    """Where the conversation of that ack begins."""
    return {"conversation": ack["conversation"], "epoch": ack["epoch"], "after": ack["after"]}


async def check_all(cluster: Cluster, conversation: str, *wires: Wire) -> None:
    """All nodes have the same log, and each reader has seen it."""
    logs = [await log_of(address, conversation) for address in cluster.all]
    folds = [fold(log) for log in logs]
    assert folds[0] == folds[1] == folds[2]
    check_log(logs[0])
    for wire in wires:
        check_reader([e for e in wire.events if e.conversation == conversation], logs[0])


async def test_readers_on_all_nodes_see_one_conversation_while_it_is_said(
    cluster: Cluster,
) -> None:
    gate = Gate()
    async with cluster.wires() as (a, b, c):
        ack = await begun(cluster.simulator, a, "one ", gate, "two")
        for wire in (b, c):
            assert (await wire.ask("subscribe", **of(ack)))["type"] == "ack"
            await wire.until("token")
        gate.open()
        for wire in (a, b, c):
            await wire.until("done")
        # The next message goes to another node, whose turn the first one's reader sees, too.
        cluster.simulator.program(Answer(Text("three")))
        more = await b.ask("send", content="And?", conversation=ack["conversation"])
        for wire in (a, b, c):
            await wire.end(more["turn"])
        await check_all(cluster, ack["conversation"], a, b, c)
    assert len(cluster.simulator.requests[-1]["messages"]) == 3


async def test_stop_at_another_node_is_the_same_stop(cluster: Cluster) -> None:
    async with cluster.wires() as (a, b, c):
        ack = await begun(cluster.simulator, a, "one ", Gate(), "two")
        turn = {"conversation": ack["conversation"], "turn": ack["turn"]}
        assert (await b.ask("cancel", **turn))["outcome"] == "cancelling"
        assert (await a.until("done"))["stop_reason"] == "cancelled"
        assert (await c.ask("cancel", **turn))["outcome"] == "already_done"
        unknown = await c.ask("cancel", conversation=ack["conversation"], turn="t_0")
        assert unknown["code"] == "unknown_turn"
        await check_all(cluster, ack["conversation"], a)


async def test_a_tool_call_is_decided_on_at_another_node_once(
    cluster: Cluster, tmp_path: Path
) -> None:
    trace, gate = tmp_path / "trace", Gate()
    call = ToolUse("act", {"path": str(trace)}, id="toolu_1")
    cluster.simulator.program(Answer(call, stop_reason="tool_use"), Answer(Text([gate, "Done."])))
    async with cluster.wires() as (a, b, c):
        await a.send("send", content="act")
        approval = await a.until("tool_approval")
        named = {name: approval[name] for name in ("conversation", "tool_id")}
        answers = await asyncio.gather(
            *(w.ask("decide", **named, decision="allow") for w in (b, c))
        )
        assert sorted(answer["type"] for answer in answers) == ["ack", "reject"]
        (reject,) = [answer for answer in answers if answer["type"] == "reject"]
        assert reject["code"] == "already_decided"
        gate.open()
        assert (await a.until("done"))["stop_reason"] == "end_turn"
        await check_all(cluster, approval["conversation"], a)
    assert trace.read_text() == "toolu_1\n"


async def test_the_client_that_runs_a_tool_may_be_at_another_node(cluster: Cluster) -> None:
    tool = {"name": "title", "description": "Its title.", "input_schema": {"type": "object"}}
    call = ToolUse("title", {}, id="toolu_2")
    cluster.simulator.program(Answer(call, stop_reason="tool_use"), Answer(Text("Ok.")))
    async with cluster.wires() as (a, b, _):
        await a.send("send", content="Which?", client_tools=[tool], runner="r_1")
        executing = await a.until("tool_executing")
        named = {name: executing[name] for name in ("conversation", "tool_id", "runner")}
        assert (await b.ask("progress", **named, message="half"))["type"] == "ack"
        await a.until("tool_progress")
        assert (await b.ask("tool_output", **named, content="Home"))["type"] == "ack"
        again = await b.ask("tool_output", **named, content="Home")
        assert again["type"] == "reject"
        assert (await a.until("done"))["stop_reason"] == "end_turn"
        (result,) = [event for event in a.events if isinstance(event, ToolResult)]
        assert result.content == "Home"
        await check_all(cluster, executing["conversation"], a)


async def test_messages_at_other_nodes_are_rejected_wait_or_interrupt_as_they_say(
    cluster: Cluster,
) -> None:
    async with cluster.wires() as (a, b, c):
        ack = await begun(cluster.simulator, a, "one ", Gate(), "two")
        into = {"conversation": ack["conversation"]}
        assert (await b.ask("send", content="now", **into))["code"] == "busy"
        queued = await b.ask("send", content="queued", if_busy="queue", **into)
        cluster.simulator.program(Answer(Text("three")), Answer(Text("four")))
        urgent = await c.ask("send", content="urgent", if_busy="interrupt", **into)
        for turn, end in ((ack, "cancelled"), (urgent, "end_turn"), (queued, "end_turn")):
            for wire in (a, b):
                done = await wire.end(turn["turn"])
                assert done.stop_reason == end
        await c.end(queued["turn"])
        back = await c.ask("send", content="no", retract=queued["turn"], **into)
        assert back["type"] == "ack"
        await a.end(back["turn"])
        await check_all(cluster, ack["conversation"], a)


async def test_one_key_at_all_nodes_at_once_is_one_turn(cluster: Cluster) -> None:
    asked = Counter[str]()

    def answer(body: dict[str, Any]) -> Answer:
        asked[str(body["messages"][-1]["content"])] += 1
        return Answer(Text("Once."))

    cluster.simulator.answer_with(answer)
    begun: set[str] = set()
    async with cluster.wires() as wires:
        for number in range(KEYS):
            key = {"content": f"once {number}", "key": f"k-{number}"}
            acks = await asyncio.gather(*(wire.ask("send", **key) for wire in wires))
            assert {ack["type"] for ack in acks} == {"ack"}, acks
            assert len({(ack["turn"], ack["seq"], ack["epoch"]) for ack in acks}) == 1
            begun.add(acks[0]["turn"])
            for wire in wires:
                await wire.end(acks[0]["turn"])
                wire.events.clear()
                # Servers bound how many conversations one connection follows.
                await wire.ask("unsubscribe", conversation=acks[0]["conversation"])
        await check_all(cluster, acks[0]["conversation"])
    print(f"{KEYS} keys at three nodes at once: {len(begun)} turns, {asked.total()} model calls")
    assert len(begun) == asked.total() == KEYS
    assert set(asked.values()) == {1}


async def test_what_is_deleted_at_another_node_is_gone_everywhere(cluster: Cluster) -> None:
    async with cluster.wires() as (a, b, _):
        ack = await begun(cluster.simulator, a, "one ", Gate(), "two")
        await b.ask("subscribe", **of(ack))
        async with asking(cluster.c) as http:
            path = f"/v1/conversations/{ack['conversation']}"
            assert (await http.delete(path)).status_code == 204
            for wire in (a, b):
                closed = await wire.until("closed")
                assert (closed["code"], closed["retryable"]) == ("unknown_conversation", False)
        for address in cluster.all:
            async with asking(address) as http:
                assert (await http.get(path)).status_code == 404


async def test_a_reader_at_another_node_keeps_a_turn_alive_until_it_leaves(
    cluster: Cluster,
) -> None:
    gate, simulator = Gate(), cluster.simulator
    async with patience():
        # Those that earlier tests have stopped are counted when the simulator sees it.
        await simulator.wait(lambda: simulator.open_streams == 0)
    given_up = simulator.aborted_streams

    async def given_up_next() -> None:
        async with patience():
            await simulator.wait(lambda: simulator.aborted_streams > given_up)

    async with wired(cluster.b) as b, wired(cluster.c) as c:
        async with wired(cluster.a) as a:
            unread = await begun(cluster.simulator, a, "one ", Gate(), "two", on_detach="cancel")
            read = await begun(cluster.simulator, a, "one ", gate, "two", on_detach="cancel")
            await b.ask("subscribe", **of(read))
            await b.until("token")
        # Both lost their reader at `a` at once: when the one is given up, the other is not.
        await given_up_next()
        await c.ask("subscribe", **of(unread))
        assert (await c.until("done"))["stop_reason"] == "cancelled"
        gate.open()
        assert (await b.end(read["turn"])).stop_reason == "end_turn"
        async with wired(cluster.a) as a:
            left = await begun(cluster.simulator, a, "one ", Gate(), "two", on_detach="cancel")
            await b.ask("subscribe", **of(left))
            await b.until("token", turn=left["turn"])
        given_up = simulator.aborted_streams
        await b.ask("unsubscribe", conversation=left["conversation"])
        await given_up_next()
        await c.ask("subscribe", **of(left))
        assert (await c.end(left["turn"])).stop_reason == "cancelled"

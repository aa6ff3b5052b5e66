"""One node is cut off from PostgreSQL, and from nothing else: no packet passes, and nobody is told.

Its clients still reach it, and it reaches the model. The others have PostgreSQL, and take over.
"""

import asyncio
from pathlib import Path
from typing import Any

from tests.faults.island import Island, island
from tests.faults.log_readers import log_of
from tests.faults.server import killable
from tests.faults.test_storage import healed, ready
from tests.faults.turns import subscribed
from tests.kit.oracle import check_log, check_reader
from tests.kit.patience import patience
from tests.kit.postgres import PostgresServer, postgres_server
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import Wire, wired
from turnwire_protocol import Done, Message, ToolExecuting, fold
from turnwire_simulator import Answer, Gate, Simulator, Text, ToolUse

TOOLS = Path(__file__).with_name("tools.py")
LEASE_SECONDS = 2.0
TOKEN = "on-the-island"
"""A node that other machines reach wants one, and all nodes the same."""
HEADERS: dict[str, Any] = {"additional_headers": {"Authorization": f"Bearer {TOKEN}"}}


async def healthy(address: str) -> None:
    """Wait until the node can take work."""
    while await ready(address) != 200:  # noqa: ASYNC110 (it is another process)
        await asyncio.sleep(0.05)


async def told_of(wire: Wire, *ids: str, closed: int) -> dict[str, dict[str, Any]]:
    """The replies to these commands by their ids, and by theirs so many conversations closed."""
    told: dict[str, dict[str, Any]] = {}
    while len(told) < len(ids) + closed:
        message = await wire.receive()
        if message["type"] == "closed":
            told[message["conversation"]] = message
        elif message.get("id") in ids:
            told[message["id"]] = message
    return told


async def test_a_node_that_loses_postgresql_alone_has_no_effect_and_comes_back_as_another(
    tmp_path: Path,
) -> None:
    with island() as place, postgres_server(host=place.database) as postgres:
        async with Simulator(host=place.mainland) as simulator:
            await _cut_off(simulator, place, postgres, tmp_path)


async def _cut_off(
    simulator: Simulator, place: Island, postgres: PostgresServer, folder: Path
) -> None:
    trace, gate, url = folder / "trace", Gate(), postgres.url()
    lease = ("--lease", str(LEASE_SECONDS))
    flags = ("--tools", str(TOOLS), "--base-delay", "0.01", "--token", TOKEN, *lease)
    log = folder / "serve.log"
    over_tcp = postgres.over_tcp(url)
    async with (
        killable(simulator.url, over_tcp, *flags, log=log, place=place) as cut_off,
        serving(turnwire_over(simulator, db=url, lease=LEASE_SECONDS, token=TOKEN)) as other,
    ):
        await cut_off.start()
        async with (
            wired(cut_off.address, **HEADERS) as near,
            wired(other, **HEADERS) as far,
            patience(),
        ):
            call = ToolUse("act", {"path": str(trace)}, id="toolu_1")
            simulator.program(Answer(Text("one"), call, stop_reason="tool_use"))
            asked = await near.ask("send", content="act")
            approval = await near.until("tool_approval")
            simulator.program(Answer(Text(["one ", gate, "two"])))
            spoken = await near.ask("send", content="Count", key="k-1")
            await near.until("token", turn=spoken["turn"])
            for ack in (asked, spoken):
                await subscribed(far, ack)
            place.cut()
            # The model says on, and clients want what has to be stored.
            gate.open()
            named = {name: approval[name] for name in ("conversation", "tool_id")}
            said = {"content": "new", "key": "k-2"}
            decision = await near.send("decide", **named, decision="allow")
            message = await near.send("send", **said)
            for ack in (asked, spoken):
                assert (await far.end(ack["turn"])).stop_reason == "interrupted"
            # Whoever comes to the other one goes on there, before the cut is healed.
            simulator.program(Answer(Text("three")))
            into = {"conversation": spoken["conversation"]}
            more = await far.ask("send", content="And?", **into)
            assert (await far.end(more["turn"])).stop_reason == "end_turn"
            again = await far.ask("send", content="Count", key="k-1")
            assert (again["turn"], again["seq"]) == (spoken["turn"], spoken["seq"])
            assert await ready(cut_off.address) == 503
            assert await ready(other) == 200
            place.heal()
            told = await told_of(near, decision, message, closed=2)
            # Whoever was patient with the message may have been rewarded.
            new = told.pop(message)
            for one in told.values():
                assert (one["code"], one["retryable"]) == ("storage_unavailable", True)
            kept = await healed(near, **said)
            assert new.get("turn", kept["turn"]) == kept["turn"]
            assert (await near.end(kept["turn"])).stop_reason == "end_turn"
            await healthy(cut_off.address)
        async with wired(cut_off.address, **HEADERS) as back, wired(other, **HEADERS) as far_too:
            simulator.program(Answer(Text(["four", Gate()])))
            last = await healed(back, content="And now?", **into)
            await subscribed(far_too, last)
            stop = {**into, "turn": last["turn"]}
            await far_too.until("token")
            assert (await far_too.ask("cancel", **stop))["outcome"] == "cancelling"
            for wire in (back, far_too):
                assert (await wire.end(last["turn"])).stop_reason == "cancelled"
        expected = ["interrupted", "end_turn", "cancelled"]
        for ack, ends in ((asked, ["interrupted"]), (spoken, expected)):
            log_here = await log_of(other, ack["conversation"], **HEADERS)
            check_log(log_here)
            assert [e.stop_reason for e in log_here if isinstance(e, Done)] == ends
            assert not [event for event in log_here if isinstance(event, ToolExecuting)]
            for wire in (near, far):
                seen = [e for e in wire.events if e.conversation == ack["conversation"]]
                check_reader(seen, log_here)
        messages = [event for event in log_here if isinstance(event, Message)]
        assert [message.content for message in messages] == ["Count", "And?", "And now?"]
        assert fold(log_here).turns[spoken["turn"]].text == "one "
    assert not trace.exists(), "no tool of it ran"

"""The server is killed with -9 around decisions: what has run stands in the log, and ran once."""

import asyncio
import os
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.faults.log_readers import log_of
from tests.faults.server import killable
from tests.kit.oracle import check_log
from tests.kit.wire import Wire, wired
from turnwire_protocol import Event, ToolApproval, ToolDecision, ToolExecuting, ToolResult
from turnwire_simulator import Answer, Simulator, Text, ToolUse

KILLS = int(os.environ.get("TURNWIRE_TEST_KILLS", "200")) // 2
TOOLS = Path(__file__).with_name("tools.py")


async def decide_and_look(wire: Wire, approval: ToolApproval, looks: int) -> bool:
    """Allow the call, and read so many messages of what follows. Whether the ack was among them."""
    place = {"conversation": approval.conversation, "tool_id": approval.tool_id}
    id = await wire.send("decide", **place, decision="allow")
    is_acked = False
    with suppress(ConnectionClosed):
        for _ in range(looks):
            message = await wire.receive()
            is_acked |= message["type"] == "ack" and message["id"] == id
    return is_acked


def ids(events: list[Event], kind: type[ToolDecision] | type[ToolExecuting]) -> Counter[str]:
    return Counter(event.tool_id for event in events if isinstance(event, kind))


async def test_killed_around_a_decision_what_has_run_is_in_the_log_and_ran_once(
    tmp_path: Path, db: str
) -> None:
    # Of what a kill may meet, most is in the core. Here it is the store's part again.
    kills = KILLS if db.endswith(".db") else KILLS // 4
    chance = random.Random(11)
    trace = tmp_path / "trace.txt"
    acked: set[str] = set()
    conversations: list[str] = []
    async with (
        Simulator() as simulator,
        killable(simulator.url, db, "--tools", str(TOOLS), log=tmp_path / "serve.log") as server,
    ):
        calling = ToolUse("act", {"path": str(trace)})

        def answer(body: dict[str, Any]) -> Answer:
            if "tool_result" in str(body["messages"][-1]):
                return Answer(Text("Done."))
            return Answer(calling, stop_reason="tool_use")

        simulator.answer_with(answer)
        address = server.url.removeprefix("http://")
        for _ in range(kills):
            await server.start()
            async with wired(address) as wire:
                await wire.send("send", content="Go")
                await wire.until("tool_approval")
                approval = wire.events[-1]
                assert isinstance(approval, ToolApproval)
                conversations.append(approval.conversation)
                if await decide_and_look(wire, approval, looks=chance.randrange(7)):
                    acked.add(approval.tool_id)
                for _ in range(chance.randrange(20)):
                    await asyncio.sleep(0)
                server.kill()
            await server.ended()
        await server.start()
        events: list[Event] = []
        for conversation in conversations:
            log = await log_of(address, conversation)
            check_log(log)
            events += log
    ran = Counter(trace.read_text("ascii").split())
    decided, executing = ids(events, ToolDecision), ids(events, ToolExecuting)
    assert set(ran.values()) == {1}, "no call runs twice"
    assert ran.keys() <= executing.keys(), "nothing acts before it is written"
    assert acked <= decided.keys(), "a decision that was acked is not lost"
    assert decided == executing, "and what follows from it was stored with it"
    results = Counter(event.tool_id for event in events if isinstance(event, ToolResult))
    assert results.keys() == {call.tool_id for call in events if isinstance(call, ToolApproval)}
    assert len(ran) > kills // 10, "the kills came late enough for some to run"
    assert len(ran) < kills, "and early enough for some not to"

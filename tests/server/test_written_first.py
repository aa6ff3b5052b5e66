"""Nothing acts before it is written: tools, clients that run them, and acks wait for the store."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.kit.chat import MODEL, of_type
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import Wire, wired
from turnwire_protocol import ToolExecuting, ToolResult
from turnwire_server import tool
from turnwire_server.errors import StoreError
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Batch
from turnwire_simulator import Answer, Simulator, Text, ToolUse

RUNNER = "r_1"
LOOK = {"name": "look", "description": "Look.", "input_schema": {"type": "object"}}


class GatedStore(MemoryStore):
    """A store that waits, or fails, with whatever holds a word; it keeps what each commit held."""

    def __init__(self, word: bytes) -> None:
        super().__init__()
        self.word = word
        self.asked = asyncio.Event()
        self.gate = asyncio.Event()
        self.fails = False
        self.works = asyncio.Event()
        """Set by each commit, and by each probe, that succeeds."""
        self.commits: list[bytes] = []

    async def append(self, batches: list[Batch]) -> None:
        """Waits at the gate."""
        if self.fails:
            raise StoreError("broken")
        body = b"".join(batch.body for batch in batches)
        if self.word in body:
            self.asked.set()
            await self.gate.wait()
        await super().append(batches)
        self.works.set()
        self.commits.append(body)


@asynccontextmanager
async def service(
    simulator: Simulator, store: GatedStore, *tools: object, name: str
) -> AsyncIterator[Wire]:
    """A model that calls the tool `name` once."""
    simulator.program(Answer(ToolUse(name, {}), stop_reason="tool_use"), Answer(Text("Done.")))
    # The tests ask again and again, as fast as they are answered.
    limits = {"max_frames_per_second": 100_000}
    turnwire = turnwire_over(simulator, store=store, tools=tools, model=MODEL, limits=limits)
    async with patience(), serving(turnwire) as address, wired(address) as wire:
        yield wire


async def pass_time(wire: Wire) -> None:
    """Let the service do all that it would do now: it answers, and answers again."""
    for _ in range(3):
        id = await wire.send("ping")
        await wire.until("pong", id=id)


def recording(*, approval: bool = False) -> tuple[Any, Callable[[], int]]:
    ran = 0

    @tool(name="act", approval=approval)
    async def act() -> str:
        """Act."""
        nonlocal ran
        ran += 1
        return "acted"

    return act, lambda: ran


async def test_a_tool_starts_once_its_executing_is_durable(simulator: Simulator) -> None:
    act, ran = recording()
    store = GatedStore(b'"tool_executing"')
    async with service(simulator, store, act, name="act") as wire:
        await wire.send("send", content="Go")
        await store.asked.wait()
        await pass_time(wire)
        assert ran() == 0
        store.gate.set()
        await wire.until("done")
        assert ran() == 1


async def test_a_decision_is_acked_and_acted_on_once_it_is_durable_in_one_commit(
    simulator: Simulator,
) -> None:
    act, ran = recording(approval=True)
    store = GatedStore(b'"tool_decision"')
    async with service(simulator, store, act, name="act") as wire:
        await wire.send("send", content="Go")
        approval = await wire.until("tool_approval")
        place = {"conversation": approval["conversation"], "tool_id": approval["tool_id"]}
        id = await wire.send("decide", **place, decision="allow")
        await store.asked.wait()
        await pass_time(wire)
        assert ran() == 0
        assert of_type(wire, ToolExecuting) == []
        store.gate.set()
        assert (await wire.until("ack", id=id))["type"] == "ack"
        await wire.until("done")
        assert ran() == 1
    [commit] = [body for body in store.commits if b'"tool_decision"' in body]
    assert b'"tool_executing"' in commit


async def test_an_output_is_acked_once_its_result_is_durable(simulator: Simulator) -> None:
    store = GatedStore(b'"tool_result"')
    async with service(simulator, store, name="look") as wire:
        await wire.send("send", content="Go", client_tools=[LOOK], runner=RUNNER)
        call = await wire.until("tool_executing")
        place = {"conversation": call["conversation"], "tool_id": call["tool_id"]}
        id = await wire.send("tool_output", **place, runner=RUNNER, content="seen")
        await store.asked.wait()
        await pass_time(wire)
        assert of_type(wire, ToolResult) == []
        store.gate.set()
        await wire.until("ack", id=id)
        await wire.until("done")
    assert [result.content for result in of_type(wire, ToolResult)] == ["seen"]


async def test_an_output_that_stop_overtook_is_rejected_and_not_in_the_log(
    simulator: Simulator,
) -> None:
    async with service(simulator, GatedStore(b"never"), name="look") as wire:
        ack = await wire.ask("send", content="Go", client_tools=[LOOK], runner=RUNNER)
        call = await wire.until("tool_executing")
        place = {"conversation": call["conversation"], "tool_id": call["tool_id"]}
        await wire.send("cancel", conversation=call["conversation"], turn=ack["turn"])
        reject = await wire.ask("tool_output", **place, runner=RUNNER, content="seen")
        assert (reject["type"], reject["code"]) == ("reject", "unknown_tool_call")
        while not of_type(wire, ToolResult):
            await wire.receive()
    assert [result.content for result in of_type(wire, ToolResult)] == ["Cancelled by the user."]


async def test_a_decision_that_cannot_be_stored_is_rejected_and_may_be_made_again(
    simulator: Simulator,
) -> None:
    act, ran = recording(approval=True)
    store = GatedStore(b"never")
    async with service(simulator, store, act, name="act") as wire:
        await wire.send("send", content="Go")
        approval = await wire.until("tool_approval")
        place = {"conversation": approval["conversation"], "tool_id": approval["tool_id"]}
        store.fails = True
        # The store's trouble shows with the first thing that is to be stored.
        assert (await wire.ask("send", content="Hi"))["code"] == "storage_unavailable"
        reject = await wire.ask("decide", **place, decision="allow")
        assert reject["code"] == "storage_unavailable"
        assert ran() == 0
        store.works.clear()
        store.fails = False
        # Asked again and again until then, the service would take it for a flood.
        await store.works.wait()
        await pass_time(wire)
        assert (await wire.ask("decide", **place, decision="allow"))["type"] == "ack"
        await wire.until("done", turn=approval["turn"])
        assert ran() == 1


async def test_the_time_that_somebody_thought_is_not_the_time_the_tool_ran(
    simulator: Simulator,
) -> None:
    act, _ = recording(approval=True)
    async with service(simulator, GatedStore(b"never"), act, name="act") as wire:
        await wire.send("send", content="Go")
        approval = await wire.until("tool_approval")
        place = {"conversation": approval["conversation"], "tool_id": approval["tool_id"]}
        await wire.ask("decide", **place, decision="deny")
        result = await wire.until("tool_result")
    assert result["duration_ms"] == 0

"""What connections and turns held is let go of when they end, and not when the collector comes."""

import asyncio
import gc
from typing import Any
from uuid import uuid4
from weakref import WeakSet

import pytest
from aiohttp import web

from tests.kit.chat import MODEL, ended
from tests.kit.held import holders
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over, upstream_left
from tests.kit.sse import listening
from tests.kit.wire import wired
from turnwire_server.connections import HardenedHttpProtocol, HardenedProtocol
from turnwire_server.core.log.follower import Follower
from turnwire_server.core.turn.tool_calls import ToolCalls
from turnwire_server.core.turn.turn import Turn
from turnwire_server.transports.sse import EventStream
from turnwire_server.transports.websocket import Connection
from turnwire_simulator import Answer, Fault, Gate, Simulator, Text

KINDS = (
    *(Connection, EventStream, Follower, HardenedHttpProtocol, HardenedProtocol),
    *(ToolCalls, Turn),
)


def there(others: "WeakSet[Any]") -> list[object]:
    """All that are held now, and what each connection has of its own."""
    found = [one for one in gc.get_objects() if type(one) in KINDS and one not in others]
    for one in list(found):
        if isinstance(one, HardenedProtocol | HardenedHttpProtocol):
            found += [one.transport, one.conn]
    return [one for one in found if one not in others]


async def all_gone(held: "WeakSet[Any]") -> None:
    """Returns once none of them is left; the server may see the end of a socket later than we."""
    async with patience():
        while held:  # noqa: ASYNC110 (nothing says so)
            await asyncio.sleep(0)


@pytest.mark.usefixtures("without_collector")
async def test_turns_and_their_readers_leave_nothing_to_the_collector(simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(
        Answer(Text(["Hello", " Anna"])), Fault(status=400), Answer(Text(["x", gate, "y"]))
    )
    # Services of other tests may run in this process.
    others = WeakSet[Any](there(WeakSet()))
    async with serving(turnwire_over(simulator, model=MODEL)) as address:
        async with wired(address) as wire:
            done = await ended(wire)
            assert done["stop_reason"] == "end_turn"
            conversation = done["conversation"]
            assert (await ended(wire, conversation=conversation))["stop_reason"] == "failed"
            ack = await wire.ask("send", content="Go on", conversation=conversation)
            await wire.until("token", turn=ack["turn"])
            held = WeakSet[Any](there(others))
            kinds = {type(one) for one in held}
            assert {Connection, Follower, HardenedProtocol, ToolCalls, Turn} <= kinds
            await wire.ask("cancel", conversation=conversation, turn=ack["turn"])
            await wire.until("done", turn=ack["turn"])
            await upstream_left(simulator)
        await all_gone(held)


@pytest.mark.usefixtures("without_collector")
async def test_event_streams_leave_nothing_to_the_collector(simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["x", gate, "y"])))
    others = WeakSet[Any](there(WeakSet()))
    async with serving(turnwire_over(simulator, model=MODEL)) as address:
        chat = listening(address, "/v1/chat", method="POST", json={"message": "Hello"})
        async with chat as reader:
            await reader.until("token")
            held = WeakSet[Any](there(others))
            assert {EventStream, Follower, HardenedHttpProtocol} <= {type(one) for one in held}
            gate.open()
            await reader.until("done")
        await all_gone(held)


@pytest.mark.parametrize("in_pieces", [False, True], ids=["whole", "fragments"])
async def test_a_socket_that_says_nothing_more_holds_nothing_of_what_it_said(
    simulator: Simulator, *, in_pieces: bool
) -> None:
    """Neither its frames nor the request it began with: in there may be megabytes, and secrets."""
    said = f"To be found in this test's frames only: {uuid4()}"
    turnwire = turnwire_over(simulator, model=MODEL)
    async with serving(turnwire) as address, wired(address, user_agent_header=said) as wire:
        frame = f'{{"type":"send","id":"1","content":"{said}","conversation":"c_unknown"}}'
        await wire.socket.send([frame[:9], frame[9:]] if in_pieces else frame)
        del frame
        assert (await wire.until("reject"))["code"] == "unknown_conversation"
        assert holders(said) == []


async def test_while_an_answer_comes_its_request_is_not_held(simulator: Simulator) -> None:
    """The body is the whole conversation, with all attachments."""
    gate, said = Gate(), "To be found in this test's request only."
    simulator.program(Answer(Text(["Hello", gate, " Anna"])))
    async with serving(turnwire_over(simulator, model=MODEL)) as address, wired(address) as wire:
        await wire.ask("send", content=said)
        await wire.until("token")
        holders = [
            type(one)
            for one in gc.get_objects()
            for part in gc.get_referents(one)
            if type(part) is bytes and part.startswith(b'{"model":') and said.encode() in part
        ]
        gate.open()
        await wire.until("done")
    assert holders == [web.Request], "the simulator's, which has received it"

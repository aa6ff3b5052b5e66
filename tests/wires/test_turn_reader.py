"""Reading a turn for one request: how far, and what of it the client has had."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.kit.core import ANNA, HeldModel, core_on
from tests.kit.patience import patience
from turnwire_protocol import Cancel, SendBody, ToolOutput
from turnwire_server.core.hub import Hub
from turnwire_server.errors import Rejected
from turnwire_server.model.port import BlockEnd, Part, Stop, TextPart, ToolPart
from turnwire_server.store.memory import MemoryStore
from turnwire_server.wires.exchange import Exchange, answer, ask
from turnwire_server.wires.turn_reader import Ending, Heard, TurnReader

TOOL: Any = {"name": "ask", "description": "", "input_schema": {"type": "object"}}


class CallingModel(HeldModel):
    """Says something and calls two of the client's tools; then answers "Hello"."""

    async def _answer(self) -> AsyncIterator[list[Part]]:
        if len(self.requests) > 1:
            async for parts in super()._answer():
                yield parts
            return
        yield [TextPart(0, "Wait."), BlockEnd(0, None)]
        for block in (1, 2):
            yield [ToolPart(block, f"u{block}", "ask", "server"), BlockEnd(block, None)]
        yield [Stop("tool_use")]


@pytest.fixture
def model() -> CallingModel:
    model = CallingModel()
    model.released.set()
    return model


@pytest.fixture
async def core(model: CallingModel) -> AsyncIterator[Hub]:
    core = core_on(MemoryStore(), model)
    async with patience():
        await core.start()
        yield core
        await core.close()


async def asking(core: Hub, message: str = "m1", *, again: bool = False) -> Exchange:
    send = SendBody(content="Hi", client_tools=[TOOL], runner="r", on_detach="cancel")
    return await ask(core, ANNA, "chat", send, message=message, again=again)


async def heard(exchange: Exchange) -> tuple[list[Heard], Ending]:
    reader = TurnReader(exchange.follower, exchange.turn, answered=exchange.accepted)
    events = [one async for group in reader.read(idle_seconds=1e6) for one in group]
    return events, reader.ending


async def outputs(core: Hub, *tool_ids: str) -> Exchange:
    conversation = await core.named(ANNA, "chat")
    given = [
        ToolOutput(id="a", conversation=conversation, tool_id=id, runner="r", content="T")
        for id in tool_ids
    ]
    return await answer(core, ANNA, conversation, "m1", given)


def types(events: list[Heard], *, is_new: bool = True) -> list[str]:
    return [one.event.type for one in events if one.is_new is is_new]


async def test_it_ends_where_the_other_end_is_to_move_and_goes_on_behind_its_answer(
    core: Hub,
) -> None:
    events, ending = await heard(await asking(core))
    assert (types(events)[-2:], ending) == (["tool_executing", "tool_executing"], Ending.RESTING)
    # Nobody reads now, and there is no grace: the turn waits all the same.
    events, ending = await heard(await outputs(core, "u1"))
    assert (types(events), ending) == (["tool_result"], Ending.RESTING)
    assert types(events, is_new=False)[-1] == "tool_executing"
    events, ending = await heard(await outputs(core, "u2"))
    assert types(events)[0] == "tool_result"
    assert (types(events)[-1], ending) == ("done", Ending.DONE)


async def test_an_answer_that_comes_again_gets_what_is_still_to_come(core: Hub) -> None:
    await heard(await asking(core))
    await heard(await outputs(core, "u1"))
    exchange = await outputs(core, "u1")
    assert exchange.accepted == frozenset()
    exchange.follower.close()


async def test_a_rest_that_is_over_when_it_is_read_is_none(core: Hub) -> None:
    await heard(await asking(core))
    await heard(await outputs(core, "u1", "u2"))
    events, ending = await heard(await asking(core))
    assert (types(events)[0], types(events)[-1], ending) == ("message", "done", Ending.DONE)


async def test_after_a_cancel_an_answer_is_told_the_end(core: Hub) -> None:
    first = await asking(core)
    await heard(first)
    conversation = await core.named(ANNA, "chat")
    await core.submit(ANNA, Cancel(id="c", conversation=conversation, turn=first.turn))
    events, ending = await heard(await outputs(core, "u1"))
    assert (types(events), ending) == (["done"], Ending.DONE)


async def test_one_request_three_times_is_one_turn(core: Hub, model: CallingModel) -> None:
    exchanges = await asyncio.gather(*(asking(core) for _ in range(3)))
    assert len({exchange.turn for exchange in exchanges}) == 1
    await asyncio.gather(*(heard(exchange) for exchange in exchanges))
    assert len(model.requests) == 1


async def test_regenerating_takes_the_turn_back_and_twice_is_once(
    core: Hub, model: CallingModel
) -> None:
    first = await asking(core)
    await heard(first)
    model.released.clear()
    again = await asking(core, again=True)
    twice = await asking(core, again=True)
    assert first.turn != again.turn == twice.turn
    model.released.set()
    await asyncio.gather(heard(again), heard(twice))


async def test_the_end_of_the_service_cuts_it(core: Hub, model: CallingModel) -> None:
    await heard(await asking(core))
    model.released.clear()
    reading = asyncio.create_task(heard(await outputs(core, "u1", "u2")))
    await asyncio.sleep(0)
    await core.delete(ANNA, await core.named(ANNA, "chat"))
    _, ending = await reading
    assert ending is Ending.CUT


async def test_answers_to_nothing_are_refused(core: Hub) -> None:
    await heard(await asking(core))
    conversation = await core.named(ANNA, "chat")
    with pytest.raises(Rejected, match="no such answer"):
        await answer(core, ANNA, conversation, "m9", [])
    with pytest.raises(Rejected, match="no such conversation"):
        await answer(core, "bob", conversation, "m1", [])

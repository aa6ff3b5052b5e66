"""The client against the real service over the simulator."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.client.relay import Relay
from tests.kit.scripted_server import AT_ONCE, collect
from tests.kit.service import serving, turnwire_over
from turnwire import Event, Rejected, Token, TurnFailed, connect
from turnwire_protocol import span_of
from turnwire_simulator import Answer, Fault, Gate, Simulator, Text

WORDS = [f"{number} " for number in range(40)]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def relay(simulator: Simulator) -> AsyncIterator[Relay]:
    async with serving(turnwire_over(simulator, retries=1)) as address, Relay(address) as relay:
        yield relay


async def test_a_conversation_of_two_turns_is_answered_and_folded(
    relay: Relay, simulator: Simulator
) -> None:
    simulator.program(Answer(Text(["Hel", "lo"])), Answer(Text(["Again"])))
    async with connect(relay.url) as wire:
        chat = wire.conversation()
        texts = [(await (await chat.send(text))).text for text in ("Hi", "More")]
        assert [turn.text for turn in chat.state.turns] == texts
    assert texts == ["Hello", "Again"]


async def test_a_turn_is_stopped_and_the_next_one_runs(relay: Relay, simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate), Answer(Text(["Again"])))
    async with connect(relay.url) as wire:
        chat = wire.conversation()
        turn = await chat.send("Hi")
        await gate.reached()
        assert await turn.cancel() == "cancelling"
        assert (await turn).stop_reason == "cancelled"
        assert await turn.cancel() == "already_done"
        assert (await (await chat.send("More"))).text == "Again"


async def test_a_lost_connection_is_healed_in_mid_answer(
    relay: Relay, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(WORDS)).at(20, gate))
    async with connect(relay.url, backoff=AT_ONCE) as wire:
        turn = await wire.conversation().send("Hi")
        got: list[Event] = []
        reading = asyncio.create_task(collect(aiter(turn), got))
        await gate.reached()
        relay.cut()
        gate.open()
        reply = await turn
        await reading
    assert relay.connections == 2
    assert reply.text == "".join(WORDS)
    assert "".join(event.text for event in got if isinstance(event, Token)) == reply.text


@pytest.mark.parametrize("size", range(750, 4750, 250))
async def test_a_connection_that_breaks_anywhere_loses_and_repeats_nothing(
    relay: Relay, simulator: Simulator, size: int
) -> None:
    simulator.program(Answer(Text(WORDS)), Answer(Text(["wrong: asked twice"])))
    relay.cut_after(size, size // 2 + 400, 700, 650)
    async with connect(relay.url, backoff=AT_ONCE) as wire:
        chat = wire.conversation()
        turn = await chat.send("Hi")
        got: list[Event] = []
        await collect(aiter(turn), got)
        assert (await turn).text == "".join(WORDS)
        assert chat.state.turns.ids == [turn.id]
    assert "".join(event.text for event in got if isinstance(event, Token)) == "".join(WORDS)
    seqs = [event.seq for event in got]
    assert seqs == sorted(set(seqs))
    assert sum(map(span_of, got)) == seqs[-1]


async def test_what_fails_is_told_with_its_code(relay: Relay, simulator: Simulator) -> None:
    simulator.program(Fault(status=400, type="invalid_request_error"))
    async with connect(relay.url) as wire:
        with pytest.raises(TurnFailed) as failed:
            await (await wire.conversation().send("Hi"))
        with pytest.raises(Rejected) as rejected:
            await wire.conversation("c_unknown").send("Hi")
    assert failed.value.code == "invalid_request"
    assert rejected.value.code == "unknown_conversation"

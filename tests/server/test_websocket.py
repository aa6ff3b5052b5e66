"""The WebSocket transport, driven with bare frames."""

from tests.server.wire import wired
from turnwire_simulator import Answer, Gate, Simulator, Text


async def test_a_turn_streams_and_ends_with_one_done(address: str, simulator: Simulator) -> None:
    simulator.program(Answer(Text(["Hel", "lo"])))
    async with wired(address) as wire:
        ack = await wire.ask("send", content="hi")
        done = await wire.until("done")
        turn = wire.fold(ack["conversation"]).turns[ack["turn"]]
    assert (turn.text, done["stop_reason"], turn.content) == ("Hello", "end_turn", "hi")


async def test_cancel_gives_the_receipt_and_then_done_and_closes_the_upstream(
    address: str, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate))
    async with wired(address) as wire:
        ack = await wire.ask("send", content="hi")
        await gate.reached()
        receipt = await wire.ask("cancel", conversation=ack["conversation"], turn=ack["turn"])
        assert receipt["outcome"] == "cancelling"
        done = await wire.until("done")
        assert done["stop_reason"] == "cancelled"
        await simulator.wait(lambda: simulator.aborted_streams == 1)

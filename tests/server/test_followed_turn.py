"""A send whose subscription ends with its turn: `follow: "turn"`."""

from tests.kit.service import serving, turnwire_over
from tests.kit.wire import Wire, wired
from turnwire_simulator import Answer, Gate, Simulator, Text


async def ended(wire: Wire, turn: str) -> None:
    """The turn's `done` has come, and whatever else was on its way before a `ping` was answered."""
    await wire.end(turn)
    await wire.ask("ping")


async def test_who_only_sends_may_begin_any_number_of_conversations_on_one_socket(
    simulator: Simulator,
) -> None:
    turnwire = turnwire_over(simulator, limits={"max_subscriptions": 1})
    async with serving(turnwire) as address, wired(address) as wire:
        for number in range(4):
            ack = await wire.ask("send", content=f"{number}", follow="turn")
            assert ack["type"] == "ack", ack
            await wire.end(ack["turn"])
            assert wire.fold(ack["conversation"]).turns[ack["turn"]].done


async def test_its_done_is_the_last_event_and_the_next_turn_is_not_told(
    address: str, simulator: Simulator
) -> None:
    gates = [Gate(), Gate()]
    simulator.program(*(Answer(Text(["a", "b"])).at(4, gate) for gate in gates))
    async with wired(address) as wire, wired(address) as other:
        ack = await wire.ask("send", content="one", follow="turn")
        await gates[0].reached()
        chat = {"conversation": ack["conversation"]}
        # It waits behind the first, and its message is in the log before that one's end.
        queued = await other.ask("send", content="two", if_busy="queue", **chat)
        gates[0].open()
        await gates[1].reached()
        await ended(wire, ack["turn"])
        gates[1].open()
        await other.end(queued["turn"])
        await wire.ask("ping")
        last = wire.events[-1]
        assert (last.type, last.turn) == ("done", ack["turn"])
        # Where it ended is a cursor like any other.
        caught_up = await wire.ask("subscribe", after=last.seq, epoch=ack["epoch"], **chat)
        await wire.end(queued["turn"])
        assert wire.events[-1].seq == caught_up["head"]
        assert wire.fold(chat["conversation"]).turns.ids == [ack["turn"], queued["turn"]]


async def test_another_such_send_extends_it_and_one_without_makes_it_stay(
    address: str, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["a", "b"])).at(4, gate), *(Answer(Text("c")) for _ in range(4)))
    async with wired(address) as wire, wired(address) as other:
        first = await wire.ask("send", content="one", follow="turn")
        await gate.reached()
        chat = {"conversation": first["conversation"], "if_busy": "queue"}
        second = await wire.ask("send", content="two", follow="turn", **chat)
        gate.open()
        await ended(wire, second["turn"])
        assert wire.fold(chat["conversation"]).turns[first["turn"]].done
        unseen = await other.ask("send", content="three", **chat)
        await other.end(unseen["turn"])
        third = await wire.ask("send", content="four", follow="turn", **chat)
        await wire.ask("send", content="five", **chat)
        await wire.end(third["turn"])
        last = await other.ask("send", content="six", **chat)
        await wire.end(last["turn"])
        assert unseen["turn"] not in [event.turn for event in wire.events]


async def test_a_subscription_that_was_asked_for_stays(address: str) -> None:
    async with wired(address) as wire, wired(address) as other:
        first = await wire.ask("send", content="one", follow="turn")
        await wire.end(first["turn"])
        chat = {"conversation": first["conversation"]}
        await wire.ask("subscribe", **chat)
        second = await wire.ask("send", content="two", follow="turn", **chat)
        await wire.end(second["turn"])
        third = await other.ask("send", content="three", **chat)
        await wire.end(third["turn"])


async def test_a_repeated_key_tells_the_turn_again_to_its_done(
    address: str, simulator: Simulator
) -> None:
    async with wired(address) as wire, wired(address) as other:
        # Where it follows and for how long is no part of the message.
        first = await wire.ask("send", content="one", key="k-1")
        await wire.end(first["turn"])
        chat = {"conversation": first["conversation"]}
        again = await other.ask("send", content="one", key="k-1", follow="turn", **chat)
        assert again["turn"] == first["turn"]
        await ended(other, first["turn"])
        second = await wire.ask("send", content="two", **chat)
        await wire.end(second["turn"])
        await other.ask("ping")
        assert {event.turn for event in other.events} == {first["turn"]}
    assert len(simulator.requests) == 2


async def test_a_key_of_a_turn_behind_the_cursor_does_not_hold_the_subscription(
    address: str, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text("a")), Answer(Text(["b", "c"])).at(4, gate))
    async with wired(address) as wire, wired(address) as other:
        old = await other.ask("send", content="one", key="k-1")
        await other.end(old["turn"])
        chat = {"conversation": old["conversation"]}
        second = await wire.ask("send", content="two", follow="turn", **chat)
        await gate.reached()
        await wire.ask("send", content="one", key="k-1", follow="turn", **chat)
        gate.open()
        await ended(wire, second["turn"])
        third = await other.ask("send", content="three", **chat)
        await other.end(third["turn"])
        await wire.ask("ping")
        assert {event.turn for event in wire.events} == {second["turn"]}

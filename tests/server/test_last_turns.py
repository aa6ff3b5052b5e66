"""The end of a long conversation: subscribing to its last turns, and reading the older ones."""

from typing import Any

import httpx2

from tests.kit.chat import ended, talking
from tests.kit.openapi import documented
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import Wire, wired
from turnwire_protocol import Message
from turnwire_simulator import Answer, Gate, Simulator, Text

OK = Answer(Text("Ok."))


async def spoken(wire: Wire, *contents: str) -> tuple[str, list[str]]:
    """A conversation of these messages, each answered; its id, and its turns."""
    conversation, turns = "", list[str]()
    for content in contents:
        where = {"conversation": conversation} if conversation else {}
        done = await ended(wire, content, **where)
        conversation = done["conversation"]
        turns.append(done["turn"])
    return conversation, turns


async def read(wire: Wire, head: int) -> list[Any]:
    """What a subscription gives up to there, and the messages in it."""
    while not wire.events or wire.events[-1].seq < head:
        await wire.receive()
    return [event.content for event in wire.events if isinstance(event, Message)]


async def test_a_subscription_to_the_last_turns_begins_at_the_first_event_of_one(
    simulator: Simulator,
) -> None:
    simulator.program(*[OK] * 4)
    async with serving(turnwire_over(simulator)) as address:
        async with wired(address) as wire:
            conversation, turns = await spoken(wire, "1", "2", "3", "4")
            whole = wire.fold(conversation).to_dict()["turns"]
        async with wired(address) as wire:
            ack = await wire.ask("subscribe", conversation=conversation, last=2)
            assert await read(wire, ack["head"]) == ["3", "4"]
            assert wire.events[0].seq == ack["after"] + 1
            assert wire.fold(conversation).to_dict()["turns"] == whole[2:]
        async with wired(address) as wire:
            ack = await wire.ask("subscribe", conversation=conversation, last=9)
            assert (ack["after"], await read(wire, ack["head"])) == (0, ["1", "2", "3", "4"])
        async with wired(address) as wire, asking(address) as http:
            cursor = {"after": ack["head"] - 1, "epoch": ack["epoch"]}
            went_on = await wire.ask("subscribe", conversation=conversation, last=1, **cursor)
            assert went_on["after"] == cursor["after"]
            other = {"epoch": "e_other", "last": 1}
            from_start = await wire.ask("subscribe", conversation=conversation, **other)
            assert from_start["after"] == 0
            await wire.until("reset")
            wire.events.clear()
            assert await read(wire, ack["head"]) == ["1", "2", "3", "4"]
            page = (await http.get(f"/v1/conversations/{conversation}?last=1")).json()
            assert [turn["turn"] for turn in page["turns"]] == turns[3:]


async def test_a_turn_that_runs_while_others_wait_is_told_from_its_start(
    simulator: Simulator,
) -> None:
    gate = Gate()
    async with talking(simulator, Answer(Text(["Be", gate, "gun."])), OK, OK) as wire:
        first = await wire.ask("send", content="1")
        conversation = first["conversation"]
        queued = {"conversation": conversation, "if_busy": "queue"}
        await wire.ask("send", content="2", **queued)
        await wire.ask("send", content="3", **queued)
        # It replaces the subscription, and begins where all that is unfinished does.
        ack = await wire.ask("subscribe", conversation=conversation, last=1)
        assert ack["after"] == 0
        gate.open()
        done = await wire.until("done")
        assert done["turn"] == first["turn"]


async def test_older_turns_are_read_page_by_page(
    http: httpx2.AsyncClient, address: str, simulator: Simulator
) -> None:
    simulator.program(*[OK] * 6)
    async with wired(address) as wire:
        conversation, turns = await spoken(wire, "1", "2", "3", "4", "5")
        # The fourth is asked again: it and the fifth are void.
        await ended(wire, "4b", conversation=conversation, retract=turns[3])
    path = f"/v1/conversations/{conversation}"
    whole = (await http.get(path)).json()
    assert [turn["content"] for turn in whole["turns"]] == ["1", "2", "3", "4b"]
    assert "next" not in whole
    page = (await http.get(path, params={"last": 2})).json()
    assert (page["turns"], page["next"]) == (whole["turns"][2:], turns[2])
    older = (await http.get(path, params={"last": 2, "before": page["next"]})).json()
    assert older["turns"] == whole["turns"][:2]
    assert "next" not in older
    none = (await http.get(path, params={"last": 2, "before": turns[0]})).json()
    assert (none["turns"], {page["seq"], older["seq"], none["seq"]}) == ([], {whole["seq"]})
    assert "replaced" not in page
    with_old = {"replaced": "true"}
    page = (await http.get(path, params={"last": 1, **with_old})).json()
    assert [turn["content"] for turn in page["turns"]] == ["4b"]
    ((by, (old,)),) = page["replaced"].items()
    assert (by, old["turn"], old["content"]) == (page["turns"][0]["turn"], turns[3], "4")
    assert old["blocks"]
    assert old["state"] == "done"
    page = (await http.get(path, params={"last": 2, "before": turns[2], **with_old})).json()
    assert (page["turns"], page["replaced"]) == (whole["turns"][:2], {})
    refused = await http.get(path, params={"before": "t_none"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "unknown_turn")
    wrong = await http.get(path, params={"last": 0})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, "bad_command")


async def test_a_turn_that_runs_is_in_the_page_as_far_as_it_has_come(simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(OK, Answer(Text(["Be", gate, "gun."])))
    async with serving(turnwire_over(simulator)) as address, wired(address) as wire:
        conversation, _ = await spoken(wire, "1")
        await wire.ask("send", content="2", conversation=conversation)
        await wire.until("token", text="Be")
        async with asking(address, event_hooks={"response": [documented().judge]}) as http:
            path = f"/v1/conversations/{conversation}"
            (turn,) = (await http.get(path, params={"last": 1})).json()["turns"]
        assert (turn["state"], turn["blocks"][0]["text"]) == ("running", "Be")
        gate.open()
        await wire.until("done")

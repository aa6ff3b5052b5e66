"""What a send does while a turn runs: queue, interrupt, retract; and that the model agrees."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.kit.chat import ended, of_type, talking
from tests.kit.oracle import check_log
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over, upstream_left
from tests.kit.wire import Wire, wired
from turnwire_protocol import Message, Retract
from turnwire_simulator import Answer, Fault, Gate, Simulator, Text


def words(text: str) -> Answer:
    return Answer(Text([text]))


@asynccontextmanager
async def busy(
    simulator: Simulator, *answers: Answer | Fault, **settings: Any
) -> AsyncIterator[tuple[Wire, str, str, Gate]]:
    """A connection, its conversation, the turn that runs in it ("Hel"), what lets it finish."""
    gate = Gate()
    held = Answer(Text(["Hel", "lo"])).at(4, gate)
    async with talking(simulator, held, *answers, **settings) as wire:
        ack = await wire.ask("send", content="first")
        await wire.until("token")
        yield wire, ack["conversation"], ack["turn"], gate


async def sent(wire: Wire, conversation: str, content: str, **fields: Any) -> str:
    """The turn of a message that is accepted."""
    ack = await wire.ask("send", conversation=conversation, content=content, **fields)
    assert ack["type"] == "ack", ack
    turn: str = ack["turn"]
    return turn


async def refused(wire: Wire, conversation: str, **fields: Any) -> str:
    """The code with which a message is refused."""
    reject = await wire.ask("send", conversation=conversation, **{"content": "no", **fields})
    assert reject["type"] == "reject", reject
    code: str = reject["code"]
    return code


async def done_of(wire: Wire, turn: str) -> str:
    """The stop reason of the turn, once it is done."""
    for event in wire.events:
        if event.type == "done" and event.turn == turn:
            return str(getattr(event, "stop_reason", ""))
    reason: str = (await wire.until("done", turn=turn))["stop_reason"]
    return reason


def shown(simulator: Simulator, request: int = -1) -> list[str]:
    """The texts of a request's messages, as the model was shown them."""
    texts = []
    for message in simulator.requests[request]["messages"]:
        content = message["content"]
        blocks = [{"text": content}] if isinstance(content, str) else content
        texts.append("".join(block["text"] for block in blocks))
    return texts


def kinds(wire: Wire, *turns: str) -> list[tuple[str, str]]:
    """(turn, type) of what marks these turns' lives, in the order of the log."""
    marks = ("retract", "message", "start", "done")
    return [(e.turn, e.type) for e in wire.events if e.turn in turns and e.type in marks]


# Queue


async def test_queued_messages_are_seen_at_once_and_run_in_their_order(
    simulator: Simulator,
) -> None:
    async with busy(simulator, words("2"), words("3")) as (wire, conversation, first, gate):
        second = await sent(wire, conversation, "second", if_busy="queue")
        third = await sent(wire, conversation, "third", if_busy="queue")
        # It may have come before its ack.
        while len(of_type(wire, Message)) < 3:
            await wire.receive()
        assert [event.content for event in of_type(wire, Message)] == ["first", "second", "third"]
        turns = wire.fold(conversation).turns
        assert [turns[turn].state for turn in (first, second, third)] == [
            "running",
            "queued",
            "queued",
        ]
        gate.open()
        assert await done_of(wire, third) == "end_turn"
        assert kinds(wire, first, second, third) == [
            (first, "message"),
            (first, "start"),
            (second, "message"),
            (third, "message"),
            (first, "done"),
            (second, "start"),
            (second, "done"),
            (third, "start"),
            (third, "done"),
        ]
        check_log(wire.events)
    assert shown(simulator, 1) == ["first", "Hello", "second"]
    assert shown(simulator, 2) == ["first", "Hello", "second", "2", "third"]


async def test_messages_that_wait_are_bounded(simulator: Simulator) -> None:
    async with busy(simulator, max_queued=1) as (wire, conversation, _, gate):
        second = await sent(wire, conversation, "second", if_busy="queue")
        assert await refused(wire, conversation, if_busy="queue") == "too_many"
        await wire.ask("cancel", conversation=conversation, turn=second)
        third = await sent(wire, conversation, "third", if_busy="queue")
        gate.open()
        assert await done_of(wire, third) == "end_turn"
        check_log(wire.events)


async def test_a_server_without_a_queue_takes_queued_messages_when_nothing_runs(
    simulator: Simulator,
) -> None:
    async with busy(simulator, max_queued=0) as (wire, conversation, first, gate):
        assert await refused(wire, conversation, if_busy="queue") == "too_many"
        gate.open()
        await done_of(wire, first)
        assert await done_of(wire, await sent(wire, conversation, "2", if_busy="queue")) == (
            "end_turn"
        )


async def test_a_message_is_refused_while_others_run_or_wait(simulator: Simulator) -> None:
    gate = Gate()
    async with busy(simulator, words("2").at(2, gate)) as (wire, conversation, first, opening):
        second = await sent(wire, conversation, "second", if_busy="queue")
        assert await refused(wire, conversation) == "busy"
        await wire.ask("cancel", conversation=conversation, turn=first)
        assert await refused(wire, conversation) == "busy"
        opening.open()
        gate.open()
        assert await done_of(wire, second) == "end_turn"


@pytest.mark.parametrize("end", ["cancelled", "failed", "refusal"])
async def test_a_queued_message_runs_however_the_one_before_it_ended(
    simulator: Simulator, end: str
) -> None:
    gate = Gate()
    answers = {
        "cancelled": Answer(Text(["Hel", "lo"])).at(4, gate),
        "failed": Answer(Text(["Hel", "lo"])).at(0, gate),
        "refusal": Answer(Text(["Hel", "lo"]), stop_reason="refusal").at(4, gate),
    }
    program = [answers[end], words("2")]
    if end == "failed":
        program[0] = Answer.of([gate, *Answer(Text("x")).events()[:2]])
    async with talking(simulator, *program, retries=0) as wire:
        ack = await wire.ask("send", content="first")
        await gate.reached()
        conversation, first = ack["conversation"], ack["turn"]
        second = await sent(wire, conversation, "second", if_busy="queue")
        if end == "cancelled":
            await wire.ask("cancel", conversation=conversation, turn=first)
        gate.open()
        assert await done_of(wire, first) == end
        assert await done_of(wire, second) == "end_turn"
        check_log(wire.events)
    before = {"cancelled": ["first", "Hel"], "failed": ["first"], "refusal": []}[end]
    last = shown(simulator)
    # Two messages of the user in a row are one or two: both are valid.
    assert last == [*before, "second"]


# Interrupt


async def test_an_interrupting_message_ends_the_running_turn_and_runs_before_the_waiting_ones(
    simulator: Simulator,
) -> None:
    async with busy(simulator, words("now"), words("2")) as (wire, conversation, first, _):
        second = await sent(wire, conversation, "second", if_busy="queue")
        third = await sent(wire, conversation, "third", if_busy="interrupt")
        assert await done_of(wire, first) == "cancelled"
        assert await done_of(wire, third) == "end_turn"
        assert await done_of(wire, second) == "end_turn"
        await upstream_left(simulator)
        assert [mark for mark in kinds(wire, second, third) if mark[1] == "start"] == [
            (third, "start"),
            (second, "start"),
        ]
        check_log(wire.events)
    # The model sees what it was interrupted at, and each message where it was answered.
    assert shown(simulator, 1) == ["first", "Hel", "third"]
    assert shown(simulator, 2) == ["first", "Hel", "third", "now", "second"]


async def test_an_interrupt_with_nothing_running_is_a_plain_message(simulator: Simulator) -> None:
    async with talking(simulator, words("1"), words("2")) as wire:
        first = await ended(wire, if_busy="interrupt")
        second = await ended(wire, conversation=first["conversation"], if_busy="interrupt")
        assert (first["stop_reason"], second["stop_reason"]) == ("end_turn", "end_turn")
        check_log(wire.events)


async def test_of_interrupts_in_one_breath_the_last_one_is_answered(simulator: Simulator) -> None:
    async with busy(simulator, words("x"), words("x"), words("x")) as (wire, conversation, _, _g):
        for number in range(3):
            fields = {"conversation": conversation, "key": f"k-{number}", "if_busy": "interrupt"}
            await wire.send("send", content=f"number {number}", **fields)
        dones = [await wire.until("done") for _ in range(4)]
        assert [done["stop_reason"] for done in dones] == ["cancelled"] * 3 + ["end_turn"]
        assert shown(simulator)[-1] == "number 2"
        check_log(wire.events)


# Retract


async def test_a_retracted_turn_is_asked_again_without_its_old_answer(
    simulator: Simulator,
) -> None:
    async with (
        talking(simulator, words("one"), words("another")) as wire,
        patience(),
    ):
        done = await ended(wire, "same")
        again = await ended(wire, "same", conversation=done["conversation"], retract=done["turn"])
        turns = wire.fold(done["conversation"]).turns
        assert {turn.turn: turn.text for turn in turns} == {again["turn"]: "another"}
        check_log(wire.events)
    assert shown(simulator) == ["same"]


async def test_an_edit_of_an_older_turn_voids_all_after_it(simulator: Simulator) -> None:
    answers = [words(text) for text in ("1", "2", "3", "new", "next")]
    async with talking(simulator, *answers) as wire:
        done = await ended(wire, "first")
        conversation = done["conversation"]
        second = await ended(wire, "second", conversation=conversation)
        third = await ended(wire, "third", conversation=conversation)
        edited = await ended(wire, "edit", conversation=conversation, retract=second["turn"])
        assert wire.fold(conversation).turns.ids == [done["turn"], edited["turn"]]
        for void in (second["turn"], third["turn"]):
            assert await refused(wire, conversation, retract=void) == "unknown_turn"
        await ended(wire, "next", conversation=conversation)
        check_log(wire.events)
    assert shown(simulator) == ["first", "1", "edit", "new", "next"]


async def test_a_retracted_running_turn_ends_first_and_retract_and_message_are_neighbours(
    simulator: Simulator,
) -> None:
    async with busy(simulator, words("again")) as (wire, conversation, first, _):
        second = await sent(wire, conversation, "edit", retract=first)
        assert await done_of(wire, second) == "end_turn"
        await upstream_left(simulator)
        marks = kinds(wire, first, second)
        assert marks[2:5] == [(first, "done"), (second, "retract"), (second, "message")]
        [retract] = of_type(wire, Retract)
        message = of_type(wire, Message)[-1]
        assert (retract.from_turn, message.seq) == (first, retract.seq + 1)
        assert wire.fold(conversation).turns.ids == [second]
        check_log(wire.events)
    assert shown(simulator) == ["edit"]


async def test_a_retract_of_the_running_turn_takes_the_waiting_ones_with_it(
    simulator: Simulator,
) -> None:
    async with busy(simulator, words("again")) as (wire, conversation, first, _):
        waiting = await sent(wire, conversation, "second", if_busy="queue")
        edited = await sent(wire, conversation, "edit", retract=first)
        assert await done_of(wire, edited) == "end_turn"
        assert [await done_of(wire, turn) for turn in (first, waiting)] == ["cancelled"] * 2
        assert (waiting, "start") not in kinds(wire, waiting)
        assert wire.fold(conversation).turns.ids == [edited]
        check_log(wire.events)
    assert len(simulator.requests) == 2


async def test_a_retract_of_a_waiting_turn_leaves_the_running_one_to_if_busy(
    simulator: Simulator,
) -> None:
    async with busy(simulator, words("now")) as (wire, conversation, first, _):
        waiting = await sent(wire, conversation, "second", if_busy="queue")
        assert await refused(wire, conversation, retract=waiting) == "busy"
        edited = await sent(wire, conversation, "edit", retract=waiting, if_busy="interrupt")
        assert await done_of(wire, edited) == "end_turn"
        assert [await done_of(wire, turn) for turn in (first, waiting)] == ["cancelled"] * 2
        assert wire.fold(conversation).turns.ids == [first, edited]
        check_log(wire.events)
    assert shown(simulator) == ["first", "Hel", "edit"]


async def test_a_retract_that_is_refused_has_no_effect(simulator: Simulator) -> None:
    async with busy(simulator) as (wire, conversation, first, gate):
        assert await refused(wire, conversation, retract="t_none") == "unknown_turn"
        assert await refused(wire, conversation, retract=first, if_busy="queue") == "bad_command"
        gate.open()
        assert await done_of(wire, first) == "end_turn"
        assert of_type(wire, Retract) == []


async def test_of_two_retracts_of_one_turn_the_second_finds_it_void(simulator: Simulator) -> None:
    async with talking(simulator, words("1"), words("2")) as wire:
        done = await ended(wire)
        conversation = done["conversation"]
        first = await sent(wire, conversation, "edit", retract=done["turn"])
        assert await refused(wire, conversation, retract=done["turn"]) == "unknown_turn"
        assert await done_of(wire, first) == "end_turn"


async def test_another_reader_follows_a_retract(simulator: Simulator) -> None:
    simulator.program(words("1"), words("2"))
    async with (
        serving(turnwire_over(simulator)) as address,
        wired(address) as wire,
        wired(address) as other,
    ):
        done = await ended(wire, "same")
        conversation = done["conversation"]
        await other.ask("subscribe", conversation=conversation)
        await other.until("done")
        again = await ended(wire, "same", conversation=conversation, retract=done["turn"])
        await other.until("done", turn=again["turn"])
        assert other.fold(conversation).to_dict() == wire.fold(conversation).to_dict()
        assert other.fold(conversation).turns.ids == [again["turn"]]


async def test_who_follows_from_the_ack_of_an_edit_is_told_what_it_retracted(
    simulator: Simulator,
) -> None:
    simulator.program(words("1"), words("2"))
    async with (
        serving(turnwire_over(simulator)) as address,
        wired(address) as wire,
        wired(address) as other,
    ):
        done = await ended(wire, "first")
        fields = {"conversation": done["conversation"], "retract": done["turn"]}
        ack = await other.ask("send", content="edit", **fields)
        assert (ack["after"], ack["seq"]) == (done["seq"], done["seq"] + 2)
        await other.until("done", turn=ack["turn"])
        assert [event.type for event in other.events[:2]] == ["retract", "message"]
        assert other.fold(done["conversation"]).turns.ids == [ack["turn"]]


async def test_a_retract_is_remembered_after_a_restart_and_so_is_its_key(
    simulator: Simulator, db: str
) -> None:
    simulator.program(words("1"), words("2"), words("3"))
    async with serving(turnwire_over(simulator, db=db)) as address, wired(address) as wire:
        done = await ended(wire, "same")
        conversation = done["conversation"]
        edit = {"content": "edit", "retract": done["turn"], "key": "k-1"}
        ack = await wire.ask("send", conversation=conversation, **edit)
        repeated = await wire.ask("send", conversation=conversation, **edit)
        await done_of(wire, ack["turn"])
        assert {**repeated, "id": ""} == {**ack, "id": ""}
    async with serving(turnwire_over(simulator, db=db)) as address, wired(address) as wire:
        await wire.ask("subscribe", conversation=conversation)
        repeated = await wire.ask("send", conversation=conversation, **edit)
        assert {**repeated, "id": ""} == {**ack, "id": ""}
        assert await refused(wire, conversation, retract=done["turn"]) == "unknown_turn"
        await ended(wire, "next", conversation=conversation)
        assert done["turn"] not in wire.fold(conversation).turns.ids
        check_log(wire.events)
    assert shown(simulator) == ["edit", "2", "next"]
    assert len(simulator.requests) == 3

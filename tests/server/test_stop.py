"""Stop, pressed anywhere and by anybody: an honest receipt, one end, and the next message works."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.kit.chat import ended, of_type, talking
from tests.kit.oracle import check_log
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import HeldStore, serving, turnwire_over, upstream_left
from tests.kit.sse import asking
from tests.kit.wire import Wire, wired
from turnwire_protocol import Done, Message, Start, ToolExecuting, ToolProgress, ToolResult
from turnwire_server import Turnwire
from turnwire_server.model.clients import connect
from turnwire_server.tools.port import ToolContext
from turnwire_simulator import (
    Answer,
    Cut,
    Gate,
    Simulator,
    Text,
    Thinking,
    ToolUse,
)

HELLO = Answer(Text(["Hel", "lo"]))
OK = Answer(Text("Ok."))


async def cancelled(wire: Wire, ack: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """(outcome, done) of cancelling the turn of that ack."""
    receipt = await wire.ask("cancel", conversation=ack["conversation"], turn=ack["turn"])
    return receipt["outcome"], await wire.until("done", turn=ack["turn"])


async def goes_on(wire: Wire, simulator: Simulator, conversation: str) -> None:
    """The conversation takes the next message, and its log keeps the invariants."""
    simulator.program(OK)
    done = await ended(wire, "next", conversation=conversation)
    assert done["stop_reason"] == "end_turn"
    check_log(wire.events)


class SilentModel:
    """A server that takes a request and never says a word."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked.set()
        # To its end: the client has closed the connection.
        await reader.read()
        self.left.set()
        writer.close()


@asynccontextmanager
async def silent_model() -> AsyncIterator[SilentModel]:
    model = SilentModel()
    server = await asyncio.start_server(model.serve, "127.0.0.1", 0)
    async with server:
        model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield model


async def test_before_the_models_first_byte_the_request_is_given_up() -> None:
    async with silent_model() as model, patience():
        turnwire = Turnwire(client=connect(model.url, "test-key"))
        async with serving(turnwire) as address, wired(address) as wire:
            ack = await wire.ask("send", content="Hello")
            await model.asked.wait()
            outcome, done = await cancelled(wire, ack)
            assert (outcome, done["stop_reason"], done["steps"]) == ("cancelling", "cancelled", 1)
            assert done["usage"]["estimated"] is True
            await model.left.wait()
            assert [e.type for e in wire.events] == ["message", "start", "step", "done"]


async def test_a_waiting_turn_is_removed_and_never_starts(simulator: Simulator) -> None:
    gate = Gate()
    async with talking(simulator, HELLO.at(4, gate)) as wire:
        first = await wire.ask("send", content="first")
        await wire.until("token")
        fields = {"conversation": first["conversation"], "if_busy": "queue"}
        second = await wire.ask("send", content="second", **fields)
        outcome, done = await cancelled(wire, second)
        assert (outcome, done["stop_reason"], done["steps"]) == ("queued_removed", "cancelled", 0)
        assert "estimated" not in done["usage"]
        assert (await wire.ask("cancel", **named(second)))["outcome"] == "already_done"
        gate.open()
        assert (await wire.until("done", turn=first["turn"]))["stop_reason"] == "end_turn"
        assert [start.turn for start in of_type(wire, Start)] == [first["turn"]]
        await goes_on(wire, simulator, first["conversation"])
    # A message that never ran is not shown to the model.
    assert "second" not in str(simulator.requests[-1])


def named(ack: dict[str, Any]) -> dict[str, Any]:
    """The fields of a command about the turn of that ack."""
    return {"conversation": ack["conversation"], "turn": ack["turn"]}


async def test_in_a_retry_delay_the_calls_of_the_failed_attempt_get_results(
    simulator: Simulator,
) -> None:
    broken = Answer(Thinking("Hm."), ToolUse("note", {}, id="toolu_1"), stop_reason="tool_use")
    broken = broken.at(len(broken.events()) - 2, Cut())
    async with talking(simulator, broken, base_delay=600, max_delay=600) as wire:
        ack = await wire.ask("send", content="Hello")
        await wire.until("retry")
        outcome, done = await cancelled(wire, ack)
        assert (outcome, done["stop_reason"]) == ("cancelling", "cancelled")
        # The failed attempt's last counts never came.
        assert done["usage"]["estimated"] is True
        [result] = of_type(wire, ToolResult)
        assert (result.tool_id, result.content) == ("toolu_1", "Cancelled by the user.")
        await goes_on(wire, simulator, ack["conversation"])


async def test_the_receipt_comes_before_the_end_and_the_second_one_says_it_is_done(
    simulator: Simulator,
) -> None:
    gate = Gate()
    async with talking(simulator, HELLO.at(4, gate)) as wire:
        ack = await wire.ask("send", content="Hello")
        await wire.until("token")
        for _ in range(3):
            await wire.send("cancel", **named(ack))
        frames = [await wire.receive() for _ in range(4)]
        assert [frame.get("outcome", frame["type"]) for frame in frames] == [
            *("cancelling", "already_done", "already_done", "done")
        ]
        await upstream_left(simulator)


async def test_a_message_right_behind_a_cancel_finds_the_conversation_free(
    simulator: Simulator,
) -> None:
    async with talking(simulator, HELLO.at(4, Gate()), OK) as wire:
        ack = await wire.ask("send", content="Hello")
        await wire.until("token")
        await wire.send("cancel", **named(ack))
        following = await wire.ask("send", conversation=ack["conversation"], content="next")
        assert following["type"] == "ack"
        done = await wire.until("done", turn=following["turn"])
        assert done["stop_reason"] == "end_turn"
        ends = [(event.turn, event.stop_reason) for event in of_type(wire, Done)]
        assert ends == [(ack["turn"], "cancelled"), (following["turn"], "end_turn")]
        check_log(wire.events)


async def test_a_late_cancel_changes_nothing_and_does_not_hit_the_next_turn(
    simulator: Simulator,
) -> None:
    gate = Gate()
    async with talking(simulator, OK, HELLO.at(4, gate)) as wire:
        first = await wire.ask("send", content="first", key="k-1")
        assert (await wire.until("done"))["stop_reason"] == "end_turn"
        fields = {"conversation": first["conversation"], "content": "second"}
        second = await wire.ask("send", **fields)
        await wire.until("token", turn=second["turn"])
        for name in ({"turn": first["turn"]}, {"key": "k-1"}):
            receipt = await wire.ask("cancel", conversation=first["conversation"], **name)
            assert (receipt["turn"], receipt["outcome"]) == (first["turn"], "already_done")
        gate.open()
        assert (await wire.until("done"))["stop_reason"] == "end_turn"
        check_log(wire.events)
    assert simulator.aborted_streams == 0


async def test_a_receipt_that_crosses_the_end_agrees_with_it(simulator: Simulator) -> None:
    outcomes = {"cancelling": "cancelled", "already_done": "end_turn"}
    async with talking(simulator) as wire:
        conversation: dict[str, str] = {}
        for _ in range(20):
            gate = Gate()
            simulator.program(HELLO.at(7, gate))
            ack = await wire.ask("send", content="Hello", **conversation)
            conversation = {"conversation": ack["conversation"]}
            await wire.until("block_stop", turn=ack["turn"])
            gate.open()
            await wire.send("cancel", **named(ack))
            receipt = await wire.until("ack", turn=ack["turn"])
            dones = [event for event in of_type(wire, Done) if event.turn == ack["turn"]]
            reason = dones[0].stop_reason if dones else (await wire.until("done"))["stop_reason"]
            assert reason == outcomes[receipt["outcome"]]
        check_log(wire.events)


@pytest.mark.parametrize("by", ["turn", "key"])
@pytest.mark.parametrize("way", ["another socket", "REST"])
async def test_anybody_may_stop_a_turn_by_its_id_or_its_key(
    simulator: Simulator, way: str, by: str
) -> None:
    simulator.program(HELLO.at(4, Gate()))
    async with (
        serving(turnwire_over(simulator)) as address,
        wired(address) as wire,
        wired(address) as other,
        asking(address) as http,
    ):
        ack = await wire.ask("send", content="Hello", key="k-1")
        await wire.until("token")
        name = {"turn": ack["turn"]} if by == "turn" else {"key": "k-1"}
        if way == "REST":
            path = f"/v1/conversations/{ack['conversation']}/cancel"
            receipt = (await http.post(path, json=name)).json()
        else:
            receipt = await other.ask("cancel", conversation=ack["conversation"], **name)
        assert (receipt["turn"], receipt["outcome"]) == (ack["turn"], "cancelling")
        done = await wire.until("done")
        assert (done["turn"], done["stop_reason"]) == (ack["turn"], "cancelled")
        await upstream_left(simulator)
        await goes_on(wire, simulator, ack["conversation"])


async def test_a_cancel_by_key_in_one_breath_with_its_send_ends_it_once(
    simulator: Simulator,
) -> None:
    async with talking(simulator, OK) as wire:
        conversation = (await ended(wire, "first"))["conversation"]
        asked = await wire.send("send", conversation=conversation, content="second", key="k-2")
        stopped = await wire.send("cancel", conversation=conversation, key="k-2")
        replies: dict[str, dict[str, Any]] = {}
        done: dict[str, Any] = {}
        while not (done and {asked, stopped} <= replies.keys()):
            frame = await wire.receive()
            if frame["type"] == "done":
                done = frame
            elif frame["type"] == "ack":
                replies[frame["id"]] = frame
        turn = replies[asked]["turn"]
        assert (done["turn"], done["stop_reason"]) == (turn, "cancelled")
        assert (replies[stopped]["turn"], replies[stopped]["outcome"]) == (turn, "cancelling")
        await goes_on(wire, simulator, conversation)
        assert [event.turn for event in of_type(wire, Done)].count(turn) == 1
        # Its beginning goes with its message; nothing acts before both are durable.
        types = [event.type for event in wire.events if event.turn == turn]
        assert types == ["message", "start", "step", "done"]
    # The first and the next one; the cancelled one was never asked.
    assert len(simulator.requests) == 2


async def test_a_cancel_by_key_before_the_message_is_durable_ends_it_and_the_model_is_not_asked(
    simulator: Simulator,
) -> None:
    store = HeldStore()
    store.released.set()
    async with serving(turnwire_over(simulator, store=store)) as address, wired(address) as wire:
        conversation = (await ended(wire, "first"))["conversation"]
        store.released.clear()
        store.asked.clear()
        await wire.send("send", conversation=conversation, content="second", key="k-2")
        await store.asked.wait()
        # Its ack is not out: the message is being stored.
        receipt = await wire.ask("cancel", conversation=conversation, key="k-2")
        assert receipt["outcome"] == "cancelling"
        store.released.set()
        done = await wire.until("done")
        assert done["stop_reason"] == "cancelled"
        assert "estimated" not in done["usage"]
        assert [message.content for message in of_type(wire, Message)] == ["first", "second"]
        await goes_on(wire, simulator, conversation)
    assert len(simulator.requests) == 2


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ({"turn": "t_none"}, "unknown_turn"),
        ({"key": "none"}, "unknown_turn"),
        ({}, "bad_command"),
        ({"turn": "t_none", "key": "none"}, "bad_command"),
    ],
)
async def test_a_cancel_of_nothing_is_rejected(
    simulator: Simulator, name: dict[str, str], code: str
) -> None:
    async with talking(simulator, OK) as wire:
        conversation = (await ended(wire))["conversation"]
        reject = await wire.ask("cancel", conversation=conversation, **name)
        assert (reject["type"], reject["code"]) == ("reject", code)


# While tools run


async def test_what_a_thread_says_after_the_cancel_is_ignored(simulator: Simulator) -> None:
    begun, proceed, ended_late = threading.Event(), threading.Event(), threading.Event()

    def slow(context: ToolContext) -> str:
        """Take its time."""
        begun.set()
        proceed.wait(PATIENCE_SECONDS)
        context.progress("late", 0.5)
        ended_late.set()
        return "late"

    call = Answer(ToolUse("slow", {}, id="toolu_1"), stop_reason="tool_use")
    async with talking(simulator, call, tools=[slow]) as wire:
        ack = await wire.ask("send", content="Hello")
        await asyncio.to_thread(begun.wait, PATIENCE_SECONDS)
        await wire.until("tool_executing")
        outcome, done = await cancelled(wire, ack)
        assert (outcome, done["stop_reason"]) == ("cancelling", "cancelled")
        proceed.set()
        assert await asyncio.to_thread(ended_late.wait, PATIENCE_SECONDS)
        await goes_on(wire, simulator, ack["conversation"])
        assert of_type(wire, ToolProgress) == []
        assert [result.content for result in of_type(wire, ToolResult)] == [
            "Cancelled by the user."
        ]


async def test_a_tool_that_will_not_be_cancelled_does_not_delay_the_end(
    simulator: Simulator,
) -> None:
    begun, proceed, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def stubborn() -> str:
        """Ignore it."""
        try:
            begun.set()
            await proceed.wait()
        except asyncio.CancelledError:
            await proceed.wait()
        over.set()
        return "late"

    call = Answer(ToolUse("stubborn", {}, id="toolu_1"), stop_reason="tool_use")
    async with (
        talking(simulator, call, tools=[stubborn]) as wire,
        patience(),
    ):
        ack = await wire.ask("send", content="Hello")
        await begun.wait()
        await wire.until("tool_executing")
        _, done = await cancelled(wire, ack)
        assert done["stop_reason"] == "cancelled"
        await goes_on(wire, simulator, ack["conversation"])
        proceed.set()
        await over.wait()
        [result] = of_type(wire, ToolResult)
        assert result.content == "Cancelled by the user."
    assert len(simulator.requests) == 2


@pytest.mark.parametrize("finished", [0, 1])
async def test_while_two_tools_run_what_is_finished_stays_and_the_rest_is_told_as_cancelled(
    simulator: Simulator, finished: int
) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    stopped: list[int] = []

    async def hold(n: int) -> str:
        """Hold."""
        try:
            await gates[n].wait()
        except asyncio.CancelledError:
            stopped.append(n)
            raise
        return f"held {n}"

    answer = Answer(
        Thinking(["Hm", "."]),
        Text(["Let", " me."]),
        *(ToolUse("hold", {"n": n}, id=f"toolu_{n}") for n in range(2)),
        stop_reason="tool_use",
    )
    async with talking(simulator, answer, tools=[hold]) as wire:
        ack = await wire.ask("send", content="Hello")
        await wire.until("tool_executing", tool_id="toolu_1")
        if finished:
            gates[0].set()
            await wire.until("tool_result", tool_id="toolu_0")
        _, done = await cancelled(wire, ack)
        assert len(of_type(wire, ToolExecuting)) == 2
        given = {event.tool_id: event.content for event in of_type(wire, ToolResult)}
        told = "Cancelled by the user."
        assert given == {"toolu_0": "held 0" if finished else told, "toolu_1": told}
        assert sorted(stopped) == ([1] if finished else [0, 1])
        # The step had ended, with the model's own counts.
        assert "estimated" not in done["usage"]
        await goes_on(wire, simulator, ack["conversation"])
    # The step's stream had come to its end; there was nothing to abort.
    assert simulator.aborted_streams == 0

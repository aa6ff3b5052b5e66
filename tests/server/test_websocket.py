"""The WebSocket transport, driven with bare frames: order, cursors, subscriptions, keys."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

from starlette.websockets import WebSocket

from tests.kit.failing_store import FailingStore
from tests.kit.patience import PATIENCE_SECONDS
from tests.kit.service import HeldStore, serving, turnwire_over, upstream_left
from tests.kit.sse import asking
from tests.kit.wire import narrow, opened, wired
from turnwire_server import create_app
from turnwire_server.core.limits import Places
from turnwire_server.errors import StoreError
from turnwire_server.store.memory import MemoryStore
from turnwire_server.store.port import Batch, Claim
from turnwire_server.transports.handshake import Lobby
from turnwire_server.transports.websocket import Connection
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
        await upstream_left(simulator)


async def test_welcome_comes_first_and_an_unneeded_hello_is_acked(address: str) -> None:
    async with opened(address) as wire:
        await wire.send("ping")
        welcome = await wire.receive()
        assert welcome["type"] == "welcome"
        assert welcome["protocol"] == "turnwire.v1"
        assert welcome["limits"]["max_frame_bytes"] == 2**20
        assert (await wire.receive())["type"] == "pong"
        assert (await wire.ask("hello", token="whatever"))["type"] == "ack"


async def test_the_ack_of_a_send_precedes_the_first_event_of_its_subscription(
    address: str,
) -> None:
    async with wired(address) as wire:
        id = await wire.send("send", content="hi")
        ack = await wire.receive()
        assert (ack["type"], ack["id"], ack["after"], ack["seq"]) == ("ack", id, 0, 1)
        message = await wire.receive()
        assert (message["type"], message["seq"], message["turn"]) == ("message", 1, ack["turn"])


async def test_the_ack_of_a_subscribe_precedes_its_events_and_tells_the_head(
    address: str,
) -> None:
    async with wired(address) as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        done = await wire.until("done")
    async with wired(address) as other:
        id = await other.send("subscribe", conversation=conversation, after=3)
        ack = await other.receive()
        assert ack["id"] == id
        assert (ack["head"], ack["after"]) == (done["seq"], 3)
        await other.until("done")
        assert other.events[0].seq > 3


async def test_subscribing_again_replaces_the_subscription(address: str) -> None:
    async with wired(address) as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        done = await wire.until("done")
        before = len(wire.events)
        await wire.ask("subscribe", conversation=conversation, after=done["seq"] - 1)
        assert (await wire.receive())["seq"] == done["seq"]
        await wire.ask("ping")
        assert len(wire.events) == before + 1


async def test_no_event_follows_the_ack_of_an_unsubscribe(
    address: str, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate))
    async with wired(address) as wire, wired(address) as other:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await gate.reached()
        await wire.ask("unsubscribe", conversation=conversation)
        before = len(wire.events)
        await other.ask("subscribe", conversation=conversation)
        gate.open()
        await other.until("done")
        await wire.ask("ping")
        assert len(wire.events) == before


async def test_a_send_never_moves_an_existing_cursor(address: str) -> None:
    async with wired(address) as wire:
        first = await wire.ask("send", content="one", key="k-1")
        await wire.until("done")
        again = await wire.ask("send", content="one", key="k-1")
        assert (again["turn"], again["after"]) == (first["turn"], 0)
        fields = {"content": "two", "conversation": first["conversation"]}
        ack = await wire.ask("send", **fields)
        done = await wire.until("done", turn=ack["turn"])
        seqs = wire.seqs()
        assert seqs == sorted(set(seqs))
        assert seqs[-1] == done["seq"]


async def test_a_repeated_key_attaches_to_the_same_turn_on_any_connection(
    address: str, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate))
    async with wired(address) as wire, wired(address) as other:
        first = await wire.ask("send", content="hi", key="k-1")
        await gate.reached()
        again = await wire.ask("send", content="hi", key="k-1")
        elsewhere = await other.ask("send", content="hi", key="k-1")
        gate.open()
        await other.until("done")
        for ack in (again, elsewhere):
            assert {**ack, "id": ""} == {**first, "id": ""}
        assert other.events[0].type == "message"
        assert len(simulator.requests) == 1


async def test_a_key_with_another_body_is_key_reused(address: str) -> None:
    async with wired(address) as wire:
        await wire.ask("send", content="hi", key="k-1")
        reject = await wire.ask("send", content="something else", key="k-1")
        assert (reject["type"], reject["code"]) == ("reject", "key_reused")


async def test_a_cursor_ahead_of_the_log_is_reset_and_replayed(address: str) -> None:
    async with wired(address) as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        done = await wire.until("done")
    async with wired(address) as other:
        ack = await other.ask("subscribe", conversation=conversation, after=done["seq"] + 1)
        assert ack["after"] == 0
        reset = await other.receive()
        assert (reset["type"], reset["epoch"]) == ("reset", ack["epoch"])
        await other.until("done")
        assert other.fold(conversation).to_dict() == wire.fold(conversation).to_dict()


async def test_a_cursor_of_another_epoch_is_reset_and_replayed(address: str) -> None:
    async with wired(address) as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await wire.until("done")
    async with wired(address) as other:
        await other.ask("subscribe", conversation=conversation, after=2, epoch="of-another-log")
        assert (await other.receive())["type"] == "reset"
        assert (await other.receive())["seq"] == 1


async def test_the_events_of_a_deleted_conversation_end_with_closed(address: str) -> None:
    async with wired(address) as wire, asking(address) as http:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await wire.until("done")
        assert (await http.delete(f"/v1/conversations/{conversation}")).status_code == 204
        closed = await wire.until("closed")
        assert closed["code"] == "unknown_conversation"
        assert closed["conversation"] == conversation


async def test_a_send_whose_connection_is_lost_before_the_commit_still_runs_only_after_it(
    simulator: Simulator,
) -> None:
    store = HeldStore()
    async with serving(turnwire_over(simulator, store=store)) as address:
        async with wired(address) as wire:
            await wire.send("send", content="hi", key="k-1")
            await store.asked.wait()
        async with wired(address) as other:
            await other.send("send", content="hi", key="k-1")
            await other.ask("ping")
            assert simulator.requests == []
            store.released.set()
            await other.until("done")
            assert other.seqs()[0] == 1
            assert len(simulator.requests) == 1


async def test_subscriptions_of_a_connection_are_bounded(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, limits={"max_subscriptions": 1})
    async with serving(turnwire) as address, wired(address) as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await wire.until("done")
        reject = await wire.ask("send", content="hi")
        assert (reject["type"], reject["code"]) == ("reject", "too_many")
        assert (await wire.ask("subscribe", conversation=conversation))["type"] == "ack"


async def test_sockets_of_a_principal_are_bounded(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, limits={"max_sockets": 1})
    async with serving(turnwire) as address:
        async with wired(address), opened(address) as other:
            assert await other.closed() == 4429
        async with wired(address) as again:
            assert (await again.ask("ping"))["type"] == "pong"


async def test_running_turns_of_a_principal_are_bounded(simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate))
    turnwire = turnwire_over(simulator, limits={"max_running_turns": 1})
    async with serving(turnwire) as address, wired(address) as wire:
        await wire.ask("send", content="one")
        await gate.reached()
        reject = await wire.ask("send", content="two")
        assert (reject["code"], reject["retryable"]) == ("too_many", True)
        gate.open()
        await wire.until("done")
        assert (await wire.ask("send", content="three"))["type"] == "ack"
        await wire.until("done")


class HeldClaims(MemoryStore):
    """A store that lets nobody begin a conversation until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()
        self.released = asyncio.Event()

    async def claim(
        self, conversation: str, owner: str, epoch: str, *, is_new: bool = False
    ) -> Claim:
        self.asked.set()
        await self.released.wait()
        return await super().claim(conversation, owner, epoch, is_new=is_new)


async def test_commands_that_wait_for_others_are_bounded_and_pings_pass_them_all(
    simulator: Simulator,
) -> None:
    store = HeldClaims()
    turnwire = turnwire_over(simulator, store=store)
    app = create_app(turnwire)

    @app.websocket("/narrow/v1/ws")
    async def websocket(socket: WebSocket) -> None:
        limits = turnwire.settings.limits
        common: dict[str, Any] = {"access": turnwire.access, "hub": turnwire.hub, "models": []}
        room: dict[str, Any] = {"lobby": Lobby(1), "places": Places("sockets", 1)}
        await Connection(socket, **common, **room, limits=limits, max_waiting=1).run()

    async with serving(app) as address, wired(f"{address}/narrow") as wire:
        handled = await wire.send("send", content="is handled")
        await store.asked.wait()
        waiting = await wire.send("send", content="waits")
        refused = await wire.ask("send", content="is one too many")
        assert (refused["type"], refused["code"]) == ("reject", "too_many")
        assert (await wire.ask("ping"))["type"] == "pong"
        store.released.set()
        for id in (handled, waiting):
            await wire.until("ack", id=id)


async def test_a_conversation_is_subscribed_within_the_bound_too(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, limits={"max_subscriptions": 1})
    async with serving(turnwire) as address, wired(address) as wire, wired(address) as other:
        here, there = [(await w.ask("send", content="hi"))["conversation"] for w in (wire, other)]
        refused = await wire.ask("subscribe", conversation=there)
        assert (refused["type"], refused["code"]) == ("reject", "too_many")
        await wire.ask("unsubscribe", conversation=here)
        assert (await wire.ask("subscribe", conversation=there))["type"] == "ack"


class FailingOnce(MemoryStore):
    """A store whose first commit fails."""

    def __init__(self) -> None:
        super().__init__()
        self.has_failed = False

    async def append(self, batches: list[Batch]) -> None:
        if not self.has_failed:
            self.has_failed = True
            raise StoreError("the disk is full")
        await super().append(batches)


async def test_a_message_that_could_not_be_stored_leaves_no_subscription_in_the_next_ones_way(
    simulator: Simulator,
) -> None:
    limits = {"max_subscriptions": 1, "max_commands_per_second": 100_000}
    turnwire = turnwire_over(simulator, store=FailingOnce(), limits=limits)
    async with serving(turnwire) as address, wired(address) as wire:
        reply = await wire.ask("send", content="hi", key="k-1")
        assert (reply["type"], reply["code"]) == ("reject", "storage_unavailable")
        while reply.get("code") == "storage_unavailable":
            reply = await wire.ask("send", content="hi", key="k-1")
        assert reply["type"] == "ack", reply
        assert (await wire.until("done"))["turn"] == reply["turn"]


async def test_a_subscription_waits_for_no_turn_whose_message_could_not_be_stored(
    simulator: Simulator,
) -> None:
    gate, store = Gate(), FailingStore()
    simulator.program(Answer(Text(["Hel", gate, "lo"])))
    limits = {"max_subscriptions": 1, "max_commands_per_second": 100_000}
    turnwire = turnwire_over(simulator, store=store, limits=limits)
    async with serving(turnwire) as address, wired(address) as wire:
        first = await wire.ask("send", content="hi", follow="turn")
        await wire.until("token")
        store.fails = True
        more = {"conversation": first["conversation"], "if_busy": "queue", "follow": "turn"}
        refused = await wire.ask("send", content="more", **more)
        assert (refused["type"], refused["code"]) == ("reject", "storage_unavailable")
        store.fails = False
        gate.open()
        await wire.until("done", turn=first["turn"])
        reply = refused
        while reply.get("code") == "storage_unavailable":
            reply = await wire.ask("send", content="elsewhere")
        assert reply["type"] == "ack", reply


async def test_who_connects_while_the_service_drains_is_told_so(simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", gate, "lo"])))
    turnwire = turnwire_over(simulator)
    async with serving(turnwire) as address, wired(address) as wire:
        await wire.ask("send", content="hi")
        await wire.until("token")
        draining = asyncio.create_task(turnwire.drain(PATIENCE_SECONDS))
        await wire.until("going_away")
        async with wired(address) as late:
            await late.until("going_away")
        gate.open()
        await wire.until("done")
        await draining


async def test_a_peer_that_closes_as_the_server_ends_keeps_nobody_else_from_its_end(
    simulator: Simulator,
) -> None:
    simulator.program(Answer(Text([f"{number:04d} " + "x" * 995 for number in range(1000)])))
    turnwire = turnwire_over(simulator, limits={"max_frame_bytes": 2**20})
    async with AsyncExitStack() as readers:
        async with serving(turnwire, send_buffer_bytes=4096) as address:
            leaving = await readers.enter_async_context(narrow(address))
            staying = await readers.enter_async_context(wired(address))
            ack = await staying.ask("send", content="hi")
            await staying.until("done")
            await leaving.ask("subscribe", conversation=ack["conversation"])
            # It has not read what is on its way to it: so the answer to its close waits, too.
            leaving.socket.protocol.send_close(1000)
            leaving.socket.transport.write(b"".join(leaving.socket.protocol.data_to_send()))
            await staying.until("pong", id=await staying.send("ping"))
        assert await staying.closed() == 1012
        leaving.socket.transport.abort()  # Nobody answers its close any more.

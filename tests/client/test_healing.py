"""Lost connections: what is resumed, repeated, given up; nothing twice and nothing skipped."""

import asyncio
from typing import Any

import pytest

from tests.kit.patience import SILENCE_SECONDS
from tests.kit.scripted_server import (
    AT_ONCE,
    CONVERSATION,
    EPOCH,
    Frame,
    Peer,
    ScriptedServer,
    answer,
    collect,
)
from turnwire import (
    ConnectionLost,
    ConversationClosed,
    Event,
    Message,
    Rejected,
    Reset,
    State,
    Token,
    TurnFailed,
    connect,
)
from turnwire_protocol import fold, parse_event, span_of

TEXTS = ["a", "b", "c", "d", "e", "f"]
LOG = answer(*TEXTS)
DROPS = range(len(LOG) + 1)
ALL = [parse_event(frame) for frame in LOG]


def merged(frames: list[Frame], first: int, last: int) -> list[Frame]:
    """The log with frames first to last, all tokens, as one."""
    run = frames[first : last + 1]
    one = run[-1] | {"text": "".join(frame["text"] for frame in run), "span": len(run)}
    return [*frames[:first], one, *frames[last + 1 :]]


def texts_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))


async def resumed(server: ScriptedServer, after: int) -> Peer:
    """The next connection, its subscription acked."""
    peer = await server.peer()
    command = await peer.receive("subscribe")
    assert (command["after"], command["epoch"]) == (after, EPOCH)
    await peer.ack_subscribe(command, head=len(LOG))
    return peer


@pytest.mark.parametrize("sent", DROPS)
async def test_a_drop_at_any_event_resumes_behind_it(server: ScriptedServer, sent: int) -> None:
    async with connect(server.url, backoff=AT_ONCE) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(chat.send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        got: list[Event] = []
        reading = asyncio.create_task(collect(aiter(turn), got))
        follower = aiter(chat.follow())
        await peer.send(*LOG[:sent])
        followed = [await anext(follower) for _ in range(min(sent, 3))]
        while chat.state.seq < sent:
            followed.append(await anext(follower))
        peer.drop()
        peer = await resumed(server, sent)
        # One too early as well: a duplicate, as a server may send that repeats to be sure.
        await peer.send(*LOG[max(sent - 1, 0) :])
        reply = await turn
        await reading
        folded = chat.state
        while sum(map(span_of, (e for e in followed if not isinstance(e, Reset)))) < len(LOG):
            followed.append(await anext(follower))
    assert reply.text == "".join(TEXTS)
    assert folded.to_dict() == fold(ALL).to_dict()
    assert sum(map(span_of, got)) == len(LOG)
    assert texts_of(got) == "".join(TEXTS)
    assert [event.seq for event in got] == sorted({event.seq for event in got})


async def test_a_send_whose_ack_is_lost_is_repeated_under_its_key(server: ScriptedServer) -> None:
    async with connect(server.url, backoff=AT_ONCE) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        first = await peer.receive("send")
        peer.drop()
        peer = await server.peer()
        second = await peer.receive("send")
        await peer.ack_send(second)
        await peer.send(*LOG)
        turn = await sending
        assert (await turn).text == "".join(TEXTS)
    assert first == second
    assert first["key"] == turn.key


async def test_a_cancel_whose_ack_is_lost_is_repeated(server: ScriptedServer) -> None:
    async with connect(server.url, backoff=AT_ONCE) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        cancelling = asyncio.create_task((await sending).cancel())
        first = await peer.receive("cancel")
        peer.drop()
        peer = await resumed(server, 0)
        second = await peer.receive("cancel")
        await peer.ack(second, turn="t_1", outcome="already_done")
        assert await cancelling == "already_done"
    assert first == second


async def test_a_gap_is_filled_by_subscribing_again(server: ScriptedServer) -> None:
    async with connect(server.url) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        await peer.send(*LOG[:3], *LOG[4:6])
        command = await peer.receive("subscribe")
        # Of the old cut, still under way when the gap was seen: not to be applied.
        await peer.send(LOG[3])
        await peer.ack_subscribe(command, head=len(LOG))
        await peer.send(*LOG[3:])
        assert (command["after"], command["epoch"]) == (3, EPOCH)
        assert texts_of([event async for event in turn]) == "".join(TEXTS)


@pytest.mark.parametrize("ack_first", [True, False])
@pytest.mark.parametrize("read", [1, 4, 6])
async def test_after_a_reset_an_iteration_goes_on_where_it_was(
    server: ScriptedServer, read: int, ack_first: bool
) -> None:
    # The new log holds the same turn further back, its tokens merged across what was read.
    other = answer("z", turn="t_0")
    replay = merged([*other, *(f | {"seq": f["seq"] + len(other)} for f in LOG)], 10, 13)
    async with connect(server.url, backoff=AT_ONCE) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(chat.send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        events = aiter(turn)
        got: list[Event] = []
        for frame in LOG[:read]:
            await peer.send(frame)
            got.append(await anext(events))
        peer.drop()
        peer = await server.peer()
        command = await peer.receive("subscribe")
        ack = {"type": "ack", "id": command["id"], "head": 17, "epoch": "e2", "after": 0}
        reset = {"type": "reset", "conversation": CONVERSATION, "epoch": "e2", "reason": "new"}
        await peer.send(*((ack, reset) if ack_first else (reset, ack)), *replay)
        await collect(events, got)
        reply = await turn
        assert chat.epoch == "e2"
        assert chat.state.turns.ids == ["t_0", "t_1"]
    assert [event.type for event in got if not isinstance(event, Token)] == [
        event.type for event in ALL if not isinstance(event, Token)
    ]
    assert texts_of(got) == reply.text == "".join(TEXTS)


async def test_a_follower_is_told_of_a_reset_and_gets_the_new_log(server: ScriptedServer) -> None:
    async with connect(server.url, backoff=AT_ONCE) as wire:
        events = aiter(wire.conversation(CONVERSATION).follow())
        first = asyncio.ensure_future(anext(events))
        peer = await server.peer()
        await peer.ack_subscribe(await peer.receive("subscribe"), head=1)
        await peer.send(LOG[0])
        await first
        peer.drop()
        peer = await server.peer()
        command = await peer.receive("subscribe")
        reset = {"type": "reset", "conversation": CONVERSATION, "epoch": "e2", "reason": "new"}
        await peer.ack(command, head=1, epoch="e2", after=0)
        got = [await anext(events)]
        # It says the same as the ack did, and is told once.
        await peer.send(reset, LOG[0] | {"content": "Other"})
        got.append(await anext(events))
    assert [type(each) for each in got] == [Reset, Message]
    assert isinstance(got[1], Message)
    assert got[1].content == "Other"


@pytest.mark.parametrize("head", [10, 2])
async def test_a_load_ends_where_the_log_that_a_reset_began_ends(
    server: ScriptedServer, head: int
) -> None:
    """The reset comes unasked in mid-load, and the log before it was longer, or shorter."""
    other = answer("x")
    async with connect(server.url) as wire:
        chat = wire.conversation(CONVERSATION)
        loading = asyncio.create_task(chat.load())
        peer = await server.peer()
        await peer.ack_subscribe(await peer.receive("subscribe"), head=head)
        reset = {"type": "reset", "conversation": CONVERSATION, "epoch": "e2", "reason": "new"}
        # What the server sends of its own accord is behind the ack too, so this is dropped.
        await peer.send(LOG[0], reset, *other[:2])
        command = await peer.receive("subscribe")
        await peer.ack_subscribe(command, head=len(other), epoch="e2")
        await peer.send(*other)
        state = await loading
        await peer.receive("unsubscribe")
    assert (command.get("after", 0), command["epoch"]) == (0, "e2")
    assert state.to_dict() == fold([parse_event(frame) for frame in other]).to_dict()


async def test_a_send_after_an_unasked_reset_asks_where_that_log_ends(
    server: ScriptedServer,
) -> None:
    """The subscription is refused for now when the send is acked, which tells no head."""
    async with connect(server.url, backoff=AT_ONCE) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(chat.send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        lost = await sending
        sending = asyncio.create_task(chat.send("Again"))
        again = await peer.receive("send")
        reset = {"type": "reset", "conversation": CONVERSATION, "epoch": "e2", "reason": "new"}
        await peer.send(LOG[0], reset)
        command = await peer.receive("subscribe")
        refusal = reject(command, "too_many", retryable=True, retry_after_seconds=3600)
        acked = {"type": "ack", "id": again["id"], "conversation": CONVERSATION, "turn": "t_2"}
        await peer.send(refusal, acked | {"seq": 1, "epoch": "e2", "after": 0})
        await sending
        await peer.ack_subscribe(await peer.receive("subscribe"), head=1, epoch="e2")
        await peer.send(answer("x", turn="t_2")[0])
        with pytest.raises(TurnFailed) as caught:
            await lost
    assert caught.value.code == "unknown_turn"


async def test_a_turn_that_a_reset_lost_fails(server: ScriptedServer) -> None:
    async with connect(server.url, backoff=AT_ONCE) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        got: list[Event] = []
        reading = asyncio.create_task(collect(aiter(turn), got))
        await peer.send(LOG[0])
        peer.drop()
        peer = await server.peer()
        await peer.ack(await peer.receive("subscribe"), head=0, epoch="e2", after=0)
        with pytest.raises(TurnFailed) as caught:
            await turn
        with pytest.raises(TurnFailed):
            await reading
    assert caught.value.code == "unknown_turn"


async def test_without_heal_the_first_loss_ends_everything(server: ScriptedServer) -> None:
    async with connect(server.url, heal=False) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.receive("send")
        peer.drop()
        with pytest.raises(ConnectionLost) as caught:
            await sending
    assert caught.value.close_code == 1006


async def test_a_token_that_is_refused_later_ends_everything(server: ScriptedServer) -> None:
    async with connect(server.url, backoff=AT_ONCE) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.receive("send")
        server.refuse = 401
        peer.drop()
        with pytest.raises(Exception, match="401"):
            await sending
        assert wire.state is State.CLOSED


async def test_a_silent_connection_is_pinged_and_then_replaced() -> None:
    async with (
        ScriptedServer(heartbeat_seconds=SILENCE_SECONDS) as server,
        connect(server.url, backoff=AT_ONCE) as wire,
    ):
        peer = await server.peer()
        ping = await peer.receive("ping")
        await peer.send({"type": "pong", "id": ping["id"]})
        # Answered, so the same connection is asked again; unanswered, another one comes.
        await peer.receive("ping")
        other = await server.peer()
        await peer.gone()
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        await other.ack_send(await other.receive("send"))
        await sending


async def test_a_draining_server_gets_no_new_turn(server: ScriptedServer) -> None:
    async with connect(server.url, backoff=AT_ONCE) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(chat.send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        crossed = asyncio.create_task(wire.conversation().send("Crossed"))
        first = await peer.receive("send")
        await peer.send({"type": "going_away", "reconnect_after_seconds": 0})
        await peer.send(reject(first, "draining", retryable=True), *LOG[:4])
        await anext(aiter(turn))
        held = asyncio.create_task(wire.conversation().send("Held"))
        cancelling = asyncio.create_task(turn.cancel())
        # Behind the held send in time, before it on the wire: the send did not go out.
        await peer.ack(await peer.receive("cancel"), turn="t_1", outcome="cancelling")
        await cancelling
        await peer.ws.close(1012)
        peer = await resumed(server, 4)
        for number, task in enumerate((crossed, held), 2):
            command = await peer.receive("send")
            await peer.ack(
                command,
                conversation=f"c_{number}",
                turn=f"t_{number}",
                seq=1,
                epoch=EPOCH,
                after=0,
            )
            assert (await task).conversation == f"c_{number}"


def reject(command: Frame, code: str, **fields: Any) -> Frame:
    return {"type": "reject", "id": command["id"], "code": code, "message": "no", **fields}


@pytest.mark.parametrize("how", ["reject", "closed"])
@pytest.mark.parametrize("retryable", [True, False])
async def test_a_subscription_that_ends_is_asked_for_again_if_it_may_be(
    server: ScriptedServer, how: str, retryable: bool
) -> None:
    async with connect(server.url, backoff=AT_ONCE) as wire:
        chat = wire.conversation(CONVERSATION)
        first = asyncio.ensure_future(anext(aiter(chat.follow())))
        peer = await server.peer()
        command = await peer.receive("subscribe")
        if how == "reject":
            await peer.send(reject(command, "unknown_conversation", retryable=retryable))
        else:
            closed = {"conversation": CONVERSATION, "code": "not_found", "retryable": retryable}
            await peer.ack_subscribe(command, head=1)
            await peer.send({"type": "closed", **closed})
        if not retryable:
            with pytest.raises(Rejected if how == "reject" else ConversationClosed):
                await first
            # A new iteration asks anew.
            first = asyncio.ensure_future(anext(aiter(chat.follow())))
        await peer.ack_subscribe(await peer.receive("subscribe"), head=1)
        await peer.send(LOG[0])
        assert await first == ALL[0]

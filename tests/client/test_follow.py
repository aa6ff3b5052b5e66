"""Following a conversation: from anywhere, several at once, beside turns of our own."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from tests.kit.scripted_server import CONVERSATION, EPOCH, Frame, Peer, ScriptedServer, answer
from turnwire import BadPosition, Event, Reset, Token, connect
from turnwire_protocol import parse_event

LOG = answer("a", "b", "c")
ALL = [parse_event(frame) for frame in LOG]


async def take(events: AsyncGenerator[Event | Reset], seq: int) -> list[Event]:
    """The events up to `seq`, after which the iteration is closed."""
    got: list[Event] = []
    async for event in events:
        assert not isinstance(event, Reset)
        got.append(event)
        if event.seq == seq:
            break
    await events.aclose()
    return got


async def serve_log(peer: Peer, frames: list[Frame]) -> Frame:
    command = await peer.receive("subscribe")
    await peer.ack_subscribe(command, head=len(frames))
    await peer.send(*(frame for frame in frames if frame["seq"] > command["after"]))
    return command


@pytest.mark.parametrize("after", range(len(LOG)))
async def test_following_begins_exactly_behind_any_seq(server: ScriptedServer, after: int) -> None:
    async with connect(server.url) as wire:
        chat = wire.conversation("c_1")
        reading = asyncio.create_task(take(chat.follow(after=after), len(LOG)))
        peer = await server.peer()
        command = await serve_log(peer, LOG)
        got = await reading
        assert command == {
            "type": "subscribe",
            "id": command["id"],
            "conversation": CONVERSATION,
            "after": after,
            "runner": chat.runner,
        }
        # Nobody wants it any more, and servers bound subscriptions.
        await peer.receive("unsubscribe")
    assert sum(getattr(event, "span", 1) for event in got) == len(LOG) - after
    assert got[-1] == ALL[-1]


async def test_a_second_follower_and_a_return_need_nothing_from_the_server(
    server: ScriptedServer,
) -> None:
    texts = [f"{number} " for number in range(600)]
    log = answer(*texts)
    async with connect(server.url) as wire:
        chat = wire.conversation(CONVERSATION)
        first = chat.follow()
        begun = asyncio.ensure_future(anext(first))
        peer = await server.peer()
        await serve_log(peer, log)
        await begun
        whole = await take(chat.follow(), len(log))
        # Inside what has since been merged into one event to save memory.
        rest = await take(chat.follow(after=104), len(log))
        assert chat.state.seq == len(log)
    assert texts_of(whole) == "".join(texts)
    assert texts_of(rest) == "".join(texts[101:])


async def test_a_position_that_is_not_held_is_refused_while_others_follow(
    server: ScriptedServer,
) -> None:
    async with connect(server.url) as wire:
        chat = wire.conversation(CONVERSATION)
        first = chat.follow(after=4)
        begun = asyncio.ensure_future(anext(first))
        peer = await server.peer()
        await serve_log(peer, LOG)
        await begun
        with pytest.raises(BadPosition):
            await anext(chat.follow(after=2))
        await first.aclose()
        await peer.receive("unsubscribe")
        reading = asyncio.create_task(take(chat.follow(after=2), len(LOG)))
        assert (await serve_log(peer, LOG))["after"] == 2
        assert (await reading)[0] == ALL[2]


async def test_a_message_into_an_old_conversation_brings_its_history(
    server: ScriptedServer,
) -> None:
    more = answer("d", turn="t_2", first=len(LOG) + 1)
    async with connect(server.url) as wire:
        chat = wire.conversation(CONVERSATION)
        sending = asyncio.create_task(chat.send("More"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"), turn="t_2", seq=len(LOG) + 1)
        turn = await sending
        command = await serve_log(peer, LOG + more)
        assert (await turn).text == "d"
        assert chat.state.turns.ids == ["t_1", "t_2"]
        assert [event async for event in turn] == [parse_event(frame) for frame in more]
    assert command["after"] == 0


async def test_the_next_message_goes_on_without_asking_for_history(
    server: ScriptedServer,
) -> None:
    async with connect(server.url) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(chat.send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        await peer.send(*LOG)
        await (await sending)
        await peer.receive("unsubscribe")
        sending = asyncio.create_task(chat.send("More"))
        command = await peer.receive("send")
        await peer.ack_send(command, turn="t_2", seq=len(LOG) + 1)
        await peer.send(*answer("d", turn="t_2", first=len(LOG) + 1))
        assert (await (await sending)).text == "d"
        assert chat.state.turns.ids == ["t_1", "t_2"]
        await peer.receive("unsubscribe")
    assert command["conversation"] == CONVERSATION


async def test_a_message_under_way_keeps_the_subscription(server: ScriptedServer) -> None:
    async with connect(server.url) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(chat.send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        sending = asyncio.create_task(chat.send("More", if_busy="queue"))
        command = await peer.receive("send")
        await peer.send(*LOG)
        await turn
        cancelling = asyncio.create_task(turn.cancel())
        # And not `unsubscribe`, which would have come before it.
        await peer.ack(await peer.receive("cancel"), turn="t_1", outcome="already_done")
        await cancelling
        # Acked as on a connection that is subscribed still.
        await peer.ack_send(command, turn="t_2", seq=len(LOG) + 1)
        await peer.send(*answer("d", turn="t_2", first=len(LOG) + 1))
        assert (await (await sending)).text == "d"
        await peer.receive("unsubscribe")


async def test_a_foreign_turn_is_followed_beside_ours(server: ScriptedServer) -> None:
    foreign = answer("z", turn="t_9", first=len(LOG) + 1)
    async with connect(server.url) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(chat.send("Hi"))
        peer = await server.peer()
        await peer.ack(
            await peer.receive("send"),
            conversation=CONVERSATION,
            turn="t_1",
            seq=1,
            epoch=EPOCH,
            after=0,
        )
        turn = await sending
        reading = asyncio.create_task(take(chat.follow(), foreign[-1]["seq"]))
        await peer.send(*LOG, *foreign)
        followed = await reading
        assert {event.turn for event in [event async for event in turn]} == {"t_1"}
    assert texts_of(followed) == "abcz"


def texts_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Token))

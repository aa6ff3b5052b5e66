"""A turn against a scripted server: send, iterate, await, cancel."""

import asyncio

import pytest

from tests.kit.scripted_server import (
    AT,
    AT_ONCE,
    CONVERSATION,
    EPOCH,
    ScriptedServer,
    answer,
    collect,
    done,
)
from turnwire import (
    BadArgument,
    BadServer,
    ConnectionLost,
    Done,
    Rejected,
    Token,
    TurnFailed,
    WireClosed,
    connect,
)
from turnwire_protocol import Event, TotalUsage, parse_event

TRACE = f"00-{'1' * 32}-{'2' * 16}-01"


async def test_a_message_is_sent_with_a_key_and_its_options_only(server: ScriptedServer) -> None:
    async with connect(server.url) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(
            chat.send("Hi", model="m", thinking={"type": "adaptive"}, tools=[], trace=TRACE)
        )
        peer = await server.peer()
        command = await peer.receive("send")
        await peer.ack_send(command)
        turn = await sending
    assert len(turn.key) >= 16
    assert command == {
        "type": "send",
        "id": command["id"],
        "content": "Hi",
        "key": turn.key,
        "model": "m",
        "thinking": {"type": "adaptive"},
        "tools": [],
        "if_busy": "reject",
        "trace": TRACE,
        "runner": chat.runner,
    }


async def test_a_turn_yields_its_events_then_its_reply_as_often_as_asked(
    server: ScriptedServer,
) -> None:
    frames = answer("Hello", " there")
    async with connect(server.url) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(chat.send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        *before, last = frames
        await peer.send(*before, last | {"cost_usd": 0.25})
        reply = await turn
        assert reply == await turn
        assert reply.cost_usd == 0.25
        assert chat.id == CONVERSATION
        assert wire.conversation(CONVERSATION) is chat
        assert (reply.text, reply.stop_reason, reply.turn) == ("Hello there", "end_turn", "t_1")
        assert reply.usage == TotalUsage(input_tokens=3, output_tokens=4)
        assert [block.text for block in reply.blocks] == ["Hello there"]
        first, second = [event async for event in turn], [event async for event in turn]
        texts = [text async for text in turn.text_stream]
        assert chat.state.turns["t_1"].text == "Hello there"
    assert first == second
    assert [event.type for event in first] == [
        "message",
        "start",
        "step",
        "token",
        "block_stop",
        "done",
    ]
    assert texts == ["Hello there"]


async def test_events_arrive_one_by_one_at_a_reader_that_keeps_up(server: ScriptedServer) -> None:
    frames = answer("a", "b", "c")
    async with connect(server.url) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        got: list[Event] = []
        await peer.send(frames[0])
        async for event in turn:
            got.append(event)
            if event.seq < len(frames):
                await peer.send(frames[event.seq])
    assert got == [parse_event(frame) for frame in frames]


async def test_a_reader_that_lags_gets_what_waited_as_one_event(server: ScriptedServer) -> None:
    texts = [f"{number} " for number in range(1500)]
    frames = answer(*texts)
    async with connect(server.url) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        await peer.send(*frames[:4])
        events = aiter(turn)
        got = [await anext(events) for _ in range(4)]
        await peer.send(*frames[4:])
        await turn
        got += [event async for event in events]
    tokens = [event for event in got if isinstance(event, Token)]
    assert [(token.seq, token.span) for token in tokens] == [(4, 1), (1503, 1499)]
    assert "".join(token.text for token in tokens) == "".join(texts)


async def test_turns_of_two_conversations_interleave(server: ScriptedServer) -> None:
    async with connect(server.url) as wire:
        chats = [wire.conversation(), wire.conversation()]
        sending = [asyncio.create_task(chat.send("Hi")) for chat in chats]
        peer = await server.peer()
        for number in (1, 2):
            command = await peer.receive("send")
            await peer.ack(
                command,
                conversation=f"c_{number}",
                turn=f"t_{number}",
                seq=1,
                epoch=EPOCH,
                after=0,
            )
        turns = await asyncio.gather(*sending)
        ones = answer("one", turn="t_1", conversation="c_1")
        twos = answer("two", turn="t_2", conversation="c_2")
        for one, two in zip(ones, twos, strict=True):
            await peer.send(one, two)
        replies = await asyncio.gather(*turns)
    assert [(reply.turn, reply.text) for reply in replies] == [("t_1", "one"), ("t_2", "two")]


async def test_two_first_messages_at_once_make_one_conversation(server: ScriptedServer) -> None:
    async with connect(server.url) as wire:
        chat = wire.conversation()
        sending = [asyncio.create_task(chat.send(text)) for text in ("a", "b")]
        peer = await server.peer()
        first = await peer.receive("send")
        assert "conversation" not in first
        await peer.ack_send(first)
        second = await peer.receive("send")
        assert second["conversation"] == CONVERSATION
        await peer.ack_send(second, turn="t_2", seq=2)
        turns = await asyncio.gather(*sending)
    assert [turn.id for turn in turns] == ["t_1", "t_2"]


async def test_queued_turns_of_one_conversation_get_their_own_events(
    server: ScriptedServer,
) -> None:
    one, two = answer("one"), answer("two", turn="t_2")
    log = [one[0], two[0], *one[1:], *two[1:]]
    log = [frame | {"seq": seq} for seq, frame in enumerate(log, 1)]
    async with connect(server.url) as wire:
        chat = wire.conversation(CONVERSATION)
        sending = [asyncio.create_task(chat.send(text, if_busy="queue")) for text in ("a", "b")]
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"), turn="t_1", seq=1)
        await peer.ack_send(await peer.receive("send"), turn="t_2", seq=2)
        turns = await asyncio.gather(*sending)
        await peer.send(*log)
        got = [[event async for event in turn] for turn in turns]
        texts = [(await turn).text for turn in turns]
    assert texts == ["one", "two"]
    assert got == [
        [parse_event(frame) for frame in log if frame["turn"] == name] for name in ("t_1", "t_2")
    ]


async def test_cancel_returns_the_outcome_and_the_reply_keeps_what_came(
    server: ScriptedServer,
) -> None:
    frames = answer("half", "never")
    async with connect(server.url) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        await peer.send(*frames[:4])
        cancelling = asyncio.create_task(turn.cancel())
        command = await peer.receive("cancel")
        await peer.ack(command, turn="t_1", outcome="cancelling")
        await peer.send(frames[4] | done("cancelled"))
        outcome, reply = await cancelling, await turn
    assert (command["conversation"], command["turn"]) == (CONVERSATION, "t_1")
    assert (outcome, reply.text, reply.stop_reason) == ("cancelling", "half", "cancelled")


async def test_a_reject_is_raised_with_all_it_says(server: ScriptedServer) -> None:
    async with connect(server.url) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        command = await peer.receive("send")
        await peer.send(
            {
                "type": "reject",
                "id": command["id"],
                "code": "too_many",
                "message": "slow down",
                "retryable": True,
                "retry_after_seconds": 2.5,
            }
        )
        with pytest.raises(Rejected) as caught:
            await sending
    error = caught.value
    assert (error.code, error.retryable, error.retry_after_seconds) == ("too_many", True, 2.5)


@pytest.mark.parametrize("stop_reason", ["failed", "interrupted"])
async def test_a_turn_without_an_answer_raises_with_what_had_come(
    server: ScriptedServer, stop_reason: str
) -> None:
    frames = answer("half", "")
    error = {"type": "error", "code": "overloaded", "message": "no", "retryable": True, "at": AT}
    async with connect(server.url) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        await peer.send(*frames[:4])
        if stop_reason == "failed":
            await peer.send(frames[4] | error, frames[5] | done(stop_reason))
        else:
            await peer.send(frames[4] | done(stop_reason))
        with pytest.raises(TurnFailed) as caught:
            await turn
        events = [event async for event in turn]
        texts: list[str] = []
        with pytest.raises(TurnFailed):
            await collect(turn.text_stream, texts)
    assert caught.value.code == ("overloaded" if stop_reason == "failed" else "interrupted")
    assert caught.value.reply is not None
    assert caught.value.reply.text == "half"
    assert isinstance(events[-1], Done)
    assert texts == ["half"]


async def test_text_goes_on_after_a_rewind_and_the_turn_says_so(server: ScriptedServer) -> None:
    frames = answer("wrong", "x", "right")
    async with connect(server.url) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        frames[4] = {key: frames[4][key] for key in ("conversation", "turn", "seq")} | {
            "type": "rewind",
            "block": 0,
            "at": AT,
        }
        await peer.send(*frames)
        texts = [text async for text in turn.text_stream]
        reply = await turn
    assert texts == ["wrong", "right"]
    assert turn.rewound
    assert reply.text == "right"


async def test_leaving_the_wire_ends_what_waits(server: ScriptedServer) -> None:
    async with connect(server.url) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(chat.send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        await peer.send(*answer("half")[:4])
        events = aiter(turn)
        await anext(events)
        waiting = asyncio.ensure_future(asyncio.gather(turn, return_exceptions=True))
        unacked = asyncio.create_task(chat.send("More"))
        await peer.receive("send")
    assert [type(ended) for ended in await waiting] == [WireClosed]
    for late in (unacked, chat.send("Again")):
        with pytest.raises(WireClosed):
            await late
    with pytest.raises(WireClosed):
        await collect(events, [])
    await peer.gone()
    assert peer.ws.close_code == 1000


@pytest.mark.parametrize("code", [1000, 4500, 4501])
async def test_a_close_that_forbids_reconnecting_ends_what_waits(
    server: ScriptedServer, code: int
) -> None:
    async with connect(server.url, backoff=AT_ONCE) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(chat.send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        turn = await sending
        await peer.ws.close(code, "because")
        with pytest.raises(ConnectionLost) as caught:
            await turn
        with pytest.raises(ConnectionLost):
            await chat.send("More")
        with pytest.raises(ConnectionLost):
            await collect(aiter(turn), [])
    assert (caught.value.close_code, caught.value.reason) == (code, "because")


async def test_a_bad_argument_is_found_before_it_is_sent(server: ScriptedServer) -> None:
    async with connect(server.url) as wire:
        chat = wire.conversation()
        for content, max_tokens in (("", 1), ("Hi", 0), ("x" * 70_000, 1)):
            with pytest.raises(BadArgument):
                await chat.send(content, max_tokens=max_tokens)
        with pytest.raises(BadArgument):
            await chat.cancel()
        with pytest.raises(BadArgument):
            await anext(aiter(chat.follow()))


async def test_outside_its_block_the_wire_is_closed(server: ScriptedServer) -> None:
    with pytest.raises(WireClosed):
        await connect(server.url).conversation().send("Hi")


@pytest.mark.parametrize(
    "frame", ["nonsense", "[]", '{"type": "token", "conversation": 1, "seq": 0}']
)
async def test_a_malformed_frame_is_the_servers_fault(server: ScriptedServer, frame: str) -> None:
    async with connect(server.url) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.receive("send")
        await peer.ws.send(frame)
        with pytest.raises(BadServer):
            await sending


async def test_what_a_later_version_adds_is_skipped(server: ScriptedServer) -> None:
    frames = answer("Hello")
    frames[1] = {"conversation": CONVERSATION, "turn": "t_1", "seq": 2, "type": "novelty", "x": 1}
    async with connect(server.url) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.send({"type": "notice", "text": "new"})
        await peer.ack_send(await peer.receive("send"))
        await peer.send(*(frame | {"extra": 1} for frame in frames))
        assert (await (await sending)).text == "Hello"


async def test_regenerate_and_edit_send_in_place_of_the_turn(server: ScriptedServer) -> None:
    async with connect(server.url) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(chat.send("Hi"))
        peer = await server.peer()
        await peer.ack_send(await peer.receive("send"))
        await peer.send(*answer("Hello"))
        await (await sending)
        with pytest.raises(BadArgument):
            await chat.regenerate("t_9")
        for again, content in ((chat.regenerate("t_1"), "Hi"), (chat.edit("t_1", "Ho"), "Ho")):
            sending = asyncio.create_task(again)
            while (command := await peer.receive())["type"] != "send":
                await peer.ack(command)  # Nobody follows between two turns.
            assert (command["content"], command["retract"]) == (content, "t_1")
            await peer.ack_send(command, turn="t_2", seq=10)
            assert (await sending).id == "t_2"

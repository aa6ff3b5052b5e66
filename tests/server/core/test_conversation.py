"""A conversation by itself: the order in which turns end, and what an ended one leaves behind."""

import asyncio
import gc
import weakref

from tests.kit.core import ANNA, HeldModel, conversing
from turnwire_protocol import Done, Event, SendBody, Start, StopReason, Token
from turnwire_server.core.conversation import Conversation
from turnwire_server.core.receipts import Accepted
from turnwire_server.core.turn.turn import TurnState


async def read(conversation: Conversation) -> list[Event]:
    """Everything in the log, once all of it is durable."""
    follower = conversation.follow(0, None, lambda: None)
    await conversation.hang_up()
    seen: list[Event] = []
    while events := await follower.events():
        seen += events
    return seen


async def sent(conversation: Conversation, content: str) -> Accepted:
    """A durable message, which waits if another one's turn runs."""
    accepted = conversation.send(ANNA, SendBody(content=content, if_busy="queue"))
    await accepted.durable
    return accepted


async def test_when_the_process_ends_the_waiting_turns_end_first_and_none_of_them_begins() -> None:
    async with conversing(HeldModel()) as conversation:
        turns = [(await sent(conversation, text)).ack.turn for text in ("1", "2", "3")]
        conversation.interrupt()
        events = await read(conversation)
    ends = [(event.turn, event.stop_reason) for event in events if isinstance(event, Done)]
    assert ends == [(turn, StopReason.INTERRUPTED) for turn in reversed(turns)]
    assert [event.turn for event in events if isinstance(event, Start)] == [turns[0]]


async def test_an_ended_turn_is_let_go_of_long_before_its_time_limit() -> None:
    async with conversing(HeldModel(), turn_timeout=900.0) as conversation:
        await sent(conversation, "Hello")
        assert conversation.running is not None
        turn = weakref.ref(conversation.running)
        conversation.interrupt()
        await read(conversation)
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()
        assert turn() is None


async def test_a_turn_that_says_more_than_can_wait_for_the_store_is_ended() -> None:
    async with conversing(HeldModel(), max_undurable_bytes=1000) as conversation:
        await sent(conversation, "Hello")
        turn = conversation.running
        assert turn is not None
        states = []
        for _ in range(2):
            # Nothing is awaited between: none of it is durable when the store is said to be slow.
            turn.write_delta(Token, 0, "x" * 600)
            conversation.on_wait(has_failed=False)
            states.append(turn.state)
        assert states == [TurnState.RUNNING, TurnState.DONE]

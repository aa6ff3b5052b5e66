"""Presence: from when on a turn's readers count as gone."""

import asyncio
from typing import Any

from tests.kit.core import ANNA, HeldModel, conversing
from turnwire_protocol import SendBody
from turnwire_server.core.conversation import Conversation
from turnwire_server.core.turn.turn import Turn, TurnState


async def begun(conversation: Conversation, **fields: Any) -> Turn:
    """A turn that runs, and that nobody reads."""
    accepted = conversation.send(ANNA, SendBody(content="Hello", **fields))
    await accepted.durable
    assert conversation.running is not None
    return conversation.running


def nobody() -> None:
    """Wakes nobody."""


async def test_the_grace_time_runs_from_when_they_went_however_often_one_looks() -> None:
    async with conversing(HeldModel(), detach_grace=0.0) as conversation:
        turn = await begun(conversation, on_detach="cancel")
        for _ in range(3):
            # A timer that began now would be due in the next round, and be begun anew before.
            conversation.on_followers()
            await asyncio.sleep(0)
        assert turn.state is TurnState.DONE


async def test_whoever_is_back_within_the_grace_time_has_not_been_away() -> None:
    async with conversing(HeldModel(), detach_grace=0.0) as conversation:
        turn = await begun(conversation, on_detach="cancel")
        conversation.follow(0, None, nobody)
        for _ in range(3):
            await asyncio.sleep(0)
        assert turn.state is TurnState.RUNNING
        conversation.interrupt()


async def test_a_turn_that_ended_leaves_no_absence_to_the_next_one() -> None:
    async with conversing(HeldModel(), detach_grace=0.0) as conversation:
        first = await begun(conversation, on_detach="cancel")
        second = await begun(conversation, if_busy="interrupt")
        for _ in range(3):
            await asyncio.sleep(0)
        assert (first.state, second.state) == (TurnState.DONE, TurnState.RUNNING)
        conversation.interrupt()

"""Approvals: what is left of a question that was answered; one whose answer cannot be stored."""

import asyncio
import weakref

import pytest

from tests.kit.patience import patience
from turnwire_protocol import Code, DecideBody, Event, ToolDecision
from turnwire_server.core.log.items import DeltaType, Place, Private
from turnwire_server.core.turn.approvals import Approvals
from turnwire_server.errors import Rejected
from turnwire_server.tools.toolset import Toolset

AT = "2026-11-26T12:00:00.000Z"
ALLOWED = DecideBody(tool_id="u_1", decision="allow")


class Written:
    """A turn's writer that keeps what is written, and has a store that may be in trouble."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.is_in_trouble = False

    def place(self) -> Place:
        return {"conversation": "c_1", "seq": len(self.events) + 1, "turn": "t_1", "at": AT}

    def write(self, event: Event, private: Private | None = None) -> None:
        self.events.append(event)

    def write_delta(
        self, type: DeltaType, block: int, text: str, *, tool_id: str | None = None
    ) -> None:
        raise AssertionError("no answer is written here")

    def stored(self) -> asyncio.Future[None]:
        raise AssertionError("nobody waits for the store here")

    def check_store(self) -> None:
        if self.is_in_trouble:
            raise Rejected.because_of_the_store()

    def has_call(self, tool_id: str) -> bool:
        return False


async def asked(writer: Written) -> tuple[Approvals, asyncio.Task[None], list[DecideBody]]:
    """A question that waits, and what was done about it so far."""
    approvals = Approvals(writer, Toolset([], timeout_seconds=10), timeout_seconds=10_000.0)
    done: list[DecideBody] = []
    waiting = asyncio.create_task(approvals.ask("u_1", "add", {}, done.append))
    await asyncio.sleep(0)
    return approvals, waiting, done


async def test_a_question_that_was_answered_is_let_go_of_long_before_its_time_limit() -> None:
    approvals, waiting, done = await asked(Written())
    approvals.decide(ALLOWED)
    async with patience():
        await waiting
    assert done == [ALLOWED]
    left = weakref.ref(approvals)
    del approvals, waiting
    assert left() is None


async def test_a_decision_that_cannot_be_stored_is_refused_and_the_call_still_waits() -> None:
    writer = Written()
    approvals, waiting, done = await asked(writer)
    writer.is_in_trouble = True
    with pytest.raises(Rejected) as refused:
        approvals.decide(ALLOWED)
    assert (refused.value.code, done) == (Code.STORAGE_UNAVAILABLE, [])
    assert not any(isinstance(event, ToolDecision) for event in writer.events)
    writer.is_in_trouble = False
    approvals.decide(ALLOWED)
    async with patience():
        await waiting
    assert done == [ALLOWED]

"""A turn at rest: what is left to do is up to somebody outside."""

import asyncio
import builtins
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import pytest

from tests.kit.core import ANNA, HeldModel, conversing
from turnwire_protocol import (
    BlockStop,
    Done,
    Event,
    Rewind,
    RunsOn,
    SendBody,
    StopReason,
    ToolApproval,
    ToolDecision,
    ToolExecuting,
    ToolOutputBody,
    ToolResult,
    ToolStart,
    TotalUsage,
)
from turnwire_server.core.conversation import Conversation
from turnwire_server.core.rest import Rest
from turnwire_server.core.turn.turn import Turn, TurnState
from turnwire_server.model.port import BlockEnd, Part, Stop, ToolPart

AT = "2026-11-20T12:00:00Z"
PLACE: dict[str, Any] = {"conversation": "c_1", "turn": "t_1", "seq": 1, "at": AT}
CLIENT_TOOL = {"name": "ask", "description": "", "input_schema": {"type": "object"}}

E = TypeVar("E", bound=Event)


def start(block: int, runs_on: RunsOn = "server") -> Event:
    return ToolStart(**PLACE, block=block, tool_id=f"u{block}", tool_name="x", runs_on=runs_on)


def stop(block: int) -> Event:
    return BlockStop(**PLACE, block=block)


def approval(block: int) -> Event:
    return ToolApproval(**PLACE, tool_id=f"u{block}", tool_name="x", input={}, expires_at=AT)


def decision(block: int) -> Event:
    return ToolDecision(**PLACE, tool_id=f"u{block}", decision="allow")


def executing(block: int, runs_on: RunsOn) -> Event:
    return ToolExecuting(**PLACE, tool_id=f"u{block}", tool_name="x", input={}, runs_on=runs_on)


def result(block: int) -> Event:
    return ToolResult(**PLACE, tool_id=f"u{block}", content="", is_error=False, duration_ms=0)


def done() -> Event:
    return Done(**PLACE, stop_reason="end_turn", usage=TotalUsage(), steps=1, duration_ms=0)


CALL = [start(0), stop(0)]
TWO = [start(0), stop(0), start(1), stop(1)]


@pytest.mark.parametrize(
    ("events", "rests"),
    [
        pytest.param([], False, id="nothing was called"),
        pytest.param(CALL, False, id="it has not begun"),
        pytest.param([*CALL, approval(0)], True, id="a decision is waited for"),
        pytest.param([*CALL, approval(0), decision(0)], False, id="it is decided"),
        pytest.param([*CALL, executing(0, "client")], True, id="a client runs it"),
        pytest.param([*CALL, executing(0, "server")], False, id="the server runs it"),
        pytest.param([*CALL, executing(0, "client"), result(0)], False, id="the client answered"),
        pytest.param([*TWO, approval(0)], False, id="the other has not begun"),
        pytest.param([*TWO, approval(0), executing(1, "server")], False, id="the other runs"),
        pytest.param(
            [*TWO, approval(0), executing(1, "server"), result(1)], True, id="the other is done"
        ),
        pytest.param([*TWO, approval(0), executing(1, "client")], True, id="both wait"),
        pytest.param([*CALL, approval(0), start(1)], False, id="the model still speaks"),
        pytest.param([start(0, "provider"), stop(0)], False, id="the provider runs its own"),
        pytest.param([*CALL, approval(0), Rewind(**PLACE, block=0)], False, id="it is void"),
        pytest.param([*CALL, approval(0), done()], False, id="the turn is over"),
    ],
)
def test_when_a_turn_rests(events: list[Event], rests: bool) -> None:
    rest = Rest()
    for event in events:
        rest.apply(event)
    assert rest.is_resting is rests


# A turn that rests, in its conversation


class AskingModel(HeldModel):
    """A model that calls the client's tool first, and answers "Hello" once it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_again = asyncio.Event()

    async def _answer(self) -> AsyncIterator[list[Part]]:
        if len(self.requests) > 1:
            self.asked_again.set()
            async for parts in super()._answer():
                yield parts
            return
        yield [ToolPart(0, "toolu_1", "ask", "server"), BlockEnd(0, None), Stop("tool_use")]


@contextmanager
def clock() -> Iterator[Callable[[float], None]]:
    """Puts the running loop's clock forward: what is due by then is due now."""
    loop = asyncio.get_running_loop()
    real, ahead = loop.time, 0.0

    def forward(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    loop.time = lambda: real() + ahead  # type: ignore[method-assign]
    try:
        yield forward
    finally:
        loop.time = real  # type: ignore[method-assign]


@asynccontextmanager
async def resting(**policy: Any) -> AsyncIterator[tuple[Conversation, Turn, AskingModel]]:
    """A turn that nobody reads, and that waits for its client."""
    model = AskingModel()
    async with conversing(model, **policy) as conversation:
        offer: dict[str, Any] = {"client_tools": [CLIENT_TOOL], "runner": "r_1"}
        conversation.send(ANNA, SendBody(content="Hi", on_detach="cancel", **offer))
        await read(conversation, ToolExecuting)
        turn = conversation.running
        assert turn is not None
        yield conversation, turn, model
        conversation.interrupt()


async def read(conversation: Conversation, type: builtins.type[E]) -> E:
    """Follow it until the first event of this type."""
    follower = conversation.follow(0, None, lambda: None)
    stream = follower.stream(idle_seconds=1e9)
    try:
        async for frames in stream:
            for frame in frames:
                if isinstance(frame.event, type):
                    return frame.event
    finally:
        await stream.aclose()
        follower.close()
    raise AssertionError("it ended without one")


async def passed() -> None:
    """What is due now has happened."""
    for _ in range(5):
        await asyncio.sleep(0)


async def answered(conversation: Conversation) -> None:
    """The client comes with the result, without staying."""
    output = ToolOutputBody(tool_id="toolu_1", runner="r_1", content="T")
    durable = conversation.answer(output)
    assert durable is not None
    await durable


async def test_nobody_has_to_be_there_while_it_rests_nor_does_its_time_go_on() -> None:
    with clock() as forward:
        limits = {"turn_timeout": 100.0, "detach_grace": 10.0, "client_tool_timeout": 10_000.0}
        async with resting(**limits) as (conversation, turn, model):
            forward(1000)
            await passed()
            assert turn.state is TurnState.RUNNING
            await answered(conversation)
            await model.asked_again.wait()
            assert turn.state is TurnState.RUNNING


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"detach_grace": 10.0}, StopReason.CANCELLED),
        ({"detach_grace": 10_000.0, "turn_timeout": 100.0}, StopReason.FAILED),
    ],
)
async def test_when_it_goes_on_both_count_again(limits: dict[str, float], reason: str) -> None:
    with clock() as forward:
        async with resting(client_tool_timeout=10_000.0, **limits) as (conversation, turn, _):
            await answered(conversation)
            forward(500)
            await passed()
            assert turn.state is TurnState.DONE
            assert (await read(conversation, Done)).stop_reason == reason

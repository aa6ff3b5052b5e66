"""The WebSocket of v7's transport: the published client over it, and peers that are none."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from uuid import uuid4
from weakref import WeakSet

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.kit.held import holders
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import by_name, serving, turnwire_over
from tests.wires.ai_sdk.conftest import Stage
from tests.wires.ai_sdk.page import browsing
from tests.wires.ai_sdk.test_pages import GOES_ON, OFFER, OK, call, calling, chat, loaded, texts
from turnwire_server.core.limits import ServiceLimits
from turnwire_server.wires.ai_sdk.socket import ChatSocket
from turnwire_simulator import Answer, Gate, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONCE = "last.parts.some(part => part.text === 'Once ')"


def send(message: str = "m1", *, name: str = "n1", text: str = "Hi", **fields: Any) -> str:
    """A frame that sends a message."""
    said = {"id": message, "role": "user", "parts": [{"type": "text", "text": text}]}
    frame = {"type": "send", "requestId": "r1", "id": name, "messages": [said], "body": {}}
    return json.dumps({**frame, "trigger": "submit-message", **fields})


@asynccontextmanager
async def socket_of(address: str, **options: Any) -> AsyncIterator[ClientConnection]:
    """A bare socket."""
    options = {"open_timeout": PATIENCE_SECONDS, **options}
    async with connect(f"ws://{address}/v1/ai-sdk/ws", **options) as socket, patience():
        yield socket


async def until_end(socket: ClientConnection) -> list[dict[str, Any]]:
    """The frames up to one that ends its request."""
    frames: list[dict[str, Any]] = []
    while not frames or frames[-1]["type"] in ("start", "chunk"):
        frames.append(json.loads(await socket.recv()))
    return frames


async def closed_with(socket: ClientConnection) -> int | None:
    """The code with which the other end closes."""
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()
    return socket.close_code


async def test_a_page_talks_over_one_socket_with_tools_and_decisions(stage: Stage) -> None:
    stage.simulator.program(calling("page_title"), calling("erase", path="a"), OK)
    page = await stage.browser.open(chat(), transport="ws", body=OFFER, tools={"page_title": "T"})
    await page.send("Erase this page.")
    view = await page.until("last.parts.some(part => part.state === 'approval-requested')")
    asked = view["messages"][-1]["parts"][-1]
    await page.do("approve", tool_id=asked["toolCallId"], approved=True)
    view = await page.until("finishes.length === 3 && status === 'ready'")
    assert texts(view["messages"][-1]) == ["Wait.", "Wait.", "Ok."]
    assert (len(view["ran"]), len(view["messages"])) == (1, 2)


async def test_stop_is_at_once_and_what_was_said_stays(stage: Stage) -> None:
    gate, aborted = Gate(), stage.simulator.aborted_streams
    stage.simulator.program(Answer(Text(["Once ", gate, "upon."])), OK)
    page = await stage.browser.open(chat(), transport="ws", body=GOES_ON)
    sending = asyncio.create_task(page.send("A story."))
    await page.until(ONCE)
    await page.do("stop")
    assert texts((await sending)["messages"][-1]) == ["Once "]
    async with patience():
        await stage.simulator.wait(lambda: stage.simulator.aborted_streams > aborted)
    assert texts((await page.send("Then?"))["messages"][-1]) == ["Ok."]
    stopped = (await loaded(stage, page))["messages"][1]
    assert stopped["metadata"]["turnwire"]["stopReason"] == "cancelled"


async def test_a_lost_socket_and_a_loaded_page_go_on_with_the_answer(stage: Stage) -> None:
    gate = Gate()
    stage.simulator.program(Answer(Text(["Once ", gate, "upon."])))
    page = await stage.browser.open(chat(), transport="ws", body=GOES_ON)
    sending = asyncio.create_task(page.send("A story."))
    await page.until(ONCE)
    begins = await loaded(stage, page)
    await page.do("cut")
    view = await sending
    assert (view["status"], view["finishes"][0]["isDisconnect"]) == ("error", True)
    other = await stage.browser.open(page.chat, transport="ws", messages=begins["messages"])
    both = [asyncio.create_task(page.do("heal")), asyncio.create_task(other.do("resume"))]
    await page.until("status === 'streaming'")
    await other.until(ONCE)
    gate.open()
    await asyncio.gather(*both)
    views = [await page.view(), await other.view()]
    assert [texts(view["messages"][-1]) for view in views] == [["Once upon."]] * 2
    await other.do("resume")  # Nothing runs any more.
    assert (await other.view())["status"] == "ready"
    assert len(stage.simulator.requests) == 1


async def test_an_answer_that_waits_is_there_for_a_page_that_is_loaded(stage: Stage) -> None:
    stage.simulator.program(calling("erase", path="a"), OK)
    first = await stage.browser.open(chat(), transport="ws")
    await first.send("Erase a.")
    await first.do("close")
    begins = await loaded(stage, first)
    page = await stage.browser.open(first.chat, transport="ws", messages=begins["messages"])
    await page.do("resume")
    asked = call(await page.view())
    await page.do("approve", tool_id=asked["toolCallId"], approved=False)
    view = await page.until("finishes.length === 2 && status === 'ready'")
    assert (call(view)["state"], texts(view["messages"][-1])) == ("output-denied", ["Wait.", "Ok."])


async def test_a_draining_service_ends_what_runs_and_closes() -> None:
    async with Simulator() as simulator:
        turnwire = turnwire_over(simulator)
        async with serving(turnwire) as address, browsing(address) as browser:
            simulator.program(Answer(Text(["Once ", Gate(), "upon."])))
            page = await browser.open(chat(), transport="ws")
            sending = asyncio.create_task(page.send("A story."))
            await page.until(ONCE)
            async with socket_of(address) as idle:
                await turnwire.drain(0)
                view = await sending
                assert (view["status"], view["finishes"][0]["reason"]) == ("ready", "interrupted")
                assert await closed_with(idle) == 1012


async def test_a_token_comes_as_a_subprotocol_and_everybody_has_conversations_of_their_own() -> (
    None
):
    limits = ServiceLimits(max_sockets=1)
    async with Simulator() as simulator:
        turnwire = turnwire_over(simulator, authenticate=by_name, limits=limits)
        async with serving(turnwire) as address:
            simulator.program(Answer(Text("For Anna.")), Answer(Text("For Bert.")))
            said = []
            for name in ("anna", "bert"):
                protocols: Any = ["chat", f"bearer.{name}"]
                async with socket_of(address, subprotocols=protocols) as socket:
                    assert socket.subprotocol == "chat"
                    await socket.send(send())
                    frames = await until_end(socket)
                    said.append("".join(f["chunk"].get("delta", "") for f in frames[:-1]))
                    async with socket_of(address, subprotocols=protocols) as one_too_many:
                        assert await closed_with(one_too_many) == 4429
            assert said == ["For Anna.", "For Bert."]
            async with socket_of(address) as nobody:
                assert await closed_with(nobody) == 4501
            with pytest.raises(InvalidStatus):
                await connect(f"ws://{address}/v1/ai-sdk/ws", origin="https://example.com")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("hello", 4500),
        ("[]", 4500),
        ('{"type": "shout", "requestId": "r1"}', 4500),
        ('{"type": "send"}', 4500),
        ('{"type": "send", "requestId": ""}', 4500),
        ("[" * 100_000, 4500),
        (b"\x00", 4500),
        (" " * (8 * 2**20 + 1), 1009),
    ],
    ids=["words", "a list", "a type", "no id", "an empty id", "deep", "binary", "too large"],
)
async def test_what_is_no_frame_closes_the_socket(
    stage: Stage, frame: str | bytes, code: int
) -> None:
    async with socket_of(stage.browser.address) as socket:
        with suppress(ConnectionClosed):  # In the middle of what is too large.
            await socket.send(frame)
        assert await closed_with(socket) == code


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": [7]},
        {"messages": [{"role": "assistant", "id": "t_1"}]},
        {"messages": [{"role": "user", "parts": [{"type": "file", "url": 7}]}]},
        {"messages": None},
        {"id": "x" * 2000},
        {"id": 7},
        {"type": "resume", "id": None},
        {"body": {"model": "no"}},
        {"body": {"if_busy": 1}},
        {"body": {"tools": {"a": 1}}},
    ],
    ids=str,
)
async def test_what_cannot_be_done_is_said_and_the_socket_stays(
    stage: Stage, fields: dict[str, Any]
) -> None:
    async with socket_of(stage.browser.address) as socket:
        await socket.send(send(name=chat(), **fields) if "id" not in fields else send(**fields))
        (error,) = await until_end(socket)
        assert (error["type"], error["requestId"]) == ("error", "r1")
        await socket.send('{"type": "abort", "requestId": "other"}')
        stage.simulator.program(OK)
        await socket.send(send(name=chat(), requestId="r2"))
        frames = await until_end(socket)
        assert frames[-1] == {"type": "end", "requestId": "r2"}
        assert [frame["sequence"] for frame in frames[:-1]] == [*range(len(frames) - 1)]


async def test_a_large_list_of_messages_fits_and_only_its_end_counts(stage: Stage) -> None:
    stage.simulator.program(OK)
    junk = [{"role": "assistant", "parts": "x" * 1000, "id": 7}] * 4000
    message = json.loads(send())["messages"]
    async with socket_of(stage.browser.address) as socket:
        await socket.send(send(name=chat(), messages=[*junk, *message]))
        frames = await until_end(socket)
    assert frames[-1]["type"] == "end", frames


async def test_a_flood_of_frames_closes_the_socket() -> None:
    limits = ServiceLimits(max_frames_per_second=1, max_commands_per_second=1)
    async with (
        Simulator() as simulator,
        serving(turnwire_over(simulator, limits=limits)) as address,
        socket_of(address) as socket,
    ):
        with suppress(ConnectionClosed):
            for _ in range(50):
                await socket.send('{"type": "abort", "requestId": "r1"}')
        assert await closed_with(socket) == 4429


async def test_a_socket_that_ends_leaves_nothing_to_the_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        async with Simulator() as simulator, serving(turnwire_over(simulator)) as address:
            others = WeakSet[Any](socket for socket in gc.get_objects() if is_chat(socket))
            async with socket_of(address) as socket:
                await socket.send(json.dumps({"type": "resume", "requestId": "r1", "id": "n1"}))
                assert (await until_end(socket))[-1]["type"] == "no-active"
                every = [one for one in gc.get_objects() if is_chat(one)]
                there = WeakSet[Any](one for one in every if one not in others)
                del every
                assert len(there) == 1
            async with patience():
                # It is gone as soon as the server has seen the end of it.
                while there:  # noqa: ASYNC110 (nothing says so)
                    await asyncio.sleep(0)
    finally:
        gc.enable()


def is_chat(one: object) -> bool:
    """Whether it is a socket, as the server has it."""
    return type(one) is ChatSocket


async def test_a_socket_that_says_nothing_more_holds_nothing_of_what_it_said() -> None:
    said = f"To be found in this test's frames only: {uuid4()}"
    async with (
        Simulator() as simulator,
        serving(turnwire_over(simulator)) as address,
        socket_of(address, user_agent_header=said) as socket,
    ):
        frame = {"type": "resume", "requestId": "r1", "id": "unknown", "messages": [said]}
        await socket.send(json.dumps(frame))
        del frame
        assert (await until_end(socket))[-1]["type"] in ("error", "no-active")
        assert holders(said) == []

"""The hooks under StrictMode, in an app of Vite in Chromium, over the real service."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.e2e.react.apps import TOKEN, vite_app
from tests.e2e.react.reader import Reader
from tests.kit.npm import Packages
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import serving, turnwire_over
from turnwire_server import tool
from turnwire_simulator import Answer, Gate, Simulator, Text, Thinking, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")

OpenReader = Callable[..., Awaitable[Reader]]


@tool(approval=True)
def erase(path: str) -> str:
    """Erase a file.

    Args:
        path: Which.
    """
    return f"erased {path}"


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def answering() -> AsyncIterator[Simulator]:
    """What answers in place of Claude."""
    async with Simulator() as simulator:
        yield simulator


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def app(packages: Packages, package: Path, answering: Simulator) -> AsyncIterator[str]:
    """The address of the app."""
    turnwire = turnwire_over(answering, tools=[erase], token=TOKEN, detach_grace=PATIENCE_SECONDS)
    async with (
        serving(turnwire) as service,
        vite_app(packages, package, f"http://{service}") as url,
    ):
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def open_reader(browser: Browser, app: str) -> AsyncIterator[OpenReader]:
    """Opens tabs of one browser profile; afterwards none of them may have had a problem."""
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    readers: list[Reader] = []

    async def open_reader(url: str = app) -> Reader:
        reader = Reader(await context.new_page())
        readers.append(reader)
        await reader.page.goto(url)
        await expect(reader.connection).to_have_text("open")
        return reader

    yield open_reader
    await context.close()
    assert [problem for reader in readers for problem in reader.problems] == []


async def test_an_answer_streams_into_all_components_over_one_socket(
    open_reader: OpenReader, answering: Simulator
) -> None:
    reader = await open_reader()
    await expect(reader.status).to_have_text("ready")
    await reader.press("Render again")
    before, within = Gate(), Gate()
    answering.program(Answer(Thinking("Hmm."), Text([before, "one ", within, "two"])))
    await reader.ask("Count")
    await expect(reader.newest_thought).to_have_text("Hmm.")
    await expect(reader.status).to_have_text("streaming")
    before.open()
    await expect(reader.texts).to_have_text("one")
    await expect(reader.newest).to_have_text("one")
    within.open()
    await expect(reader.newest).to_have_text("one two")
    await expect(reader.status).to_have_text("ready")
    await expect(reader.questions).to_have_text("Count")
    await expect(reader.message).to_have_value("")
    # StrictMode has mounted, unmounted and mounted everything; two components read it.
    assert (len(reader.sockets), reader.open_sockets) == (1, 1)


async def test_stop_ends_the_answer_and_keeps_its_text(
    open_reader: OpenReader, answering: Simulator
) -> None:
    reader = await open_reader()
    before = answering.aborted_streams
    answering.program(Answer(Text(["one ", Gate(), "never shown"])))
    await reader.ask("Count")
    await expect(reader.texts).to_have_text("one")
    await reader.press("Stop")
    await expect(reader.ends).to_have_text("cancelled")
    await expect(reader.status).to_have_text("ready")
    await expect(reader.texts).to_have_text("one")
    async with patience():
        await answering.wait(lambda: answering.aborted_streams > before)


async def test_regenerate_and_edit_put_another_turn_in_place(
    open_reader: OpenReader, answering: Simulator
) -> None:
    reader = await open_reader()
    answering.program(*(Answer(Text(text)) for text in ("first", "second", "third")))
    await reader.ask("Once")
    await expect(reader.texts).to_have_text("first")
    await reader.press("Regenerate")
    await expect(reader.texts).to_have_text("second")
    await expect(reader.questions).to_have_text("Once")
    await expect(reader.status).to_have_text("ready")
    await reader.message.fill("Twice")
    await reader.press("Edit")
    await expect(reader.texts).to_have_text("third")
    await expect(reader.questions).to_have_text("Twice")


@pytest.mark.parametrize(("button", "state"), [("Allow", "allow"), ("Deny", "deny")])
async def test_a_call_waits_for_the_decision(
    open_reader: OpenReader, answering: Simulator, button: str, state: str
) -> None:
    reader = await open_reader()
    calling = Answer(ToolUse("erase", {"path": "a"}), stop_reason="tool_use")
    answering.program(calling, Answer(Text("That was all.")))
    await reader.ask("Erase it")
    call = reader.page.get_by_role("region", name="erase")
    await expect(call).to_contain_text('{"path":"a"}')
    await reader.press(button)
    await expect(call.locator(".call-state")).to_have_text(state)
    await expect(reader.texts).to_have_text("That was all.")
    (result,) = answering.requests[-1]["messages"][-1]["content"]
    assert ("erased a" in str(result["content"])) == (state == "allow")


async def test_a_page_loaded_again_goes_on_and_a_second_tab_shows_the_same(
    open_reader: OpenReader, answering: Simulator
) -> None:
    reader = await open_reader()
    gate = Gate()
    answering.program(Answer(Text(["one ", gate, "two"])))
    await reader.ask("Count")
    await expect(reader.texts).to_have_text("one")
    await reader.page.reload()
    await expect(reader.texts).to_have_text("one")
    await expect(reader.status).to_have_text("streaming")
    other = await open_reader(reader.page.url)
    await expect(other.texts).to_have_text("one")
    gate.open()
    for one in (reader, other):
        await expect(one.texts).to_have_text("one two")
        await expect(one.status).to_have_text("ready")
    # What one tab stops, ends in the other.
    answering.program(Answer(Text(["three ", Gate()])))
    await reader.ask("Go on")
    await expect(other.texts.last).to_have_text("three")
    await other.press("Stop")
    await expect(reader.ends).to_have_text(["end_turn", "cancelled"])


async def test_what_is_refused_is_shown_until_something_else_is_asked(
    open_reader: OpenReader, answering: Simulator
) -> None:
    reader = await open_reader()
    await reader.message.press("Enter")
    await expect(reader.alert).to_have_text("bad_command")
    await expect(reader.status).to_have_text("error")
    answering.program(Answer(Text("Yes.")))
    await reader.ask("Are you there?")
    await expect(reader.texts).to_have_text("Yes.")
    await expect(reader.alert).to_have_count(0)


async def test_unmounting_closes_the_socket_and_what_is_shown_again_goes_on(
    open_reader: OpenReader, answering: Simulator
) -> None:
    reader = await open_reader()
    answering.program(Answer(Text("one")), Answer(Text("two")))
    await reader.ask("Count")
    await expect(reader.ends).to_have_text("end_turn")
    (socket,) = reader.sockets
    async with socket.expect_event("close"):
        await reader.press("Hide")
    await reader.press("Show")
    await expect(reader.connection).to_have_text("open")
    await expect(reader.texts).to_have_text("one")
    await reader.ask("Go on")
    await expect(reader.texts).to_have_text(["one", "two"])
    assert (len(reader.sockets), reader.open_sockets) == (2, 1)
    async with reader.sockets[-1].expect_event("close"):
        await reader.press("Leave")
    assert reader.open_sockets == 0

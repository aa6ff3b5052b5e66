"""Stop, failure and restart as the page tells them, in Chromium over the real service."""

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import OpenTab, Tab
from tests.e2e.line import Line
from tests.e2e.recorder import Recorder
from tests.faults.server import killable
from tests.kit.patience import patience
from turnwire_simulator import Answer, Cut, Fault, Gate, Simulator, Text, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_stop_during_a_tool_call_then_a_normal_answer(tab: Tab, simulator: Simulator) -> None:
    calling = Answer(
        Text("Waiting."), ToolUse("wait_for_rain", {"city": "Oslo"}), stop_reason="tool_use"
    )
    simulator.program(calling, Answer(Text("It is dry.")))
    await tab.ask("Rain?")
    tool = tab.page.locator(".tool")
    await expect(tool.locator(".tool-state")).to_have_text("Running…")
    await tab.stop_button.click()
    await expect(tab.marks).to_have_text("Stopped")
    await expect(tool.locator(".tool-state")).to_have_text("Did not finish")
    await expect(tool).to_have_attribute("data-state", "stopped")
    await expect(tab.send_button).to_be_visible()
    await tab.ask("And now?")
    await expect(tab.answers).to_have_text(["Waiting.", "It is dry."])
    await expect(tab.page.locator(".callout")).to_have_count(0)


async def test_an_overloaded_model_shows_a_countdown_then_the_answer_without_repeated_text(
    address: str, open_tab: OpenTab, simulator: Simulator
) -> None:
    tab = await open_tab("about:blank")
    line = await Line.of(tab.page)
    await tab.page.goto(address)
    gate = Gate()
    simulator.program(Answer(Text(["one ", gate, Cut()])), Fault(529, retry_after=3))
    last = Gate()
    simulator.program(Answer(Text(["one ", last, "two"])))
    await tab.ask("Count")
    await expect(tab.answers).to_have_text("one")
    line.hold(lambda message: message["type"] == "step" and message["attempt"] == 3)
    said = await Recorder.of(tab.page, ".retry")
    gate.open()
    counted = await said.until("Claude is busy, trying again…")
    seconds = [int(left) for left in re.findall(r"busy, trying again in (\d+) s", str(counted))]
    assert seconds[0] == 3
    assert seconds == sorted(seconds, reverse=True)
    await expect(tab.answers).to_have_text("one")
    line.let_go()
    await expect(tab.page.locator(".retry")).to_be_hidden()
    await expect(tab.answers).to_have_text("one")
    last.open()
    await expect(tab.answers).to_have_text("one two")
    await expect(tab.page.locator(".usage")).to_be_visible()


async def test_stop_while_it_waits_to_try_again(tab: Tab, simulator: Simulator) -> None:
    simulator.program(Fault(529, retry_after=60), Answer(Text("Later.")))
    await tab.ask("Now?")
    await expect(tab.page.locator(".retry")).to_be_visible()
    await tab.page.keyboard.press("Escape")
    await expect(tab.marks).to_have_text("Stopped")
    await expect(tab.page.locator(".retry")).to_be_hidden()
    await tab.ask("And now?")
    await expect(tab.answers).to_have_text(["Later."])


@pytest.mark.parametrize(
    ("stop_reason", "title", "remedy"),
    [
        ("max_tokens", "Cut off at the length limit", "Ask Claude to continue"),
        ("model_context_window_exceeded", "too long for the model", "Start a new chat"),
        ("refusal", "Claude declined", "Edit your message"),
        ("stop_sequence", "Ended at a stop sequence", None),
        ("meteor_strike", "Ended: meteor_strike", None),
    ],
)
async def test_an_unusual_end_says_what_it_is_and_what_to_do(
    tab: Tab, simulator: Simulator, stop_reason: str, title: str, remedy: str | None
) -> None:
    simulator.program(Answer(Text("So far"), stop_reason=stop_reason), Answer(Text("Then.")))
    await tab.ask("Go on")
    await expect(tab.marks).to_contain_text(title)
    if remedy is None:
        await expect(tab.page.locator(".remedy")).to_have_count(0)
    else:
        await expect(tab.page.locator(".remedy")).to_contain_text(remedy)
    await expect(tab.answers).to_have_text("So far")
    await tab.ask("And then?")
    await expect(tab.answers).to_have_text(["So far", "Then."])


async def test_after_kill_9_in_mid_answer_the_page_shows_what_was_shown_marked_interrupted(
    simulator: Simulator, open_tab: OpenTab, tmp_path: Path
) -> None:
    async with killable(simulator.url, tmp_path / "chat.db") as server:
        await server.start()
        tab = await open_tab(server.url)
        simulator.program(Answer(Text(["Once upon ", Gate(), "never shown"])))
        await tab.ask("A story")
        await expect(tab.answers).to_have_text("Once upon")
        server.kill()
        await server.ended()
        await expect(tab.banner).to_contain_text("Reconnecting…")
        await expect(tab.answers).to_have_text("Once upon")
        await server.start()
        await expect(tab.banner).to_be_hidden()
        await expect(tab.marks).to_have_text("Interrupted: the server was restarted")
        await expect(tab.answers).to_have_text("Once upon")
        simulator.program(Answer(Text("Go on.")), Answer(Text("A new one.")))
        await tab.ask("And now?")
        await expect(tab.answers).to_have_text(["Once upon", "Go on."])
        await tab.page.get_by_role("button", name="Regenerate").click()
        await expect(tab.answers).to_have_text(["Once upon", "A new one."])
        refused = [problem for problem in tab.problems if "net::ERR_" in problem]
        tab.problems = [problem for problem in tab.problems if problem not in refused]
        await tab.page.close()


async def test_a_draining_server_is_quiet_and_the_answer_is_finished(
    simulator: Simulator, open_tab: OpenTab, tmp_path: Path
) -> None:
    async with killable(simulator.url, tmp_path / "chat.db", "--drain-grace", "600") as server:
        await server.start()
        tab = await open_tab(server.url)
        gate, going_away = Gate(), asyncio.Event()
        tab.page.on(
            "websocket",
            lambda socket: socket.on(
                "framereceived",
                lambda frame: going_away.set() if "going_away" in str(frame) else None,
            ),
        )
        await tab.page.reload()
        simulator.program(Answer(Text(["one ", gate, "two"])), Answer(Text("three")))
        await tab.ask("Count")
        await expect(tab.answers).to_have_text("one")
        server.terminate()
        async with patience():
            await going_away.wait()
        await expect(tab.banner).to_be_hidden()
        await tab.ask("Go on")
        gate.open()
        await expect(tab.answers).to_have_text("one two")
        await server.ended()
        await server.start()
        await expect(tab.answers).to_have_text(["one two", "three"])
        await expect(tab.banner).to_be_hidden()
        tab.problems.clear()
        await tab.page.close()

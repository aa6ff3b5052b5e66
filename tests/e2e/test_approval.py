"""Calls that wait to be allowed, on the chat page in Chromium over the real service."""

import asyncio
import json
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, WebSocketRoute, expect

from tests.e2e.conftest import OpenTab, Serve, Tab
from tests.kit.patience import patience
from turnwire_server import tool
from turnwire_simulator import Answer, Simulator, Text, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")

SENT: list[dict[str, str]] = []
"""With what the tool ran."""


@tool(approval=True)
def send_email(to: str, subject: str) -> str:
    """Send an e-mail.

    Args:
        to: Whom.
        subject: About what.
    """
    SENT.append({"to": to, "subject": subject})
    return f"sent to {to}"


@pytest_asyncio.fixture(loop_scope="session")
async def tab(serve: Serve, open_tab: OpenTab, simulator: Simulator) -> Tab:
    """A tab in which the model wants to send an e-mail."""
    SENT.clear()
    call = ToolUse("send_email", {"to": "ada@example.com", "subject": "Logs"})
    calling = Answer(Text("Let me write."), call, stop_reason="tool_use")
    simulator.program(calling, Answer(Text("That was all.")))
    tab = await open_tab(await serve(send_email))
    await tab.ask("Write to Ada")
    await expect(card(tab)).to_contain_text("ada@example.com")
    return tab


def card(tab: Tab) -> Locator:
    return tab.page.get_by_role("group", name="Allow send_email?")


def button(tab: Tab, name: str) -> Locator:
    return card(tab).get_by_role("button", name=name, exact=True)


def shown(simulator: Simulator) -> dict[str, Any]:
    """The result in the last request, as the model was shown it."""
    (block,) = simulator.requests[-1]["messages"][-1]["content"]
    return {name: block[name] for name in ("content", "is_error") if name in block}


async def test_a_call_runs_once_it_is_allowed_by_the_keyboard(tab: Tab) -> None:
    await expect(card(tab).locator(".card-time")).to_contain_text("left")
    await expect(tab.announced).to_have_text("Claude asks to use send_email")
    await expect(tab.page).to_have_title("● Write to Ada – Turnwire")
    assert SENT == []
    await button(tab, "Allow").press("Enter")
    await expect(tab.answers.last).to_have_text("That was all.")
    await expect(tab.verdicts).to_have_text("Allowed")
    await expect(card(tab)).to_have_count(0)
    await expect(tab.tools).to_be_focused()
    await expect(tab.page).to_have_title("Write to Ada – Turnwire")
    assert SENT == [{"to": "ada@example.com", "subject": "Logs"}]


async def test_two_tabs_race_and_the_tool_runs_once(tab: Tab, open_tab: OpenTab) -> None:
    other = await open_tab(tab.page.url)
    both = (tab, other)
    for each in both:
        await expect(button(each, "Allow")).to_be_visible()
    # Whatever waits for a button would wait for ever in the tab whose card the other one's press
    # has taken away already; this presses it where it still is.
    press = "(buttons) => buttons.forEach((button) => button.click())"
    await asyncio.gather(*(button(each, "Allow").evaluate_all(press) for each in both))
    for each in both:
        await expect(each.answers.last).to_have_text("That was all.")
        await expect(each.verdicts).to_have_text("Allowed")
        await expect(each.page.locator(".card-problem")).to_have_count(0)
    assert len(SENT) == 1


async def test_who_decides_too_late_is_shown_what_was_decided(
    tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    refused = asyncio.Event()
    held: list[str | bytes] | None = None
    sockets: list[WebSocketRoute] = []

    async def connect(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def receive(frame: str | bytes) -> None:
            if held is None:
                socket.send(frame)
            elif json.loads(frame)["type"] == "reject":
                socket.send(frame)
                refused.set()
            else:
                held.append(frame)

        server.on_message(receive)
        sockets.append(socket)

    late = await open_tab("about:blank")
    await late.page.route_web_socket("**/v1/ws", connect)
    await late.page.goto(tab.page.url)
    await expect(card(late)).to_be_visible()
    held = []
    await button(tab, "Deny with a reason…").click()
    await tab.page.keyboard.type("she is on holiday")
    await tab.page.keyboard.press("Enter")
    await expect(tab.answers.last).to_have_text("That was all.")

    await button(late, "Allow").click()
    async with patience():
        await refused.wait()
    await late.page.evaluate("new Promise(requestAnimationFrame)")
    await expect(card(late).get_by_role("alert")).to_be_hidden()
    frames, held = held, None
    for frame in frames:
        sockets[-1].send(frame)
    for each in (tab, late):
        await expect(each.verdicts).to_have_text("Denied: she is on holiday")
        await expect(each.answers.last).to_have_text("That was all.")
        await expect(each.page.locator(".card-problem")).to_have_count(0)
    assert SENT == []


async def test_the_model_is_told_the_reason_of_a_denial(tab: Tab, simulator: Simulator) -> None:
    await button(tab, "Deny with a reason…").press("Enter")
    reason = tab.page.get_by_label("Why not?")
    await expect(reason).to_be_focused()
    await reason.fill("she is on holiday")
    await reason.press("Enter")
    await expect(tab.verdicts).to_have_text("Denied: she is on holiday")
    await expect(tab.tools.locator(".tool-state")).to_have_text("Denied")
    await expect(tab.answers.last).to_have_text("That was all.")
    said = "The user did not allow this call: she is on holiday"
    assert shown(simulator) == {"content": said, "is_error": True}
    assert SENT == []


async def test_escape_leaves_the_card_as_it_was_and_does_not_stop_the_answer(tab: Tab) -> None:
    for open, field in (("Deny with a reason…", "Why not?"), ("Edit…", "Input, as JSON")):
        await button(tab, open).press("Enter")
        await tab.page.get_by_label(field).press("Escape")
        await expect(button(tab, open)).to_be_focused()
    await button(tab, "Allow").click()
    await expect(tab.answers.last).to_have_text("That was all.")
    await expect(tab.marks).to_have_count(0)


async def test_an_edited_input_is_what_it_runs_with(tab: Tab, simulator: Simulator) -> None:
    await button(tab, "Edit…").press("Enter")
    field = tab.page.get_by_label("Input, as JSON")
    await expect(field).to_have_value('{\n  "to": "ada@example.com",\n  "subject": "Logs"\n}')
    await field.fill('{"to": "bert@example.com", "subject": "Logs"}')
    await button(tab, "Allow as edited").click()
    await expect(tab.answers.last).to_have_text("That was all.")
    await expect(tab.verdicts).to_have_text("Allowed with a changed input")
    await tab.over()
    await tab.tools.get_by_text("Input that Claude gave").click()
    await expect(tab.tools.locator("details[open] .tool-text")).to_contain_text("ada@example.com")
    assert SENT == [{"to": "bert@example.com", "subject": "Logs"}]
    assert "bert@example.com" in str(shown(simulator)["content"])


async def test_an_input_that_cannot_be_is_told_and_stays_to_be_corrected(tab: Tab) -> None:
    await button(tab, "Edit…").click()
    field = tab.page.get_by_label("Input, as JSON")
    problem = card(tab).get_by_role("alert")
    for wrong, why in (
        ('{"to": "b', "This is not JSON"),
        ('["b"]', "must be a JSON object"),
        ('{"to": 5, "subject": "Logs"}', "$.to"),
    ):
        await field.fill(wrong)
        await expect(problem).to_be_hidden()
        await button(tab, "Allow as edited").click()
        await expect(problem).to_contain_text(why)
        await expect(field).to_have_value(wrong)
        await expect(field).to_be_focused()
    await tab.page.reload()
    await expect(field).to_have_value(wrong)
    assert SENT == []
    await field.fill('{"to": "b", "subject": "Logs"}')
    await button(tab, "Allow as edited").click()
    await expect(tab.answers.last).to_have_text("That was all.")
    assert SENT == [{"to": "b", "subject": "Logs"}]


async def test_it_waits_over_a_reload(tab: Tab) -> None:
    await tab.page.reload()
    await expect(card(tab)).to_contain_text("ada@example.com")
    assert SENT == []
    await button(tab, "Allow").click()
    await expect(tab.answers.last).to_have_text("That was all.")
    assert len(SENT) == 1


async def test_a_stopped_turn_asks_no_more(tab: Tab, open_tab: OpenTab) -> None:
    other = await open_tab(tab.page.url)
    await expect(card(other)).to_be_visible()
    await tab.stop_button.click()
    for each in (tab, other):
        await expect(each.marks).to_have_text("Stopped")
        await expect(card(each)).to_have_count(0)
    await tab.ask("And now?")
    await expect(tab.answers.last).to_have_text("That was all.")
    assert SENT == []


async def test_an_approval_that_nobody_gives_in_time_is_a_denial(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    call = ToolUse("send_email", {"to": "ada@example.com", "subject": "Logs"})
    simulator.program(Answer(call, stop_reason="tool_use"), Answer(Text("A pity.")))
    tab = await open_tab(await serve(send_email, approval_timeout=0.5))
    await tab.ask("Write to Ada")
    await expect(tab.verdicts).to_have_text("Denied: nobody answered in time")
    await expect(tab.answers.last).to_have_text("A pity.")


async def test_on_a_phone_the_card_stays_as_wide_as_the_page_also_where_it_asks_why(
    tab: Tab,
) -> None:
    await tab.page.set_viewport_size({"width": 360, "height": 740})
    await button(tab, "Deny with a reason…").click()
    await expect(card(tab).get_by_role("textbox")).to_be_focused()
    right = await card(tab).evaluate("card => card.getBoundingClientRect().right")
    assert right <= 360
    await card(tab).get_by_role("textbox").press("Enter")
    await expect(tab.answers.last).to_have_text("That was all.")


async def test_one_click_denies_and_the_dock_says_that_it_is_the_user_who_is_waited_for(
    tab: Tab, simulator: Simulator
) -> None:
    waits = tab.page.locator("#waits")
    await expect(waits).to_contain_text("Claude waits for you: may it use send_email?")
    await tab.message.fill("Meanwhile")
    await expect(tab.page.locator("#meanwhile")).to_contain_text("waits, too")
    await waits.get_by_role("button", name="Show").click()
    await expect(button(tab, "Allow")).to_be_focused()
    await button(tab, "Deny").click()
    await expect(tab.verdicts).to_have_text("Denied")
    await expect(tab.answers.last).to_have_text("That was all.")
    await expect(waits).to_be_hidden()
    assert "did not allow" in str(shown(simulator)["content"])
    assert SENT == []


async def test_a_tool_that_is_always_allowed_is_decided_in_the_log_until_it_is_to_ask_again(
    tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    call = ToolUse("send_email", {"to": "bert@example.com", "subject": "Logs"})
    await card(tab).get_by_label("Allow send_email without asking").check()
    await button(tab, "Allow").click()
    await expect(tab.answers.last).to_have_text("That was all.")
    await tab.page.reload()
    simulator.program(Answer(call, stop_reason="tool_use"), Answer(Text("Again.")))
    other = await open_tab(tab.page.url)
    await tab.ask("And to Bert")
    for each in (tab, other):
        await expect(each.answers.last).to_have_text("Again.")
        await expect(each.verdicts).to_have_text(["Allowed", "Allowed"])
    assert len(SENT) == 2
    await tab.over()
    await tab.page.get_by_role("button", name="Ask me again").last.click()
    simulator.program(Answer(call, stop_reason="tool_use"), Answer(Text("Third.")))
    await tab.ask("Once more")
    await expect(button(tab, "Deny")).to_be_visible()
    await button(tab, "Deny").click()
    await expect(tab.answers.last).to_have_text("Third.")
    assert len(SENT) == 2

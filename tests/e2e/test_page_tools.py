"""The tools that the chat page offers, called by the model, in Chromium over the real service."""

import json
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, WebSocketRoute, expect

from tests.e2e.conftest import OpenTab, Serve, Tab
from turnwire_server import tool
from turnwire_simulator import Answer, Gate, Simulator, Text, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")

QUESTION = {"question": "What would you like to drink?", "choices": ["Tea", "Coffee"]}
LAST = Answer(Text("Thank you."))


@pytest_asyncio.fixture(loop_scope="session")
async def tab(serve: Serve, open_tab: OpenTab) -> Tab:
    """A tab with an empty new chat, of a service without tools."""
    return await open_tab(await serve())


def calling(name: str, input: dict[str, Any]) -> Answer:
    return Answer(ToolUse(name, input), stop_reason="tool_use")


def form(tab: Tab) -> Locator:
    return tab.page.get_by_role("form", name="What would you like to drink?")


def hear_outputs(tab: Tab) -> list[str]:
    """The `tool_output`s the tab sends from its next load on."""
    outputs: list[str] = []

    def hear(frame: str | bytes) -> None:
        if '"type":"tool_output"' in str(frame):
            outputs.append(str(frame))

    tab.page.on("websocket", lambda socket: socket.on("framesent", hear))
    return outputs


def shown(simulator: Simulator) -> dict[str, Any]:
    """The result in the last request, as the model was shown it."""
    (block,) = simulator.requests[-1]["messages"][-1]["content"]
    return {name: block[name] for name in ("content", "is_error") if name in block}


async def test_a_tool_in_the_browser_runs_in_the_tab_that_asked_and_in_no_other(
    tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    outputs = hear_outputs(tab)
    await tab.page.reload()
    gate = Gate()
    simulator.program(
        Answer(Text(["Let me look. ", gate]), ToolUse("browser_info", {}), stop_reason="tool_use"),
        Answer(Text("You are on a page.")),
    )
    await tab.ask("What page is this?")
    await expect(tab.answers).to_have_text("Let me look.")
    other = await open_tab("about:blank")
    outputs_of_other = hear_outputs(other)
    await other.page.goto(tab.page.url)
    await expect(other.answers).to_have_text("Let me look.")
    gate.open()
    for each in (tab, other):
        await expect(each.answers.last).to_have_text("You are on a page.")
        await expect(each.tools.locator(".tool-state")).to_contain_text("Done")
    await expect(tab.tools.locator(".tool-place")).to_have_text("in this tab")
    await expect(other.tools.locator(".tool-place")).to_have_text("in a client")
    said = json.loads(str(shown(simulator)["content"]))
    assert said["page_title"] == "What page is this? – Turnwire"
    zone = "Intl.DateTimeFormat().resolvedOptions().timeZone"
    assert said["time_zone"] == await tab.page.evaluate(zone)
    assert len(simulator.requests[-1]["messages"]) == 3
    assert (len(outputs), len(outputs_of_other)) == (1, 0)


async def test_a_question_is_answered_by_a_choice_where_it_was_asked(
    tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    simulator.program(calling("ask_user", QUESTION), LAST)
    await tab.ask("Serve me")
    await expect(tab.announced).to_have_text("Claude asks: What would you like to drink?")
    other = await open_tab(tab.page.url)
    await expect(other.tools).to_contain_text("What would you like to drink?")
    await expect(other.tools.locator(".tool-state")).to_have_text("Asked in another tab")
    await expect(form(other)).to_have_count(0)
    await form(tab).get_by_role("button", name="Coffee").press("Enter")
    for each in (tab, other):
        await expect(each.answers).to_have_text("Thank you.")
        await expect(each.tools.locator(".tool-result .tool-text")).to_have_text("Coffee")
        await expect(form(each)).to_have_count(0)
    assert shown(simulator) == {"content": "Coffee"}


async def test_a_question_is_answered_in_the_users_own_words(
    tab: Tab, simulator: Simulator
) -> None:
    simulator.program(calling("ask_user", {"question": QUESTION["question"]}), LAST)
    await tab.ask("Serve me")
    await form(tab).get_by_role("button", name="Answer").click()
    field = form(tab).get_by_label("Your answer")
    await expect(field).to_be_focused()
    await field.fill("Water, please")
    await field.press("Escape")
    await field.press("Enter")
    await expect(tab.answers).to_have_text("Thank you.")
    await expect(tab.marks).to_have_count(0)
    assert shown(simulator) == {"content": "Water, please"}


async def test_a_question_may_be_left_open(tab: Tab, simulator: Simulator) -> None:
    simulator.program(calling("ask_user", QUESTION), LAST)
    await tab.ask("Serve me")
    await form(tab).get_by_role("button", name="Skip").click()
    await expect(tab.answers).to_have_text("Thank you.")
    assert shown(simulator) == {"content": "The user did not want to answer.", "is_error": True}


async def test_a_question_can_be_answered_after_a_reload_of_its_tab_and_not_in_a_copy_of_it(
    tab: Tab, simulator: Simulator
) -> None:
    simulator.program(calling("ask_user", QUESTION), LAST)
    await tab.ask("Serve me")
    await form(tab).get_by_label("Or in your own words").fill("Water, perhaps")
    await tab.page.reload()
    await expect(form(tab).get_by_label("Or in your own words")).to_have_value("Water, perhaps")
    async with tab.page.expect_popup() as opening:
        # It starts with a copy of the session's storage, as a duplicated tab does.
        await tab.page.evaluate("window.open(location.href) && undefined")
    copy = Tab(await opening.value)
    await expect(copy.tools.locator(".tool-state")).to_have_text("Asked in another tab")
    await form(tab).get_by_role("button", name="Answer").click()
    for each in (tab, copy):
        await expect(each.answers).to_have_text("Thank you.")
    assert shown(simulator) == {"content": "Water, perhaps"}
    assert copy.problems == []


async def test_a_question_can_be_answered_over_a_lost_connection(
    tab: Tab, simulator: Simulator
) -> None:
    sockets: list[WebSocketRoute] = []

    async def connect(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.connect_to_server()

    await tab.page.route_web_socket("**/v1/ws", connect)
    await tab.page.reload()
    simulator.program(calling("ask_user", QUESTION), LAST)
    await tab.ask("Serve me")
    await expect(form(tab)).to_be_visible()
    await sockets[-1].close(code=1012)
    await form(tab).get_by_role("button", name="Tea").click()
    await expect(tab.answers).to_have_text("Thank you.")
    assert shown(simulator) == {"content": "Tea"}


async def test_an_answer_that_is_refused_is_told_and_kept(tab: Tab, simulator: Simulator) -> None:
    simulator.program(calling("ask_user", QUESTION), LAST)
    await tab.ask("Serve me")
    field = form(tab).get_by_label("Or in your own words")
    await field.fill("x" * 300_000)
    await form(tab).get_by_role("button", name="Answer").click()
    await expect(form(tab).get_by_role("alert")).to_contain_text("at most 262144 bytes")
    assert len(await field.input_value()) == 300_000
    await field.fill("Tea")
    await expect(form(tab).get_by_role("alert")).to_be_hidden()
    await field.press("Enter")
    await expect(tab.answers).to_have_text("Thank you.")


async def test_a_call_of_a_tool_that_the_page_does_not_know_gets_a_plain_form(
    tab: Tab, simulator: Simulator
) -> None:
    other = {
        "name": "sign",
        "description": "Have it signed",
        "input_schema": {"type": "object", "properties": {"paper": {"type": "string"}}},
    }

    async def connect(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def send(frame: str | bytes) -> None:
            command = json.loads(frame)
            if command["type"] == "send":
                command["client_tools"].append(other)
            server.send(json.dumps(command))

        socket.on_message(send)

    await tab.page.route_web_socket("**/v1/ws", connect)
    await tab.page.reload()
    simulator.program(calling("sign", {"paper": "the contract"}), LAST)
    await tab.ask("Sign it")
    plain = tab.page.get_by_role("form", name="Answer sign")
    await expect(plain).to_contain_text("the contract")
    await plain.get_by_label("Your answer").fill("Anna")
    await plain.get_by_label("Your answer").press("Enter")
    await expect(tab.answers).to_have_text("Thank you.")
    assert shown(simulator) == {"content": "Anna"}


async def test_a_server_that_has_a_tool_of_that_name_asks_in_its_own_way(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    @tool
    def ask_user(question: str) -> str:
        """Ask the user by telephone."""
        return "They are out"

    tab = await open_tab(await serve(ask_user))
    simulator.program(calling("ask_user", {"question": "Tea?"}), LAST, LAST)
    await tab.ask("One")
    await tab.ask("Two")
    await expect(tab.answers).to_have_text(["Thank you.", "Thank you."])
    await expect(tab.bubbles).to_have_text(["One", "Two"])
    await expect(tab.tools.locator(".tool-place")).to_have_text("on the server")
    await expect(tab.page.locator(".delivery")).to_have_count(0)

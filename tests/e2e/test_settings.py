"""What the user sets and chooses on the chat page, in Chromium over the real service."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import OpenTab, Serve
from turnwire_simulator import Answer, Gate, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALL = {"models": ["claude-haiku-5"], "client_options": ["model", "system", "thinking", "effort"]}


async def test_what_is_chosen_for_the_next_message_goes_with_it_and_outlives_a_reload(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    tab = await open_tab(await serve(model="claude-sonnet-5", **ALL))
    model = tab.page.get_by_role("combobox", name="Model")
    await expect(model.locator("option")).to_have_text(["claude-sonnet-5", "claude-haiku-5"])
    await model.select_option("claude-haiku-5")
    await tab.page.get_by_role("combobox", name="Thinking").select_option("disabled")
    await tab.page.get_by_role("combobox", name="Effort").select_option("low")
    await tab.page.locator("#open-settings").click()
    await tab.page.get_by_label("What Claude should know").fill("Be brief.")
    await tab.page.keyboard.press("Tab")
    await tab.page.keyboard.press("Escape")
    await tab.page.reload()
    simulator.program(Answer(Text("one")), Answer(Text("two")))
    await tab.ask("Hello")
    await expect(tab.answers).to_have_text("one")
    asked = simulator.requests[-1]
    assert asked["model"] == "claude-haiku-5"
    assert asked["thinking"] == {"type": "disabled"}
    assert asked["output_config"] == {"effort": "low"}
    assert "Be brief." in str(asked["system"])
    await model.select_option("claude-sonnet-5")
    await tab.page.get_by_role("button", name="Regenerate").click()
    await expect(tab.answers).to_have_text("two")
    assert simulator.requests[-1]["model"] == "claude-sonnet-5"


async def test_nothing_is_offered_that_the_server_does_not_let_clients_choose(
    serve: Serve, open_tab: OpenTab
) -> None:
    tab = await open_tab(await serve(models=["claude-haiku-5"], client_options=[]))
    await tab.page.locator("#open-settings").click()
    await expect(tab.page.get_by_label("Language")).to_be_visible()
    await expect(tab.page.get_by_label("What Claude should know")).to_be_hidden()
    await expect(tab.page.get_by_role("combobox", name="Model")).to_have_count(0)


async def test_language_colours_keys_and_usage_are_as_set_in_all_tabs(
    address: str, open_tab: OpenTab, simulator: Simulator
) -> None:
    tab, other = await open_tab(address), await open_tab(address)
    await tab.page.emulate_media(color_scheme="light")
    await tab.page.locator("#open-settings").click()
    await tab.page.get_by_label("Colours").select_option("dark")
    for each in (tab, other):
        await expect(each.page.locator("body")).to_have_css("background-color", "rgb(25, 24, 23)")
    await tab.page.get_by_label("Send with").select_option("control")
    await tab.page.get_by_label("Show tokens and costs").uncheck()
    await tab.page.keyboard.press("Escape")
    simulator.program(Answer(Text("done")))
    await tab.message.fill("one")
    await tab.message.press("Enter")
    await tab.message.press_sequentially("two")
    await expect(tab.message).to_have_value("one\ntwo")
    await tab.message.press("Control+Enter")
    await expect(tab.answers).to_have_text("done")
    await expect(tab.page.get_by_role("button", name="Regenerate")).to_be_visible()
    await expect(tab.page.locator(".meta .usage")).to_be_hidden()
    await tab.page.locator("#open-settings").click()
    await tab.page.get_by_label("Language").select_option("ja")
    await expect(tab.page.get_by_placeholder("Claude にメッセージ")).to_be_visible()
    await expect(tab.answers).to_have_text("done")


async def test_keys_work_from_anywhere_and_a_card_tells_of_them(
    address: str, open_tab: OpenTab, simulator: Simulator
) -> None:
    tab, gate = await open_tab(address), Gate()
    simulator.program(Answer(Text(["one ", gate])))
    await tab.ask("Count")
    await expect(tab.answers).to_have_text("one")
    keyboard = tab.page.keyboard
    await keyboard.press("Control+/")
    card = tab.page.get_by_role("dialog", name="Keyboard shortcuts")
    await expect(card).to_contain_text("Ctrl + K")
    await keyboard.press("Escape")
    await expect(card).to_be_hidden()
    await keyboard.press("Control+,")
    await expect(tab.page.get_by_role("dialog", name="Settings")).to_be_visible()
    await keyboard.press("Escape")
    await expect(tab.page.get_by_role("dialog", name="Settings")).to_be_hidden()
    # Escape was for the cards: the answer runs on.
    await expect(tab.stop_button).to_have_text("Stop")
    gate.open()
    await keyboard.press("Control+k")
    search = tab.page.get_by_role("searchbox", name="Search conversations")
    await expect(search).to_be_focused()
    await keyboard.press("Control+Shift+O")
    await expect(tab.bubbles).to_have_count(0)
    await expect(tab.message).to_be_focused()
    manifest = await tab.page.locator("link[rel=manifest]").get_attribute("href")
    answer = await tab.page.request.get(f"{address}/{manifest}")
    assert answer.headers["content-type"].startswith("application/manifest+json")
    assert (await answer.json())["display"] == "standalone"


async def test_the_page_presents_itself_as_whoever_runs_it_says(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    page = {
        "brand": "Ask <Acme> & Co",
        "greeting": 'What\'s "up"?',
        "invitation": "Ask about anvils.",
        "accent": "#7a1fa2",
        "accent_dark": "#ffd54f",
    }
    address = await serve(page=page)
    tab = await open_tab(address)
    await expect(tab.page.locator(".brand")).to_have_text("Ask <Acme> & Co")
    await expect(tab.page).to_have_title("Ask <Acme> & Co")
    await expect(tab.page.locator(".greeting")).to_have_text('What\'s "up"?')
    await expect(tab.page.locator(".notice")).to_contain_text("Ask about anvils.")
    await tab.message.fill("x")
    await tab.page.emulate_media(color_scheme="dark")
    await expect(tab.send_button).to_have_css("background-color", "rgb(255, 213, 79)")
    await expect(tab.send_button).to_have_css("color", "rgb(0, 0, 0)")
    await tab.page.emulate_media(color_scheme="light")
    await expect(tab.send_button).to_have_css("background-color", "rgb(122, 31, 162)")
    await expect(tab.send_button).to_have_css("color", "rgb(255, 255, 255)")
    manifest = await tab.page.request.get(f"{address}manifest.webmanifest")
    assert (await manifest.json())["name"] == "Ask <Acme> & Co"

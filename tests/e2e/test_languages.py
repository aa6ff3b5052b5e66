"""The chat page in the reader's language, in Chromium over the real service."""

import asyncio

import pytest
from playwright.async_api import Browser, Route, expect

from tests.e2e.conftest import Tab
from tests.kit.patience import PATIENCE_SECONDS
from turnwire_simulator import Answer, Gate, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.mark.parametrize(
    ("locale", "lang", "placeholder", "stopped", "again"),
    [
        ("de-AT", "de", "Nachricht an Claude", "Beendet", "Neu antworten"),
        ("ja-JP", "ja", "Claude にメッセージ", "停止しました", "再生成"),
        ("xh", "en", "Message Claude", "Stopped", "Regenerate"),
    ],
)
async def test_the_page_speaks_the_language_of_the_browser(
    browser: Browser,
    address: str,
    simulator: Simulator,
    locale: str,
    lang: str,
    placeholder: str,
    stopped: str,
    again: str,
) -> None:
    context = await browser.new_context(locale=locale)
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    tab = Tab(await context.new_page())
    await tab.page.goto(address)
    await expect(tab.page.locator("html")).to_have_attribute("lang", lang)
    field = tab.page.get_by_placeholder(placeholder, exact=True)
    simulator.program(Answer(Text(["Eins", Gate()])))
    await field.fill("Zähle")
    await field.press("Enter")
    await expect(tab.answers).to_have_text("Eins")
    await tab.page.keyboard.press("Escape")
    await expect(tab.marks).to_have_text(stopped)
    await expect(tab.page.get_by_role("button", name=again)).to_be_visible()
    assert tab.problems == []
    await context.close()


async def test_the_words_are_on_their_way_before_the_page_has_its_script(
    browser: Browser, address: str
) -> None:
    context = await browser.new_context(locale="de-AT")
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    page = await context.new_page()
    asked = asyncio.Event()

    async def words(route: Route) -> None:
        asked.set()
        await route.continue_()

    async def script(route: Route) -> None:
        # It does not come before somebody has asked for the words.
        await asked.wait()
        await route.continue_()

    await page.route("**/page/de-*.js", words)
    await page.route("**/page/page-*.js", script)
    await page.goto(address, wait_until="commit")
    await expect(page.locator("html")).to_have_attribute("lang", "de")
    await context.close()

"""The demo, `turnwire serve` without a key, as a newcomer meets it in Chromium."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import OpenTab
from tests.e2e.line import Line
from tests.e2e.service import serving

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_ordinary_sentences_lead_to_every_kind_of_tool(
    open_tab: OpenTab, tmp_path: Path
) -> None:
    async with serving(None, tmp_path) as address:
        tab = await open_tab("about:blank")
        line = await Line.of(tab.page)
        await tab.page.goto(address)
        await expect(tab.page.locator("#demo")).to_have_text("Demo")
        await expect(tab.page.locator("#demo")).to_be_visible()
        await expect(tab.page.locator(".notice .demo-note")).to_contain_text("not Claude")
        await tab.ask("Hello, what can you do?")
        await expect(tab.page.locator("#demo-note")).to_be_visible()
        for sentence in ("send an email", "what time is it here?", "ask me something"):
            await expect(tab.answers.last).to_contain_text(sentence)
        await expect(tab.page.locator(".usage")).to_have_count(1)

        line.hold(lambda message: message["type"] == "tool_result")
        await tab.ask("How is the weather in Paris?")
        await expect(tab.page.get_by_role("progressbar")).to_be_visible()
        line.let_go()
        await expect(tab.answers.last).to_contain_text("weather said")

        await tab.ask("Please send an email")
        card = tab.page.get_by_role("group", name="Allow send_email?")
        await expect(card).to_contain_text("ada@example.com")
        await card.get_by_role("button", name="Allow").click()
        await expect(tab.answers.last).to_contain_text("send_email said: Sent to ada@example.com")

        await tab.ask("Search the web for Mars")
        await expect(tab.page.locator(".sources:not([hidden]) summary")).to_have_text("2 sources")

        await tab.ask("What time is it here?")
        await expect(tab.tools.last.locator(".tool-name")).to_have_text("browser_info")
        await expect(tab.answers.last).to_contain_text("browser_info said")

        await tab.ask("Ask me something")
        await tab.page.get_by_role("button", name="Coffee").click()
        await expect(tab.answers.last).to_contain_text("ask_user said: Coffee")
        await tab.page.close()

"""What the chat page has of the network until its last answer is shown, with an empty profile."""

import re

import pytest
from playwright.async_api import Browser, Route, expect

from tests.e2e.conftest import OpenTab, Tab
from tests.e2e.traffic import Traffic
from tests.kit.patience import PATIENCE_SECONDS, patience
from turnwire_simulator import Answer, Simulator, Text, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAX_REQUESTS = 8
MAX_BYTES = 120_000


async def shown(tab: Tab) -> None:
    """Everything that a load brings, the list of conversations too."""
    await expect(tab.answers).to_have_text("It is short.")
    await expect(tab.entries.first).to_be_visible()
    await tab.page.wait_for_load_state("networkidle")


async def test_a_short_conversation_takes_few_requests_and_few_bytes_and_a_reload_next_to_none(
    address: str, tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("It is **short**.")))
    await tab.ask("What is short?")
    await shown(tab)
    url = tab.page.url

    # Of the same profile, whose cache is to hold nothing.
    other = await open_tab("about:blank")
    session = await other.page.context.new_cdp_session(other.page)
    await session.send("Network.clearBrowserCache")
    traffic = await Traffic.of(other.page)
    await other.page.goto(url)
    await shown(other)
    assert len(traffic.requests) <= MAX_REQUESTS, traffic.requests
    assert traffic.received <= MAX_BYTES
    lists = [request for request in traffic.requests if "/v1/conversations" in request]
    assert len(lists) == 1

    traffic.forget()
    await other.page.reload()
    await shown(other)
    # What has a hash in its name is not asked for again.
    assert not [request for request in traffic.requests if "/page/" in request]
    assert traffic.received <= MAX_BYTES / 10


async def test_what_comes_later_and_did_not_come_is_asked_for_again_and_the_calls_are_shown_then(
    browser: Browser, address: str, simulator: Simulator
) -> None:
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    tab = Tab(await context.new_page())
    await tab.page.route("**/page/further-*.js", lambda route: route.abort())
    async with tab.page.expect_event("requestfailed"):
        await tab.page.goto(address)
    simulator.program(
        Answer(Text("I look."), ToolUse("browser_info", {}), stop_reason="tool_use"),
        Answer(Text("You are here.")),
    )
    await tab.ask("Where am I?")
    await expect(tab.answers.last).to_have_text("You are here.")
    await expect(tab.tools).to_have_count(0)

    await tab.page.unroute_all()
    await tab.page.locator("#open-settings").click()
    await expect(tab.page.get_by_role("dialog")).to_be_visible()
    await expect(tab.tools).to_have_count(1)
    order = await tab.page.locator(".blocks > *").evaluate_all(
        "(blocks) => blocks.map(({ className }) => className)"
    )
    assert order == ["prose", "tool", "prose"]
    await context.close()


@pytest.mark.parametrize("kind", ["wire", "page", "further"])
async def test_a_page_of_another_version_loads_that_of_now_and_keeps_what_is_written(
    browser: Browser, address: str, kind: str
) -> None:
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    tab = Tab(await context.new_page())
    await tab.page.goto(address)
    await tab.message.fill("Half a sent")
    asked: list[str] = []

    async def other(route: Route) -> None:
        # Twice there is a server of before, whose scripts have other names than those of this one.
        asked.append(route.request.url)
        if len(asked) > 2:
            await route.continue_()
            return
        old = re.sub(r"-[0-9a-f]{8}", "-00000000", route.request.url)
        await route.fulfill(response=await route.fetch(url=old))

    session = await context.new_cdp_session(tab.page)
    await session.send("Network.clearBrowserCache")
    await tab.page.route(f"**/page/{kind}-*.js", other)
    await tab.page.reload()
    await expect(tab.page.locator("#send svg")).to_be_visible()
    async with patience():
        while len(asked) < 3:
            await tab.page.wait_for_timeout(50)
    await tab.page.locator("#open-settings").click()
    await expect(tab.page.get_by_role("dialog")).to_be_visible()
    await expect(tab.page.locator("#message")).to_have_value("Half a sent")
    assert await tab.page.evaluate("sessionStorage.getItem('turnwire.outdated')") is None
    await context.close()

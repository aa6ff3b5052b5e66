"""What the chat page has of the network until its last answer is shown, with an empty profile."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import OpenTab, Tab
from tests.e2e.traffic import Traffic
from turnwire_simulator import Answer, Simulator, Text

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

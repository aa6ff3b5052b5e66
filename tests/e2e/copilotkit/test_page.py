"""A real page of CopilotKit, built by Vite, in Chromium: the service is all the runtime it has."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.e2e.vite import opened, served
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import turnwire_over
from turnwire_server import tool
from turnwire_simulator import Answer, Cut, Gate, Simulator, Text, Thinking, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")

HERE = Path(__file__).parent


@tool(approval=True)
def erase(path: str) -> str:
    """Erase a file."""
    return f"erased {path}"


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def url(model_of_module: Simulator) -> AsyncIterator[str]:
    """Where the page is: beside the service, which is all the runtime it has."""
    turnwire = turnwire_over(model_of_module, tools=[erase], detach_grace=PATIENCE_SECONDS)
    async with served(HERE, turnwire, area=HERE) as url:
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, url: str) -> AsyncIterator[Page]:
    """A tab with the page, on a new conversation."""
    async with opened(browser, width=900, height=700, hears_console=False) as page:
        await page.goto(f"{url}?thread={uuid4()}")
        yield page


async def ask(page: Page, text: str) -> None:
    """Type and send."""
    box = page.get_by_role("textbox")
    await box.fill(text)
    await box.press("Enter")


async def test_a_page_thinks_speaks_uses_its_own_tool_and_asks_before_it_acts(
    page: Page, model: Simulator
) -> None:
    within = Gate()
    model.program(
        Answer(Thinking("Hm."), Text(["Once upon ", within, "a time."])),
        Answer(ToolUse("page_title", {}, id="e2e_title"), stop_reason="tool_use"),
        Answer(Text("It is a chat.")),
        Answer(
            Text("Shall I?"),
            ToolUse("erase", {"path": "a"}, id="e2e_erase"),
            stop_reason="tool_use",
        ),
        Answer(Text("Erased it.")),
    )
    await ask(page, "Hi")
    await expect(page.get_by_text("Once upon")).to_be_visible()
    within.open()
    await expect(page.get_by_text("Once upon a time.")).to_be_visible()
    await expect(page.get_by_text("Hm.")).to_have_count(1)
    await ask(page, "What is this page?")
    await expect(page.get_by_text("It is a chat.")).to_be_visible()
    (result,) = model.requests[-1]["messages"][-1]["content"]
    assert result["content"] == "Turnwire in CopilotKit"
    await ask(page, "Erase a")
    await expect(page.get_by_role("alert")).to_contain_text("May erase run?")
    # Whoever thinks about it may load the page again meanwhile.
    await page.reload()
    await page.get_by_role("alert").get_by_role("button", name="Allow").click()
    await expect(page.get_by_text("Erased it.")).to_be_visible()
    await expect(page.get_by_text("Shall I?")).to_have_count(1)
    await expect(page.get_by_role("alert")).to_have_count(0)


async def test_a_page_that_is_loaded_again_in_mid_stream_goes_on_and_can_stop(
    page: Page, model: Simulator
) -> None:
    aborted = model.aborted_streams
    within = Gate()
    model.program(Answer(Text(["Once upon ", within, "a time", Gate()])))
    await ask(page, "Hi")
    await expect(page.get_by_text("Once upon")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("Once upon")).to_be_visible()
    within.open()
    await expect(page.get_by_text("Once upon a time")).to_be_visible()
    await page.get_by_test_id("copilot-send-button").click()
    async with patience():
        await model.wait(lambda: model.aborted_streams > aborted)
    model.program(Answer(Text("Ok.")))
    await ask(page, "Go on")
    await expect(page.get_by_text("Ok.")).to_be_visible()
    await expect(page.get_by_text("Once upon a time")).to_have_count(1)


async def test_a_page_shows_nothing_of_an_attempt_that_failed(page: Page, model: Simulator) -> None:
    model.program(Answer(Thinking("Hm, hm."), Text(["Once upon", Cut()])), Answer(Text("Ok.")))
    await ask(page, "Hi")
    await expect(page.get_by_text("Ok.")).to_be_visible()
    await expect(page.get_by_text("Once upon")).to_have_count(0)
    await expect(page.get_by_text("Hm, hm.")).to_have_count(0)

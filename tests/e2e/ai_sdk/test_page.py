"""A page of React and Vite with `useChat`, as it is built and shown, in Chromium."""

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from tests.e2e.vite import opened, served
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import turnwire_over
from tests.wires.ai_sdk.conftest import erase, look
from turnwire_simulator import Answer, Gate, Simulator, Text, Thinking, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")

HERE = Path(__file__).parent
AREA = HERE.parents[1] / "wires" / "ai_sdk"
"""Whose packages the page is made of."""
PICTURES = os.environ.get("TURNWIRE_TEST_PICTURES")
"""A folder for pictures of what is shown, for people who want to look."""

over_both = pytest.mark.parametrize("over", ["sse", "ws"])


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def url(model_of_module: Simulator) -> AsyncIterator[str]:
    """Where the page is: beside the service, which leaves readers time to come back."""
    turnwire = turnwire_over(model_of_module, tools=[look, erase], detach_grace=PATIENCE_SECONDS)
    async with served(HERE, turnwire, area=AREA) as url:
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    async with opened(browser, width=720, height=640) as page:
        yield page


async def picture(page: Page, name: str) -> None:
    if PICTURES:
        await page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


async def ask(page: Page, text: str) -> None:
    await page.get_by_label("Message").fill(text)
    await page.get_by_label("Message").press("Enter")


@over_both
async def test_a_question_a_decision_and_its_answer_are_on_the_page(
    url: str, page: Page, model: Simulator, over: str
) -> None:
    model.program(
        Answer(
            Thinking("It is to go."),
            Text("Wait."),
            ToolUse("erase", {"path": "a"}),
            stop_reason="tool_use",
        ),
        Answer(Text("It is gone.")),
    )
    await page.goto(f"{url}?id={uuid.uuid4().hex}&over={over}")
    await ask(page, "Erase a.")
    await expect(page.locator(".state")).to_have_text("approval-requested")
    await picture(page, f"{over}-asked")
    await page.reload()
    await page.get_by_role("button", name="Allow").click()
    await expect(page.locator(".assistant .text")).to_have_text(["Wait.", "It is gone."])
    await expect(page.locator("output")).to_have_text("ready")
    await expect(page.locator(".tool pre")).to_have_text('"erased a"')
    await picture(page, f"{over}-answered")


@over_both
async def test_a_page_that_is_loaded_again_streams_on_and_stops(
    url: str, page: Page, model: Simulator, over: str
) -> None:
    gate, aborted = Gate(), model.aborted_streams
    model.program(Answer(Text(["Once ", gate, "upon ", Gate(), "a time."])))
    await page.goto(f"{url}?id={uuid.uuid4().hex}&over={over}")
    await ask(page, "A story.")
    await expect(page.locator(".assistant .text")).to_have_text("Once ")
    await page.reload()
    await expect(page.locator(".assistant .text")).to_have_text("Once ")
    gate.open()
    await expect(page.locator(".assistant .text")).to_have_text("Once upon ")
    await picture(page, f"{over}-streams")
    await page.get_by_role("button", name="Stop").click()
    await expect(page.locator("output")).to_have_text("ready")
    async with patience():
        await model.wait(lambda: model.aborted_streams > aborted)
    await page.reload()
    await expect(page.locator(".assistant .text")).to_have_text("Once upon ")

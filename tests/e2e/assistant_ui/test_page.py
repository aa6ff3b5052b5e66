"""A page of assistant-ui, as it is built and shown, in Chromium."""

import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from tests.e2e.pictures import png
from tests.e2e.vite import opened, served
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import turnwire_over
from tests.wires.ai_sdk.conftest import erase
from turnwire_simulator import Answer, Gate, Simulator, Text, Thinking, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")

HERE = Path(__file__).parent
AREA = HERE.parents[1] / "wires" / "ai_sdk"
PICTURES = os.environ.get("TURNWIRE_TEST_PICTURES")
"""A folder for pictures of what is shown, for people who want to look."""


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def url(model_of_module: Simulator) -> AsyncIterator[str]:
    """Where the page is: beside the service, which leaves readers time to come back."""
    # Longer than any wait here: only Stop stops.
    turnwire = turnwire_over(model_of_module, tools=[erase], detach_grace=2 * PATIENCE_SECONDS)
    async with served(HERE, turnwire, area=AREA) as url:
        yield url


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A tab, whose console is to stay empty."""
    async with opened(browser, width=1024, height=700) as page:
        yield page


async def picture(page: Page, name: str) -> None:
    """Pictures of what the page shows now, on a desk and on a phone."""
    if not PICTURES:
        return
    wide = page.viewport_size
    assert wide is not None
    await page.screenshot(path=str(Path(PICTURES) / f"{name}-wide.png"))
    await page.set_viewport_size({"width": 390, "height": 780})
    await page.screenshot(path=str(Path(PICTURES) / f"{name}-phone.png"))
    await page.set_viewport_size(wide)


async def ask(page: Page, text: str) -> None:
    """Type and send."""
    await page.get_by_label("Message").fill(text)
    await page.get_by_label("Message").press("Enter")


def answers(page: Page) -> Locator:
    """The texts of the assistant."""
    return page.locator(".assistant .text")


async def is_ready(page: Page) -> None:
    """Waits for the end of the answer."""
    await expect(page.get_by_role("button", name="Send")).to_be_visible()


async def test_a_page_that_names_no_chat_thinks_speaks_and_uses_its_own_tool(
    url: str, page: Page, model: Simulator
) -> None:
    gate = Gate()
    model.program(
        Answer(Thinking("Hm."), Text(["Once ", gate, "upon a time."])),
        Answer(Text("Wait."), ToolUse("page_title", {}), stop_reason="tool_use"),
        Answer(Text("It is a chat.")),
    )
    await page.goto(url)
    await ask(page, "A story.")
    await expect(answers(page)).to_have_text("Once ")
    gate.open()
    await expect(answers(page)).to_have_text("Once upon a time.")
    await expect(page.locator(".assistant .reasoning")).to_have_text("Hm.")
    await is_ready(page)
    await ask(page, "Which page is this?")
    await expect(answers(page)).to_have_text(["Once upon a time.", "Wait.", "It is a chat."])
    await is_ready(page)
    (result,) = model.requests[-1]["messages"][-1]["content"]
    assert result["content"] == "assistant-ui over Turnwire"
    assert len(model.requests) == 3
    await picture(page, "tool")


async def test_a_decision_may_come_from_a_page_that_was_loaded_again(
    url: str, page: Page, model: Simulator
) -> None:
    model.program(
        Answer(Text("Wait."), ToolUse("erase", {"path": "a"}), stop_reason="tool_use"),
        Answer(Text("It is gone.")),
    )
    await page.goto(f"{url}?id={uuid.uuid4().hex}")
    await ask(page, "Erase a.")
    await expect(page.locator(".state")).to_have_text("requires-action")
    await picture(page, "asked")
    await page.reload()
    await page.get_by_role("button", name="Allow").click()
    await expect(answers(page)).to_have_text(["Wait.", "It is gone."])
    await expect(page.locator(".tool pre")).to_have_text('"erased a"')
    await is_ready(page)
    await picture(page, "decided")


async def test_a_message_in_place_of_a_decision_ends_the_question(
    url: str, page: Page, model: Simulator
) -> None:
    model.program(
        Answer(Text("Wait."), ToolUse("erase", {"path": "a"}), stop_reason="tool_use"),
        Answer(Text("Kept.")),
    )
    await page.goto(f"{url}?id={uuid.uuid4().hex}")
    await ask(page, "Erase a.")
    allow = page.get_by_role("button", name="Allow")
    await expect(allow).to_be_visible()
    await ask(page, "No, leave it.")
    await expect(answers(page)).to_have_text(["Wait.", "Kept."])
    await is_ready(page)
    await expect(allow).to_have_count(0)
    await page.reload()
    await expect(answers(page)).to_have_text(["Wait.", "Kept."])
    await expect(allow).to_have_count(0)


async def test_a_page_that_is_loaded_again_streams_on_and_stops(
    url: str, page: Page, model: Simulator
) -> None:
    gate, aborted = Gate(), model.aborted_streams
    model.program(Answer(Text(["Once ", gate, "upon ", Gate(), "a time."])), Answer(Text("Ok.")))
    await page.goto(f"{url}?id={uuid.uuid4().hex}")
    await ask(page, "A story.")
    await expect(answers(page)).to_have_text("Once ")
    await page.reload()
    await expect(answers(page)).to_have_text("Once ")
    gate.open()
    await expect(answers(page)).to_have_text("Once upon ")
    await picture(page, "streams")
    await page.get_by_role("button", name="Stop").click()
    await is_ready(page)
    async with patience():
        await model.wait(lambda: model.aborted_streams > aborted)
    await page.reload()
    await expect(answers(page)).to_have_text("Once upon ")
    await ask(page, "Go on.")
    await expect(answers(page)).to_have_text(["Once upon ", "Ok."])


async def test_what_is_regenerated_or_edited_is_the_same_for_page_log_and_model(
    url: str, page: Page, model: Simulator
) -> None:
    model.program(*(Answer(Text(text)) for text in ("One.", "Two.", "Three.", "Four.")))
    await page.goto(f"{url}?id={uuid.uuid4().hex}")
    async with page.expect_file_chooser() as chooser:
        await page.get_by_role("button", name="Attach").click()
    file = FilePayload(name="a.png", mimeType="image/png", buffer=png(40, 20))
    await (await chooser.value).set_files(file)
    await expect(page.locator(".attached")).to_have_text("a.png")
    await ask(page, "First.")
    await expect(answers(page)).to_have_text("One.")
    await page.get_by_role("button", name="Again").click()
    await expect(answers(page)).to_have_text("Two.")
    await is_ready(page)
    await ask(page, "Second.")
    await expect(answers(page)).to_have_text(["Two.", "Three."])
    await is_ready(page)
    await page.get_by_role("button", name="Edit").first.click()
    await page.get_by_label("Other words").fill("Other.")
    await picture(page, "edits")
    await page.get_by_role("button", name="Save").click()
    await expect(answers(page)).to_have_text("Four.")
    await is_ready(page)
    (shown,) = model.requests[-1]["messages"]
    text, image = shown["content"]
    assert (text["text"], image["type"]) == ("Other.", "image")
    await page.reload()
    await expect(page.locator(".user .file")).to_have_text("a.png")
    await expect(page.locator(".user .text")).to_have_text("Other.")
    await expect(answers(page)).to_have_text("Four.")
    await picture(page, "edited")

"""Images and PDFs in messages, on the chat page in Chromium over the real service."""

import asyncio
import base64
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Route, expect

from tests.e2e.conftest import OpenTab, Serve, Tab
from tests.e2e.pictures import PDF, png
from turnwire import DocumentLink, ImageLink, connect
from turnwire_simulator import Answer, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")

PNG = png(60, 40)
PICTURE: Any = {"name": "cat.png", "mimeType": "image/png", "buffer": PNG}
PAPER: Any = {"name": "paper.pdf", "mimeType": "application/pdf", "buffer": PDF}

GIVE = """([target, type, files]) => {
  const data = new DataTransfer();
  for (const [name, mime, bytes] of files) {
    const decoded = Uint8Array.from(atob(bytes), (character) => character.charCodeAt(0));
    data.items.add(new File([decoded], name, { type: mime }));
  }
  const options = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
  const Kind = type === "paste" ? ClipboardEvent : DragEvent;
  return document.querySelector(target).dispatchEvent(new Kind(type, options));
}"""


@pytest_asyncio.fixture(loop_scope="session")
async def tab(serve: Serve, open_tab: OpenTab) -> Tab:
    """A tab with an empty new chat."""
    return await open_tab(await serve())


async def pick(tab: Tab, *files: Any) -> None:
    async with tab.page.expect_file_chooser() as choosing:
        await tab.page.get_by_role("button", name="Attach files").click()
    await (await choosing.value).set_files(files)


async def give(tab: Tab, target: str, event: str, *files: Any) -> bool:
    """Have an event with files happen, as a paste or a drop does; whether it goes on after us."""
    encoded = [
        [file["name"], file["mimeType"], base64.b64encode(file["buffer"]).decode()]
        for file in files
    ]
    goes_on: bool = await tab.page.evaluate(GIVE, [target, event, encoded])
    return goes_on


def tray(tab: Tab) -> Locator:
    return tab.page.get_by_role("list", name="Attached files").get_by_role("listitem")


def shown(simulator: Simulator, message: int = -1) -> list[Any]:
    """What the model was shown of a message: types with their bytes, and text."""
    content = simulator.requests[-1]["messages"][message]["content"]
    return [
        block["text"]
        if block["type"] == "text"
        else (
            block["type"],
            block["source"]["media_type"],
            base64.b64decode(block["source"]["data"]),
        )
        for block in content
    ]


SHOWN_PICTURE = ("image", "image/png", PNG)
SHOWN_PAPER = ("document", "application/pdf", PDF)


async def test_picked_files_reach_the_model_and_are_shown_in_the_message(
    tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    await pick(tab, PICTURE, PAPER)
    await expect(tray(tab)).to_contain_text(["cat.png", "paper.pdf"])
    await expect(tray(tab).first).to_have_attribute("data-state", "ready")
    simulator.program(Answer(Text("A cat.")))
    await tab.ask("What is this?")
    await expect(tab.answers).to_have_text("A cat.")
    await expect(tray(tab)).to_have_count(0)
    assert shown(simulator) == [SHOWN_PICTURE, SHOWN_PAPER, "What is this?"]
    other = await open_tab(tab.page.url)
    for each in (tab, other):
        question = each.page.locator(".question")
        image = question.get_by_role("img", name="cat.png")
        await expect(question.locator(".picture")).to_have_attribute("data-state", "shown")
        assert await image.evaluate("(image) => image.naturalWidth") == 60
        await expect(question.get_by_role("button", name="paper.pdf")).to_be_visible()
        await expect(each.bubbles).to_have_text(["What is this?"])


async def test_a_pasted_image_is_attached_and_may_be_sent_without_words(
    tab: Tab, simulator: Simulator
) -> None:
    assert not await give(tab, "#message", "paste", PICTURE)
    await expect(tray(tab)).to_contain_text(["cat.png"])
    simulator.program(Answer(Text("A cat.")))
    await tab.message.press("Enter")
    await expect(tab.answers).to_have_text("A cat.")
    assert shown(simulator) == [SHOWN_PICTURE]
    await expect(tab.page.locator(".bubble")).to_be_hidden()
    await expect(tab.page.locator(".question .picture")).to_have_attribute("data-state", "shown")


async def test_files_can_be_dropped_anywhere_on_the_page(tab: Tab, simulator: Simulator) -> None:
    place = tab.page.locator(".drop")
    assert not await give(tab, "#transcript", "dragover", PAPER)
    await expect(place).to_be_visible()
    assert not await give(tab, "#transcript", "drop", PAPER)
    await expect(place).to_be_hidden()
    await expect(tray(tab)).to_contain_text(["paper.pdf"])
    simulator.program(Answer(Text("A paper.")))
    await tab.ask("Read it")
    await expect(tab.answers).to_have_text("A paper.")
    assert shown(simulator) == [SHOWN_PAPER, "Read it"]


async def test_what_cannot_be_attached_is_told_and_the_rest_is_taken(tab: Tab) -> None:
    await pick(tab, {"name": "song.mp3", "mimeType": "audio/mpeg", "buffer": b"la"}, PICTURE)
    await expect(tab.page.locator("#tray-note")).to_contain_text("song.mp3 cannot be attached")
    await expect(tray(tab)).to_contain_text(["cat.png"])
    await tray(tab).get_by_role("button", name="Remove cat.png").press("Enter")
    await expect(tray(tab)).to_have_count(0)
    await expect(tab.message).to_be_focused()
    await expect(tab.send_button).to_be_disabled()


async def test_a_file_that_is_too_large_is_told_before_it_is_sent(
    serve: Serve, open_tab: OpenTab
) -> None:
    tab = await open_tab(await serve(limits={"max_blob_bytes": 1000}))
    await pick(tab, {**PICTURE, "buffer": PNG + bytes(1000)})
    await expect(tray(tab)).to_contain_text("Not uploaded. It is larger than 1 kB.")
    await expect(tray(tab).get_by_role("button", name="Try again")).to_be_hidden()


async def test_sending_waits_for_the_upload(tab: Tab, simulator: Simulator) -> None:
    asked, arrives = len(simulator.requests), asyncio.Event()

    async def hold(route: Route) -> None:
        await arrives.wait()
        await route.continue_()

    await tab.page.route("**/v1/blobs", hold)
    await pick(tab, PICTURE)
    note = tab.page.locator("#tray-note")
    await tab.ask("What is this?")
    await expect(note).to_have_text("Will be sent when the upload is done.")
    await tab.message.fill("What is this, please?")
    await expect(note).to_be_hidden()
    await tab.message.press("Enter")
    await expect(note).to_have_text("Will be sent when the upload is done.")
    await expect(tab.bubbles).to_have_count(0)
    assert len(simulator.requests) == asked
    simulator.program(Answer(Text("A cat.")))
    arrives.set()
    await expect(tab.answers).to_have_text("A cat.")
    assert shown(simulator) == [SHOWN_PICTURE, "What is this, please?"]
    assert len(simulator.requests) == asked + 1


async def test_a_failed_upload_holds_the_message_until_it_is_tried_again(
    tab: Tab, simulator: Simulator
) -> None:
    fails = True

    async def answer(route: Route) -> None:
        await (route.abort() if fails else route.continue_())

    await tab.page.route("**/v1/blobs", answer)
    await pick(tab, PICTURE)
    await expect(tray(tab)).to_contain_text("Not uploaded. The server could not be reached.")
    await tab.ask("What is this?")
    await expect(tab.page.locator("#tray-note")).to_contain_text("remove it, or try it again")
    await expect(tab.message).to_have_value("What is this?")
    fails = False
    tab.problems.clear()
    await tray(tab).get_by_role("button", name="Try again").click()
    await expect(tray(tab)).to_have_attribute("data-state", "ready")
    simulator.program(Answer(Text("A cat.")))
    await tab.message.press("Enter")
    await expect(tab.answers).to_have_text("A cat.")
    assert shown(simulator) == [SHOWN_PICTURE, "What is this?"]


async def test_a_draft_keeps_its_files_over_a_reload_and_another_chat(
    tab: Tab, simulator: Simulator
) -> None:
    await tab.message.fill("What is this?")
    await pick(tab, PICTURE)
    await expect(tray(tab)).to_have_attribute("data-state", "ready")
    await tab.page.reload()
    await expect(tab.message).to_have_value("What is this?")
    await expect(tray(tab)).to_contain_text(["cat.png"])
    simulator.program(Answer(Text("A cat.")), Answer(Text("A paper.")))
    await tab.message.press("Enter")
    await expect(tab.answers).to_have_text("A cat.")
    assert shown(simulator) == [SHOWN_PICTURE, "What is this?"]
    await pick(tab, PAPER)
    await expect(tray(tab)).to_have_attribute("data-state", "ready")
    await tab.page.get_by_role("link", name="New chat").click()
    await expect(tray(tab)).to_have_count(0)
    await tab.page.go_back()
    await expect(tray(tab)).to_contain_text(["paper.pdf"])
    await tab.ask("And this?")
    await expect(tab.answers.last).to_have_text("A paper.")
    assert shown(simulator) == [SHOWN_PAPER, "And this?"]


async def test_a_message_keeps_its_files_when_it_is_edited_or_asked_again(
    tab: Tab, simulator: Simulator
) -> None:
    await pick(tab, PICTURE)
    simulator.program(Answer(Text("first")), Answer(Text("second")), Answer(Text("third")))
    await tab.ask("What is this?")
    await expect(tab.answers).to_have_text("first")
    await tab.page.get_by_role("button", name="Regenerate").click()
    await expect(tab.answers).to_have_text("second")
    assert shown(simulator) == [SHOWN_PICTURE, "What is this?"]
    await tab.page.get_by_role("button", name="Edit message").press("Enter")
    await tab.page.get_by_label("Edit your message").fill("What breed is this?")
    await tab.page.get_by_label("Edit your message").press("Enter")
    await expect(tab.answers).to_have_text("third")
    assert shown(simulator) == [SHOWN_PICTURE, "What breed is this?"]
    await expect(tab.page.locator(".question .picture")).to_have_attribute("data-state", "shown")


async def test_a_refused_message_goes_back_to_the_composer_with_its_files(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    tab = await open_tab(await serve(limits={"max_running_turns": 0}))
    await pick(tab, PICTURE)
    await tab.ask("What is this?")
    await expect(tab.page.locator(".delivery")).to_contain_text(
        "Not sent. You have reached a limit"
    )
    await expect(tab.page.locator(".letters .picture")).to_have_attribute("data-state", "shown")
    await tab.page.get_by_role("button", name="Edit").click()
    await expect(tab.message).to_have_value("What is this?")
    await expect(tray(tab)).to_contain_text(["cat.png"])


async def test_what_is_elsewhere_is_a_link_and_nothing_of_it_is_loaded(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    address = await serve(sources=["url", "file"])
    simulator.program(Answer(Text("A dot.")))
    url = "https://example.com/dot.png"
    image, document = ImageLink(url=url), DocumentLink(file="file_1", name="a.pdf")
    async with connect(address) as wire:
        chat = wire.conversation()
        await (await chat.send([image, document]))
    tab = await open_tab(address)
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    await tab.page.goto(f"{address.rstrip('/')}/#{chat.id}")
    await expect(tab.answers).to_have_text("A dot.")
    link = tab.page.locator("a.file")
    await expect(link).to_have_attribute("href", url)
    await expect(link).to_have_attribute("rel", "noopener noreferrer")
    await expect(tab.page.locator("span.file")).to_have_text("a.pdf")
    assert not [url for url in asked if "example.com" in url]

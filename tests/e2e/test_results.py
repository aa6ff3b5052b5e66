"""What tools report and give, on the chat page in Chromium over the real service."""

import asyncio
import base64
import contextlib
from typing import Any

import pytest
from playwright.async_api import Route, expect

from tests.e2e.conftest import OpenTab, Serve
from tests.e2e.pictures import PDF, png
from turnwire_server import ToolContext, tool
from turnwire_simulator import Answer, Simulator, Text, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")

HALF, LAST = asyncio.Event(), asyncio.Event()
END = Answer(Text("That is it."))


@tool
async def measure(what: str, context: ToolContext) -> dict[str, object]:
    """Measure something."""
    context.progress(f"finding {what}")
    await HALF.wait()
    while not LAST.is_set():
        # Again and again: a report that comes soon after another is dropped.
        context.progress(f"measuring {what}", 0.5)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(LAST.wait(), 0.05)
    return {what: [{"metres": 3}]}


@tool
def draw(what: str) -> list[dict[str, Any]]:
    """Draw something."""
    return [
        {"type": "text", "text": f"Here is {what}"},
        {"type": "image", "source": _source("image/png", png(80, 60))},
        {"type": "document", "source": _source("application/pdf", PDF)},
    ]


def _source(media_type: str, data: bytes) -> dict[str, str]:
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}


def calling(name: str) -> Answer:
    return Answer(ToolUse(name, {"what": "the house"}), stop_reason="tool_use")


async def test_progress_is_a_bar_without_a_fraction_one_that_only_moves(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    HALF.clear()
    LAST.clear()
    tab = await open_tab(await serve(measure))
    simulator.program(calling("measure"), END)
    await tab.ask("How high is it?")
    progress = tab.page.locator(".progress")
    bar = tab.page.get_by_role("progressbar")
    await expect(progress).to_contain_text("finding the house")
    assert await bar.evaluate("(bar) => bar.position") == -1
    HALF.set()
    await expect(progress).to_contain_text("measuring the house50 %")
    assert await bar.evaluate("(bar) => bar.value") == 0.5
    other = await open_tab(tab.page.url)
    await expect(other.page.locator(".progress")).to_contain_text("measuring the house50 %")
    LAST.set()
    await expect(tab.answers).to_have_text("That is it.")
    await expect(progress).to_be_hidden()
    result = tab.tools.locator(".tool-result .tool-text")
    await expect(result).to_contain_text('"the house": [\n    {\n      "metres": 3')


async def test_images_and_documents_of_a_result_are_shown(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    # With a token: an <img> cannot send it, the page has to fetch the bytes itself.
    address = await serve(draw, token="open-sesame")
    tab = await open_tab(f"{address}#/token=open-sesame")
    simulator.program(calling("draw"), END)
    await tab.ask("Draw it")
    image = tab.tools.get_by_role("img", name="Image")
    await expect(tab.tools.locator(".picture")).to_have_attribute("data-state", "shown")
    await expect(tab.tools).to_contain_text("Here is the house")
    size = "(image) => [image.naturalWidth, image.naturalHeight]"
    assert await image.evaluate(size) == [80, 60]
    async with tab.page.expect_download() as saving:
        await tab.tools.get_by_role("button", name="Document").click()
    assert (await (await saving.value).path()).read_bytes() == PDF
    address_of_image = await image.get_attribute("src")
    async with tab.page.expect_popup() as opening:
        await image.click()
    full = await opening.value
    await expect(full).to_have_url(str(address_of_image))
    await full.close()


async def test_an_image_that_cannot_be_loaded_says_so_and_is_tried_again(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    tab = await open_tab(await serve(draw))
    fails = True

    async def answer(route: Route) -> None:
        await (route.fulfill(status=503, json={}) if fails else route.continue_())

    await tab.page.route("**/v1/blobs/*", answer)
    simulator.program(calling("draw"), END)
    await tab.ask("Draw it")
    picture = tab.tools.locator(".picture")
    await expect(picture).to_contain_text("Image could not be loaded.")
    assert tab.problems
    tab.problems.clear()
    fails = False
    await picture.get_by_role("button", name="Try again").click()
    await expect(picture).to_have_attribute("data-state", "shown")


async def test_the_bytes_of_an_image_are_let_go_with_the_conversation(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    tab = await open_tab(await serve(draw))
    await tab.page.clock.install()
    simulator.program(calling("draw"), END)
    await tab.ask("Draw it")
    picture = tab.tools.locator(".picture")
    await expect(picture).to_have_attribute("data-state", "shown")
    source = await picture.get_by_role("img").get_attribute("src")
    draws = """(src) => new Promise((resolve) => {
      const image = new Image();
      image.onload = () => resolve(true);
      image.onerror = () => resolve(false);
      image.src = src;
    })"""
    assert await tab.page.evaluate(draws, source)
    await tab.page.get_by_role("link", name="New chat").click()
    await expect(tab.tools).to_have_count(0)
    await tab.page.clock.run_for(11_000)
    assert not await tab.page.evaluate(draws, source)
    tab.problems.clear()

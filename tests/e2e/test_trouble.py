"""A server that cannot save, as the page tells it, in Chromium over the real service."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import OpenTab, Serve
from tests.kit.failing_store import FailingStore
from tests.kit.patience import patience
from turnwire_simulator import Answer, Gate, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_it_says_so_takes_stop_and_sends_what_was_refused_when_it_can_save_again(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    store = FailingStore()
    tab = await open_tab(await serve(store=store))
    gate, aborted = Gate(), simulator.aborted_streams
    simulator.program(Answer(Text(["one ", gate, "two", Gate()])), Answer(Text("There.")))
    await tab.ask("Count")
    await expect(tab.answers).to_have_text("one")
    store.fails = True
    gate.open()
    await expect(tab.banner).to_contain_text("cannot save anything")
    await tab.page.keyboard.press("Escape")
    await expect(tab.stop_button).to_have_text("Stopping…")
    async with patience():
        await simulator.wait(lambda: simulator.aborted_streams == aborted + 1)
    await tab.ask("Anybody?")
    await expect(tab.page.locator(".delivery")).to_contain_text("Not sent")
    store.fails = False
    await expect(tab.banner).to_be_hidden()
    await expect(tab.answers.last).to_have_text("There.")
    # On a slow machine the service had ended it by itself.
    ended = tab.page.get_by_text("Stopped", exact=True).or_(tab.page.locator(".callout"))
    await expect(ended).to_be_visible()
    # The browser tells each answer of `/ready` that is not 200.
    tab.problems = [problem for problem in tab.problems if "503" not in problem]


async def test_a_message_that_is_refused_is_reason_enough_to_ask(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    store = FailingStore()
    tab = await open_tab(await serve(store=store))
    store.fails = True
    await tab.ask("Anybody?")
    await expect(tab.page.locator(".delivery")).to_contain_text("Not sent")
    await expect(tab.banner).to_contain_text("cannot save anything")
    store.fails = False
    simulator.program(Answer(Text("There.")))
    await expect(tab.answers).to_have_text("There.")
    await expect(tab.banner).to_be_hidden()
    tab.problems = [problem for problem in tab.problems if "503" not in problem]

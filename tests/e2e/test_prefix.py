"""The chat page of a Turnwire that is part of another app, in Chromium."""

import pytest
from fastapi import FastAPI
from playwright.async_api import expect

from tests.e2e.conftest import OpenTab
from tests.kit.service import serving, turnwire_over
from turnwire_simulator import Answer, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_page_works_under_a_prefix(open_tab: OpenTab, simulator: Simulator) -> None:
    app = FastAPI()
    app.include_router(turnwire_over(simulator).router, prefix="/ai")
    async with serving(app) as netloc:
        tab = await open_tab(f"http://{netloc}/ai/")
        simulator.program(Answer(Text("From below.")))
        await tab.ask("Where are you?")
        await expect(tab.answers).to_have_text("From below.")
        await expect(tab.entries).to_have_text(["Where are you?"])
        await tab.page.reload()
        await expect(tab.answers).to_have_text("From below.")
        assert tab.page.url.startswith(f"http://{netloc}/ai/#c_")
        await tab.page.close()

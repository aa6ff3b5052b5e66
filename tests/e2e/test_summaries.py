"""A conversation that has become long, on the chat page, in Chromium over the real service."""

import re

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import OpenTab, Serve
from turnwire_simulator import Answer, Compaction, Gate, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")

MODEL = "claude-simulated-opus"


async def test_it_is_seen_where_older_messages_were_summarised_and_how_full_the_context_is(
    serve: Serve, open_tab: OpenTab, simulator: Simulator
) -> None:
    options = {MODEL: {"window": 10_000, "compaction": "on_demand"}}
    tab = await open_tab(await serve(model=MODEL, model_options=options))
    gate = Gate()
    first = Answer(
        Text("First."),
        input_tokens=9_000,
        cache_read_input_tokens=0,
        cache_creation_input_tokens=0,
    )
    simulator.program(first, Answer(Text("Second.")))
    simulator.program_summaries(Answer(gate, Compaction("They *greeted*.")))
    await tab.ask("One")
    await expect(tab.answers).to_have_text("First.")
    full = tab.page.get_by_text("90 % of the context")
    await expect(full).to_have_attribute("title", re.compile("9,001 of the 10,000 tokens"))
    await tab.ask("Two")
    await expect(tab.page.get_by_text("Summarising earlier messages…")).to_be_visible()
    gate.open()
    await expect(tab.answers).to_have_text(["First.", "Second."])
    await expect(tab.page.get_by_text("Summarising earlier messages…")).to_be_hidden()
    await expect(full).to_be_hidden()
    for _ in range(2):
        line = tab.page.get_by_text("Earlier messages were summarised")
        await expect(line).to_have_count(1)
        summary = tab.page.locator("details.summary em")
        await expect(summary).to_be_hidden()
        await line.click()
        await expect(summary).to_have_text("greeted")
        await expect(tab.bubbles).to_have_text(["One", "Two"])
        await tab.page.reload()

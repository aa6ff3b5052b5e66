"""Regenerate, edit, queue and interrupt on the chat page, in Chromium over the real service."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import OpenTab, Tab
from turnwire_simulator import Answer, Gate, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_regenerate_in_one_tab_is_seen_in_the_other(
    tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("first")), Answer(Text("second")), Answer(Text("third")))
    await tab.ask("One")
    await expect(tab.answers).to_have_text("first")
    await tab.ask("Two")
    await expect(tab.answers).to_have_text(["first", "second"])
    other = await open_tab(tab.page.url)
    await expect(other.answers).to_have_text(["first", "second"])
    again = tab.page.get_by_role("button", name="Regenerate")
    await expect(again).to_have_count(1)
    await again.focus()
    await tab.page.keyboard.press("Enter")
    for each in (tab, other):
        await expect(each.answers).to_have_text(["first", "third"])
        await expect(each.bubbles).to_have_text(["One", "Two"])
    assert "second" not in str(simulator.requests[-1])


async def test_edit_in_one_tab_is_seen_in_the_other(
    tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("first")), Answer(Text("second")), Answer(Text("edited")))
    await tab.ask("One")
    await expect(tab.answers).to_have_text("first")
    await tab.ask("Two")
    await expect(tab.answers).to_have_text(["first", "second"])
    other = await open_tab(tab.page.url)
    await expect(other.answers).to_have_text(["first", "second"])
    await tab.page.get_by_role("button", name="Edit message").first.focus()
    await tab.page.keyboard.press("Enter")
    field = tab.page.get_by_label("Edit your message")
    await expect(field).to_have_value("One")
    await field.fill("Uno")
    await field.press("Enter")
    for each in (tab, other):
        await expect(each.bubbles).to_have_text(["Uno"])
        await expect(each.answers).to_have_text(["edited"])


async def test_escape_leaves_the_editor_and_does_not_stop_the_answer(
    tab: Tab, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["one ", gate, "two"])))
    await tab.ask("Count")
    await expect(tab.answers).to_have_text("one")
    await tab.page.get_by_role("button", name="Edit message").press("Enter")
    await tab.page.get_by_label("Edit your message").press("Escape")
    await expect(tab.bubbles).to_have_text(["Count"])
    gate.open()
    await expect(tab.answers).to_have_text("one two")
    await expect(tab.marks).to_have_count(0)


async def test_edit_while_it_runs_when_regenerate_is_not_offered(
    tab: Tab, simulator: Simulator
) -> None:
    simulator.program(Answer(Text(["first ", Gate()])), Answer(Text(["second ", Gate()])))
    simulator.program(Answer(Text("third")))
    await tab.ask("Go")
    await expect(tab.answers).to_have_text("first")
    await expect(tab.page.get_by_role("button", name="Regenerate")).to_have_count(0)
    await tab.page.get_by_role("button", name="Edit message").click()
    await tab.page.get_by_label("Edit your message").press("Enter")
    await expect(tab.answers).to_have_text("second")
    await tab.page.get_by_role("button", name="Edit message").click()
    await tab.page.get_by_label("Edit your message").fill("Go now")
    await tab.page.get_by_label("Edit your message").press("Enter")
    await expect(tab.answers).to_have_text("third")
    await expect(tab.bubbles).to_have_text(["Go now"])


async def test_text_being_edited_in_a_turn_that_is_replaced_elsewhere_goes_to_the_composer(
    tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("first")), Answer(Text("second")))
    await tab.ask("Hello")
    await expect(tab.answers).to_have_text("first")
    other = await open_tab(tab.page.url)
    await other.page.get_by_role("button", name="Edit message").press("Enter")
    await other.page.get_by_label("Edit your message").fill("Hello, hello")
    await tab.page.get_by_role("button", name="Regenerate").click()
    await expect(other.answers).to_have_text("second")
    await expect(other.message).to_have_value("Hello, hello")


async def test_a_message_sent_while_an_answer_runs_waits_and_can_be_removed(
    tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    asked, gate = len(simulator.requests), Gate()
    simulator.program(Answer(Text(["first ", gate, "done"])), Answer(Text("third")))
    await tab.ask("One")
    await expect(tab.answers).to_have_text("first")
    await tab.ask("Two")
    await tab.ask("Three")
    await expect(tab.queued).to_have_text(["Two", "Three"])
    other = await open_tab(tab.page.url)
    await expect(other.queued).to_have_text(["Two", "Three"])
    await other.page.get_by_role("button", name="Remove").first.click()
    for each in (tab, other):
        await expect(each.queued).to_have_text(["Three"])
        await expect(each.marks).to_have_text("Not answered")
    gate.open()
    for each in (tab, other):
        await expect(each.answers).to_have_text(["first done", "third"])
        await expect(each.queued).to_have_count(0)
    assert len(simulator.requests) == asked + 2


async def test_interrupt_ends_the_answer_and_is_answered_before_what_waits(
    tab: Tab, simulator: Simulator
) -> None:
    simulator.program(Answer(Text(["first ", Gate()])))
    gate = Gate()
    simulator.program(Answer(Text(["urgent ", gate, "answer"])), Answer(Text("later")))
    await tab.ask("One")
    await expect(tab.answers).to_have_text("first")
    await tab.ask("Patient")
    await expect(tab.queued).to_have_text(["Patient"])
    await tab.message.fill("Urgent")
    await tab.page.get_by_role("button", name="Interrupt").click()
    await expect(tab.answers).to_have_text(["first", "urgent"])
    await expect(tab.bubbles).to_have_text(["One", "Urgent", "Patient"])
    await expect(tab.marks).to_have_text("Stopped")
    gate.open()
    await expect(tab.answers).to_have_text(["first", "urgent answer", "later"])
    await expect(tab.bubbles).to_have_text(["One", "Urgent", "Patient"])


async def test_stop_holds_what_waits_and_the_next_message_takes_its_place(
    tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    asked = len(simulator.requests)
    simulator.program(Answer(Text(["first ", Gate()])), Answer(Text("both")))
    await tab.ask("One")
    await expect(tab.answers).to_have_text("first")
    await tab.ask("Two")
    await tab.ask("Three")
    await expect(tab.queued).to_have_text(["Two", "Three"])
    other = await open_tab(tab.page.url)
    await expect(other.queued).to_have_count(2)
    await tab.page.keyboard.press("Escape")
    await expect(tab.marks).to_have_text(["Stopped", "Not answered", "Not answered"])
    await expect(tab.message).to_have_value("Two\n\nThree")
    assert len(simulator.requests) == asked + 1
    await tab.message.press("Enter")
    for each in (tab, other):
        await expect(each.answers).to_have_text(["first", "both"])
        await expect(each.bubbles).to_have_text(["One", "Two\n\nThree"])
        await expect(each.marks).to_have_text("Stopped")
    assert len(simulator.requests) == asked + 2


async def test_an_answer_that_was_cut_off_can_be_continued(tab: Tab, simulator: Simulator) -> None:
    simulator.program(Answer(Text("So far"), stop_reason="max_tokens"), Answer(Text("and on.")))
    await tab.ask("Go")
    go_on = tab.page.get_by_role("button", name="Continue")
    await go_on.click()
    await expect(tab.answers).to_have_text(["So far", "and on."])
    await expect(tab.bubbles).to_have_text(["Go", "Please go on where you stopped."])
    await expect(go_on).to_be_hidden()
    await expect(tab.page.locator("#totals")).to_contain_text("0 % of the context")
    await tab.page.locator(".turn").last.hover()
    await expect(tab.page.locator(".when").last).to_contain_text("claude-")


async def test_answers_that_were_regenerated_stay_to_be_looked_at(
    tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    simulator.program(*(Answer(Text(text)) for text in ("first", "second", "third", "edited")))
    await tab.ask("One")
    for text, number in (("first", 1), ("second", 2), ("third", 3)):
        await expect(tab.answers).to_have_text(text)
        if number > 1:
            await expect(tab.page.locator(".variants")).to_have_text(f"{number} / {number}")
        if number < 3:
            await tab.page.get_by_role("button", name="Regenerate").click()
    other = await open_tab(tab.page.url)
    await expect(other.page.locator(".variants")).to_have_text("3 / 3")
    earlier = other.page.get_by_role("button", name="Earlier answer")
    await earlier.click()
    await expect(other.answers).to_have_text("second")
    await expect(other.page.locator(".remedy")).to_contain_text("goes on from the newest")
    await expect(other.page.get_by_role("button", name="Regenerate")).to_be_hidden()
    await earlier.click()
    await expect(other.answers).to_have_text("first")
    await expect(earlier).to_be_disabled()
    for _ in range(2):
        await other.page.get_by_role("button", name="Later answer").click()
    await expect(other.answers).to_have_text("third")
    await expect(other.page.get_by_role("button", name="Regenerate")).to_be_visible()
    # Another message has answers of its own.
    await tab.page.get_by_role("button", name="Edit message").click()
    await tab.page.get_by_label("Edit your message").fill("Uno")
    await tab.page.get_by_label("Edit your message").press("Enter")
    for each in (tab, other):
        await expect(each.answers).to_have_text("edited")
        await expect(each.page.locator(".variants")).to_have_count(0)

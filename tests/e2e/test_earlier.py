"""A long conversation in Chromium: it opens at its end; what was earlier comes as one reads up."""

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio
from playwright.async_api import Route, expect

from tests.e2e.conftest import OpenTab, Tab
from tests.e2e.line import Line
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import serving, turnwire_over
from turnwire_protocol import SendBody
from turnwire_server import Turnwire
from turnwire_server.core.past import PastTurn
from turnwire_server.core.receipts import Accepted
from turnwire_simulator import Answer, Gate, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")

TURNS = 60
ANSWER = "\n\n".join(f"Paragraph {number} of the answer." for number in range(8))
OPENED = 20
"""Turns that the page opens a conversation with."""


SEEN = """() => {
  const top = scroller.getBoundingClientRect().top;
  const turns = [...document.querySelectorAll(".turn")];
  return turns.find((turn) => turn.getBoundingClientRect().bottom > top).dataset.turn;
}"""
TOP = "(id) => document.querySelector(`[data-turn=${id}]`).getBoundingClientRect().top"
FRAMES = "new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r())))"

NONE: dict[str, list[str]] = {"conversations": []}


async def over(accepted: Accepted) -> None:
    """Wait for the end of its turn."""
    await accepted.durable
    async with patience():
        follower = accepted.follow(lambda: None)
        async for frames in follower.stream(idle_seconds=60):
            if any(f.type == "done" and f.turn == accepted.ack.turn for f in frames):
                break
        follower.close()


class Place(NamedTuple):
    """A service in this process."""

    turnwire: Turnwire
    address: str

    async def long(self) -> str:
        """The address of a new conversation whose questions are "Question 1?" to "Question 60?"."""
        past = [PastTurn(f"Question {number}?", None, ANSWER) for number in range(1, TURNS)]
        accepted = await self.turnwire.hub.send(
            "local", SendBody(content=f"Question {TURNS}?"), past=past
        )
        await over(accepted)
        return f"{self.address}#{accepted.ack.conversation}"


@pytest_asyncio.fixture(loop_scope="session")
async def place(simulator: Simulator) -> AsyncIterator[Place]:
    turnwire = turnwire_over(simulator, detach_grace=PATIENCE_SECONDS)
    async with serving(turnwire) as address:
        yield Place(turnwire, f"http://{address}/")


@pytest_asyncio.fixture(loop_scope="session")
async def long(place: Place, simulator: Simulator) -> str:
    """The address of a long conversation."""
    simulator.program(Answer(Text(ANSWER)))
    return await place.long()


async def questions(tab: Tab) -> list[str]:
    """Those on the page, without their frame."""
    return [text.removesuffix("?").split()[-1] for text in await tab.bubbles.all_text_contents()]


async def read_up(tab: Tab) -> None:
    """To its beginning."""
    # While a page is still loading, nothing earlier is offered either.
    is_over = """() => {
      scroller.scrollTop = 0;
      const first = document.querySelector(".bubble")?.textContent ?? "";
      return first.endsWith("Question 1?") && document.querySelector(".earlier").hidden;
    }"""
    async with patience():
        # What comes is put above what one reads, so that there is more to scroll then.
        while not await tab.page.evaluate(is_over):
            await tab.page.evaluate(FRAMES)
    await tab.page.evaluate("scroller.scrollTop = 0")


def numbers(first: int, last: int = TURNS) -> list[str]:
    return [str(number) for number in range(first, last + 1)]


async def test_it_opens_at_its_end_and_reading_up_reaches_its_beginning(
    long: str, open_tab: OpenTab
) -> None:
    tab = await open_tab(long)
    await expect(tab.bubbles).to_have_count(OPENED)
    assert await questions(tab) == numbers(TURNS - OPENED + 1)
    await expect(tab.bubbles.last).to_be_in_viewport()
    await expect(tab.page).to_have_title("Question 1? – Turnwire")
    await read_up(tab)
    assert await questions(tab) == numbers(1)
    await expect(tab.bubbles.first).to_be_in_viewport()
    await tab.page.locator("#jump").click()
    await expect(tab.answers.last).to_be_in_viewport()


async def test_what_comes_above_and_below_does_not_move_what_one_reads(
    place: Place, long: str, simulator: Simulator, open_tab: OpenTab
) -> None:
    gate = Gate()
    tab = await open_tab(long)
    await expect(tab.bubbles).to_have_count(OPENED)
    simulator.program(Answer(Text(["Begun", gate, *["\n\nAnd more."] * 40])))
    await tab.ask("Question 61?")
    await expect(tab.answers.last).to_have_text("Begun")
    may_come = asyncio.Event()

    async def hold(route: Route) -> None:
        await may_come.wait()
        await route.continue_()

    await tab.page.route("**/v1/conversations/*?last=*", hold)
    await tab.page.evaluate("scroller.scrollTop = 0")
    await expect(tab.page.locator(".earlier")).to_have_text("Loading earlier messages…")
    await tab.page.evaluate(FRAMES)
    seen = await tab.page.evaluate(SEEN)
    top = await tab.page.evaluate(TOP, seen)
    gate.open()
    await expect(tab.answers.last).to_contain_text("And more.")
    await expect(tab.page.locator("#jump")).to_be_visible()
    assert await tab.page.evaluate(TOP, seen) == top
    may_come.set()
    await expect(tab.bubbles).not_to_have_count(OPENED + 1)
    await tab.page.evaluate(FRAMES)
    # Half a pixel may be rounded.
    assert abs(await tab.page.evaluate(TOP, seen) - top) < 2
    await expect(tab.send_button).to_be_visible()


async def test_its_title_is_that_of_the_whole_also_where_the_list_does_not_reach_to_it(
    long: str, open_tab: OpenTab
) -> None:
    tab = await open_tab("about:blank")
    await tab.page.route("**/v1/conversations?*", lambda route: route.fulfill(json=NONE))
    await tab.page.goto(long)
    await expect(tab.bubbles).to_have_count(OPENED)
    await expect(tab.page).to_have_title("Question 1? – Turnwire")


async def test_a_reload_while_one_reads_far_up_goes_on_and_the_beginning_is_reached_again(
    long: str, simulator: Simulator, open_tab: OpenTab
) -> None:
    gate = Gate()
    tab = await open_tab(long)
    simulator.program(Answer(Text(["Begun", gate, ", and ended."])))
    await tab.ask("Question 61?")
    await expect(tab.answers.last).to_have_text("Begun")
    await read_up(tab)
    await tab.page.reload()
    await expect(tab.bubbles).to_have_count(OPENED)
    await expect(tab.answers.last).to_have_text("Begun")
    await expect(tab.stop_button).to_be_visible()
    gate.open()
    await expect(tab.answers.last).to_have_text("Begun, and ended.")
    await read_up(tab)
    assert await questions(tab) == numbers(1, TURNS + 1)


async def test_a_turn_far_up_is_asked_again_and_another_tab_that_never_saw_it_follows(
    long: str, simulator: Simulator, open_tab: OpenTab
) -> None:
    tab, other = await open_tab(long), await open_tab(long)
    await expect(other.bubbles).to_have_count(OPENED)
    await expect(tab.bubbles).to_have_count(OPENED)
    await read_up(tab)
    simulator.program(Answer(Text("Another answer.")))
    turn = tab.page.locator(".turn", has=tab.page.get_by_text("Question 5?", exact=True))
    await turn.locator(".question").hover()
    await turn.get_by_role("button", name="Edit").click()
    await turn.get_by_role("textbox").fill("Question 5b?")
    await turn.get_by_role("textbox").press("Enter")
    await expect(tab.answers.last).to_have_text("Another answer.")
    await expect(tab.bubbles).to_have_count(5)
    assert await questions(tab) == [*numbers(1, 4), "5b"]
    await expect(other.answers.last).to_have_text("Another answer.")
    await read_up(other)
    assert await questions(other) == [*numbers(1, 4), "5b"]


async def test_a_reader_far_up_who_reconnects_misses_nothing(
    place: Place, long: str, simulator: Simulator, open_tab: OpenTab
) -> None:
    tab = await open_tab(place.address)
    line = await Line.of(tab.page)
    await tab.page.goto(long)
    await tab.page.reload()
    await expect(tab.bubbles).to_have_count(OPENED)
    await read_up(tab)
    line.hold()
    other = await open_tab(long)
    simulator.program(Answer(Text("Said meanwhile.")))
    await other.ask("Question 61?")
    await expect(other.answers.last).to_have_text("Said meanwhile.")
    await line.socket.close()
    line.let_go()
    await expect(tab.answers.last).to_have_text("Said meanwhile.")
    assert await questions(tab) == numbers(1, TURNS + 1)


async def test_earlier_messages_that_cannot_be_had_are_offered_again(
    long: str, open_tab: OpenTab
) -> None:
    tab = await open_tab(long)
    await expect(tab.bubbles).to_have_count(OPENED)
    await tab.page.route("**/v1/conversations/*?last=*", lambda route: route.abort())
    await tab.page.evaluate("scroller.scrollTop = 0")
    again = tab.page.get_by_role("button", name="Earlier messages could not be loaded. Try again")
    await expect(again).to_be_visible()
    await tab.page.unroute("**/v1/conversations/*?last=*")
    await again.click()
    await expect(tab.bubbles).not_to_have_count(OPENED)
    tab.problems.clear()  # The request that failed.


async def test_an_earlier_turn_has_the_answers_that_were_regenerated(
    place: Place, simulator: Simulator, open_tab: OpenTab
) -> None:
    simulator.program(*(Answer(Text(text)) for text in ("first", "second", "third")))
    tab = await open_tab(place.address)
    await tab.ask("Which?")
    for text in ("first", "second"):
        await expect(tab.answers).to_have_text(text)
        await tab.page.get_by_role("button", name="Regenerate").click()
    await expect(tab.answers).to_have_text("third")
    conversation = tab.page.url.partition("#")[2]
    simulator.program(*[Answer(Text(ANSWER))] * OPENED)
    for number in range(OPENED):
        question = SendBody(content=f"Question {number + 1}?", conversation=conversation)
        accepted = await place.turnwire.hub.send("local", question)
        await over(accepted)

    await tab.page.reload()
    await expect(tab.bubbles).to_have_count(OPENED)
    await tab.page.evaluate("scroller.scrollTop = 0")
    await expect(tab.bubbles).to_have_count(OPENED + 1)
    await expect(tab.page.locator(".variants")).to_have_text("3 / 3")
    for text in ("second", "first"):
        await tab.page.get_by_role("button", name="Earlier answer").click()
        await expect(tab.answers.first).to_have_text(text)

"""The side bar of the chat page, in Chromium over the real service."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import pytest_asyncio
from playwright.async_api import Route, expect

from tests.e2e.conftest import OpenTab, Tab
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from turnwire_simulator import Answer, Gate, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOUR = timedelta(hours=1)


@pytest_asyncio.fixture(loop_scope="session")
async def address(simulator: Simulator) -> AsyncIterator[str]:
    """A service of its own, which has no conversations yet."""
    async with serving(turnwire_over(simulator)) as address:
        yield f"http://{address}/"


async def say(tab: Tab, simulator: Simulator, text: str) -> None:
    """A new conversation of one question."""
    simulator.program(Answer(Text(f"about {text}")))
    await tab.page.get_by_role("link", name="New chat").click()
    await tab.ask(text)
    await expect(tab.answers).to_have_text(f"about {text}")


async def option(tab: Tab, title: str, name: str) -> None:
    """Choose from the menu of a conversation, by keyboard."""
    await tab.page.get_by_role("button", name=f"Options of {title}", exact=True).press("Enter")
    await tab.page.get_by_role("button", name=name).press("Enter")


async def test_conversations_are_listed_newest_first_and_opened(
    tab: Tab, simulator: Simulator
) -> None:
    await expect(tab.page.locator(".side-state")).to_contain_text("will be listed here")
    await say(tab, simulator, "Apples")
    await expect(tab.entries).to_have_text(["Apples"])
    await say(tab, simulator, "Pears")
    await expect(tab.entries).to_have_text(["Pears", "Apples"])
    await expect(tab.page.locator("[aria-current=page]")).to_have_text("Pears")
    await tab.entries.filter(has_text="Apples").click()
    await expect(tab.answers).to_have_text("about Apples")
    await expect(tab.page.locator("[aria-current=page]")).to_have_text("Apples")
    await tab.page.go_back()
    await expect(tab.answers).to_have_text("about Pears")
    await tab.page.get_by_role("link", name="New chat").click()
    await expect(tab.page.locator("[aria-current=page]")).to_have_count(0)


async def test_rename_is_kept_and_escape_leaves_the_title(tab: Tab, simulator: Simulator) -> None:
    await say(tab, simulator, "Apples")
    await option(tab, "Apples", "Rename")
    field = tab.page.get_by_label("Title")
    await field.fill("Oranges")
    await field.press("Escape")
    await expect(tab.entries).to_have_text(["Apples"])
    await option(tab, "Apples", "Rename")
    await field.fill("Oranges")
    await field.press("Enter")
    await expect(tab.entries).to_have_text(["Oranges"])
    await expect(tab.page).to_have_title("Oranges – Turnwire")
    await tab.page.reload()
    await expect(tab.entries).to_have_text(["Oranges"])
    await expect(tab.page).to_have_title("Oranges – Turnwire")


async def test_a_deleted_conversation_leaves_the_list_and_another_tab_says_it_is_gone(
    tab: Tab, open_tab: OpenTab, simulator: Simulator
) -> None:
    await say(tab, simulator, "Apples")
    await say(tab, simulator, "Pears")
    simulator.program(Answer(Text(["running ", Gate()])))
    await tab.ask("More")
    await expect(tab.answers.last).to_have_text("running")
    other = await open_tab(tab.page.url)
    await expect(other.answers.last).to_have_text("running")
    await option(tab, "Pears", "Delete")
    await tab.page.get_by_role("button", name="Keep").press("Enter")
    await expect(tab.entries).to_have_text(["Pears", "Apples"])
    await option(tab, "Pears", "Delete")
    await tab.page.get_by_role("button", name="Delete", exact=True).click()
    await expect(tab.entries).to_have_text(["Apples"])
    await expect(tab.bubbles).to_have_count(0)
    await expect(tab.page).not_to_have_url(re.compile("#c_"))
    await expect(other.page.locator(".gone")).to_contain_text("has been deleted")
    await expect(other.answers).to_have_text(["about Pears", "running"])
    await expect(other.stop_button).to_be_hidden()
    await expect(other.page.locator(".turn[data-state=running]")).to_have_count(0)
    await expect(other.page.get_by_role("button", name="Edit message")).to_have_count(0)
    await other.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(other.entries).to_have_text(["Apples"])


async def test_more_are_loaded_as_one_scrolls(
    address: str, open_tab: OpenTab, simulator: Simulator
) -> None:
    count = 60
    simulator.program(*(Answer(Text("ok")) for _ in range(count)))
    async with asking(address.removeprefix("http://")) as http:
        for number in range(count):
            body = {"message": f"Chat {number}"}
            answer = await http.post("/v1/chat", json=body, headers={"Accept": "application/json"})
            assert answer.status_code == 200
    tab = await open_tab(address)
    await expect(tab.entries.first).to_have_text(f"Chat {count - 1}")
    assert await tab.entries.count() < count
    await tab.entries.last.scroll_into_view_if_needed()
    await expect(tab.entries).to_have_count(count)
    await expect(tab.entries.last).to_have_text("Chat 0")
    # Asking again for what is shown does not make the list jump back.
    await tab.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await expect(tab.entries).to_have_count(count)


@pytest.mark.usefixtures("within_a_day")
async def test_a_search_lists_the_titles_that_have_it_and_conversations_stand_by_their_age(
    tab: Tab, simulator: Simulator
) -> None:
    for text in ("Apples", "Pears", "Pineapples"):
        await say(tab, simulator, text)
    search = tab.page.get_by_role("searchbox", name="Search conversations")
    await search.fill("APPLE")
    await expect(tab.entries).to_have_text(["Pineapples", "Apples"])
    await expect(tab.page).to_have_title("Pineapples – Turnwire")
    await search.fill("plum")
    await expect(tab.entries).to_have_count(0)
    await expect(tab.page.locator(".side-state")).to_have_text("No title has that in it.")
    await search.press("Escape")
    await expect(search).to_have_value("")
    await expect(tab.entries).to_have_text(["Pineapples", "Pears", "Apples"])
    await expect(tab.page.locator(".entry-group")).to_have_text("Today")


NOTE_REVOKED = """() => {
  const revoke = URL.revokeObjectURL;
  globalThis.revoked = [];
  URL.revokeObjectURL = (url) => {
    revoked.push(url);
    revoke.call(URL, url);
  };
}"""


@pytest.mark.parametrize(("name", "suffix"), [("Markdown", "md"), ("JSON", "json")])
async def test_a_conversation_is_saved_as_a_file_with_a_token(
    simulator: Simulator, open_tab: OpenTab, tmp_path: Path, name: str, suffix: str
) -> None:
    async with serving(turnwire_over(simulator, token="open-sesame")) as netloc:
        address = f"http://{netloc}"
        tab = await open_tab(f"{address}/#/token=open-sesame")
        await say(tab, simulator, "What: now?")
        await expect(tab.entries).to_have_text(["What: now?"])
        await tab.page.clock.install()
        await tab.page.evaluate(NOTE_REVOKED)
        async with tab.page.expect_download() as download:
            await option(tab, "What: now?", f"Save as {name}")
        file = await download.value
        # The browser may come for the bytes after the click.
        assert await tab.page.evaluate("revoked") == []
        await tab.page.clock.run_for(61_000)
        assert await tab.page.evaluate("revoked") == [file.url]
        assert file.suggested_filename == f"What now.{suffix}"
        await file.save_as(tmp_path / "saved")
        await tab.page.close()
    saved = (tmp_path / "saved").read_text("utf-8")
    assert "about What: now?" in saved


async def test_on_a_phone_the_side_bar_is_a_drawer(tab: Tab, simulator: Simulator) -> None:
    await tab.page.set_viewport_size({"width": 360, "height": 740})
    await say(tab, simulator, "Apples")
    await say(tab, simulator, "Pears")
    link = tab.page.get_by_role("link", name="Apples")
    await expect(link).to_be_hidden()
    menu = tab.page.get_by_role("button", name="Show conversations")
    await menu.click()
    await expect(link).to_be_visible()
    await tab.page.keyboard.press("Escape")
    await expect(link).to_be_hidden()
    await expect(menu).to_be_focused()
    await menu.click()
    await link.click()
    await expect(link).to_be_hidden()
    await expect(tab.answers).to_have_text("about Apples")
    assert await tab.page.evaluate("document.documentElement.scrollWidth") == 360


def many(count: int) -> Callable[[Route], Awaitable[None]]:
    """Answers for a service that has so many conversations: each is an hour older than the last."""
    now = datetime.now(UTC)
    heads = [
        {
            "conversation": f"c_{at}",
            "title": f"Chat {at}",
            "updated_at": f"{now - at * HOUR:%FT%TZ}",
        }
        for at in range(count)
    ]

    async def answer(route: Route) -> None:
        asked = parse_qs(urlsplit(route.request.url).query)
        begin, limit = int(asked.get("before", ["0"])[0]), int(asked["limit"][0])
        end = begin + limit
        page = {"conversations": heads[begin:end]}
        await route.fulfill(json=page if end >= count else {**page, "next": str(end)})

    return answer


async def test_of_thousands_only_those_in_sight_are_built(address: str, open_tab: OpenTab) -> None:
    count, most = 3000, 350
    tab = await open_tab("about:blank")
    await tab.page.route("**/v1/conversations?*", many(count))
    await tab.page.goto(address)
    await expect(tab.entries.first).to_have_text("Chat 0")
    # Down, as far as there is something, however often more comes.
    await tab.page.wait_for_function(
        """(last) => {
          const list = document.querySelector("#conversations");
          list.scrollTop = list.scrollHeight;
          return [...list.querySelectorAll(".entry-link")].at(-1)?.textContent === last;
        }""",
        arg=f"Chat {count - 1}",
    )
    await expect(tab.entries.last).to_be_in_viewport()
    assert await tab.entries.count() <= most

    # What is there stays when the list is read again.
    built = await tab.page.evaluate_handle(
        """() => {
          const built = { count: 0 };
          new MutationObserver((changes) => {
            for (const { addedNodes } of changes) built.count += addedNodes.length;
          }).observe(document.querySelector(".entries"), { childList: true, subtree: true });
          return built;
        }"""
    )
    async with tab.page.expect_response("**/v1/conversations?*"):
        await tab.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await tab.page.evaluate("new Promise((r) => requestAnimationFrame(() => setTimeout(r)))")
    assert await built.evaluate("({ count }) => count") == 0
    # Rows are higher on a phone: others may be in sight then, and no more of them.
    await tab.page.set_viewport_size({"width": 390, "height": 800})
    await tab.page.set_viewport_size({"width": 1280, "height": 800})
    assert await tab.entries.count() <= most

    # In the middle there are others, at the place where they belong.
    await tab.page.evaluate(
        """() => {
          const list = document.querySelector("#conversations");
          list.scrollTop = list.scrollHeight / 2;
        }"""
    )
    await expect(
        tab.entries.filter(has_text=re.compile(r"^Chat 1[45]\d\d$")).first
    ).to_be_attached()
    assert await tab.entries.count() <= most


async def test_an_entry_with_the_focus_stays_however_far_the_list_is_scrolled(
    address: str, open_tab: OpenTab
) -> None:
    tab = await open_tab("about:blank")
    await tab.page.route("**/v1/conversations?*", many(1000))
    await tab.page.goto(address)
    options = tab.page.get_by_role("button", name="Options of Chat 3", exact=True)
    await options.press("Enter")
    await tab.page.wait_for_function(
        """() => {
          const list = document.querySelector("#conversations");
          list.scrollTop = list.scrollHeight;
          return [...list.querySelectorAll(".entry-link")].at(-1)?.textContent === "Chat 999";
        }"""
    )
    await expect(options).to_be_focused()
    await expect(tab.page.get_by_role("button", name="Rename")).to_be_attached()
    assert await tab.entries.count() <= 300

"""axe-core finds nothing to say of the chat page, in any state, in light and dark."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import OpenTab, Serve, Tab
from tests.e2e.pictures import PDF, png
from tests.kit.npm import packages_of
from turnwire_server import tool
from turnwire_simulator import Answer, Fault, Gate, Simulator, Text, Thinking, ToolUse

pytestmark = pytest.mark.asyncio(loop_scope="session")

MARKDOWN = """\
# Logs

One, *two*, [three](https://example.com).

```py
x = 1
```

| a | b |
|---|---|
| 1 | 2 |
"""

LOOK = """async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"] });
  const told = ({ html, failureSummary }) => `${html} ${failureSummary}`;
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(told).join("; ")}`);
}"""


@tool(approval=True)
def send_email(to: str, subject: str) -> str:
    """Send an e-mail.

    Args:
        to: To whom.
        subject: What it is about.
    """
    return f"sent {subject} to {to}"


class Judge:
    """axe-core in one tab; `findings` are what it has had to say so far."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.findings: list[str] = []

    async def look(self, state: str) -> None:
        """Looks at the page as it is, in both colour schemes."""
        if not await self._page.evaluate("'axe' in window"):
            source = packages_of(Path(__file__).parent).path("axe-core/axe.min.js")
            # As an extension would: the page's policy is against scripts of others.
            await self._page.evaluate(source.read_text("utf-8"))
        for scheme in ("light", "dark"):
            await self._page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            await self._page.evaluate("new Promise(requestAnimationFrame)")
            found: list[str] = await self._page.evaluate(LOOK)
            self.findings += [f"{state}, {scheme}: {finding}" for finding in found]


async def asked(tab: Tab, simulator: Simulator, text: str, *answers: Answer | Fault) -> None:
    simulator.program(*answers)
    await tab.ask(text)


async def test_nothing_is_wrong_with_any_state_of_the_page(
    serve: Serve, open_tab: OpenTab, simulator: Simulator, tmp_path: Path
) -> None:
    url = await serve(
        send_email, models=["claude-haiku-5"], client_options=["model", "system", "thinking"]
    )
    tab = await open_tab(url)
    page, judge = tab.page, Judge(tab.page)
    await expect(tab.page.get_by_role("combobox", name="Model")).to_be_visible()
    await judge.look("a new chat")

    gate = Gate()
    running = Answer(Thinking("Hm."), Text([MARKDOWN, gate]))
    await asked(tab, simulator, "Tell me", running)
    await expect(tab.answers).to_contain_text("three")
    await tab.ask("And then?")
    await expect(tab.queued).to_have_text(["And then?"])
    await tab.message.fill("Another")
    await judge.look("an answer runs, a message waits, another is written")
    await page.keyboard.press("Escape")
    await expect(tab.marks.first).to_have_text("Stopped")
    await page.locator(".turn").first.hover()
    await judge.look("an answer was stopped")

    call = ToolUse("send_email", {"to": "ada@example.com", "subject": "Logs"})
    ask = ToolUse("ask_user", {"question": "Tea?", "choices": ["Yes", "No"]})
    await tab.message.fill("")
    await asked(tab, simulator, "Write", Answer(call, ask, stop_reason="tool_use"))
    card = page.get_by_role("group", name="Allow send_email?")
    await expect(card).to_be_visible()
    await judge.look("a call waits for a decision, another for an answer")
    await card.get_by_role("button", name="Edit…").click()
    await judge.look("the input is edited")
    await card.get_by_role("button", name="Cancel").click()
    await card.get_by_role("button", name="Deny with a reason…").click()
    await judge.look("a reason is given")
    await page.get_by_label("Why not?").press("Enter")
    simulator.program(Fault(401))
    await page.get_by_role("button", name="Yes").click()
    await expect(page.locator(".callout")).to_be_visible()
    await judge.look("a call was denied, and the answer failed")

    (tmp_path / "a.png").write_bytes(png(20, 20))
    (tmp_path / "b.pdf").write_bytes(PDF)
    (tmp_path / "c.txt").write_text("text")
    files = [tmp_path / name for name in ("a.png", "b.pdf", "c.txt")]
    await page.locator("#files").set_input_files(files)
    await expect(page.locator(".tray-item[data-state=ready]")).to_have_count(3)
    await judge.look("files are attached")
    simulator.program(Answer(Text("Nice.")))
    await tab.ask("Look")
    await expect(tab.answers.last).to_have_text("Nice.")
    await expect(page.locator(".picture[data-state=shown]")).to_be_visible()
    simulator.program(Answer(Text("Nicer.")))
    await page.get_by_role("button", name="Regenerate").click()
    await expect(tab.answers.last).to_have_text("Nicer.")
    await page.get_by_role("button", name="Earlier answer").click()
    await page.locator(".text-file summary").last.click()
    await judge.look("an earlier answer, and a text file that is open")
    await page.get_by_role("button", name="Edit message").last.click()
    await judge.look("a message with files is edited")
    await page.get_by_label("Edit your message").press("Escape")

    await page.get_by_role("button", name="Options of").first.click()
    await judge.look("the menu of a conversation")
    await page.get_by_role("button", name="Rename").click()
    await judge.look("it is renamed")
    await page.keyboard.press("Escape")
    await page.locator("#open-settings").click()
    await judge.look("the settings")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Control+/")
    await judge.look("the keyboard shortcuts")
    await page.keyboard.press("Escape")

    await page.set_viewport_size({"width": 360, "height": 740})
    await judge.look("on a phone")
    await page.get_by_role("button", name="Show conversations").click()
    await judge.look("the drawer of a phone")
    assert "\n".join(judge.findings) == ""


async def test_nothing_is_wrong_where_it_cannot_go_on(serve: Serve, open_tab: OpenTab) -> None:
    url = await serve(token="open-sesame")
    tab = await open_tab(url)
    await expect(tab.page.get_by_label("Access token")).to_be_visible()
    judge = Judge(tab.page)
    await judge.look("a token is wanted")
    tab.problems.clear()
    tab = await open_tab(f"{url}#/token=open-sesame")
    await tab.page.goto(f"{url}#c_nobody")
    await expect(tab.page.locator(".notice")).to_contain_text("cannot be opened")
    other = Judge(tab.page)
    await other.look("a conversation that is not there")
    assert "\n".join(judge.findings + other.findings) == ""

"""What the user says and pastes, as text: Markdown, and files of text, in Chromium."""

import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Tab
from turnwire_simulator import Answer, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")

PASTE = """(text) => {
  const data = new DataTransfer();
  data.setData("text/plain", text);
  const how = { bubbles: true, cancelable: true, clipboardData: data };
  document.querySelector("#message").dispatchEvent(new ClipboardEvent("paste", how));
}"""


async def test_text_files_and_long_pastes_go_along_and_outlive_a_reload(
    tab: Tab, simulator: Simulator, tmp_path: Path
) -> None:
    (tmp_path / "notes.md").write_text("# Notes\n\n```\nx\n```\n")
    (tmp_path / "odd.txt").write_bytes(b"\xff\xfe\0")
    tray = tab.page.locator(".tray-item")
    files = tab.page.locator("#files")
    await files.set_input_files([tmp_path / "notes.md", tmp_path / "odd.txt"])
    await expect(tray.last).to_contain_text("Its content is not what its name says.")
    await tab.page.get_by_role("button", name="Remove odd.txt").click()
    await tab.page.evaluate(PASTE, "short")
    await tab.page.evaluate(PASTE, "pasted line\n" * 200)
    await expect(tray).to_have_count(2)
    await expect(tab.message).to_have_value("")
    await tab.page.reload()
    await expect(tray).to_have_count(2)
    simulator.program(Answer(Text("Read.")))
    await tab.ask("Read **these**")
    await expect(tab.answers).to_have_text("Read.")
    (content,) = [message["content"] for message in simulator.requests[-1]["messages"]]
    assert [block["text"].splitlines()[0] for block in content] == [
        "Read **these**",
        "notes.md:",
        "Pasted text.txt:",
    ]
    assert "````md\n# Notes" in content[1]["text"]
    await tab.page.reload()
    await expect(tab.bubbles.locator("strong")).to_have_text("these")
    shown = tab.page.locator(".text-file")
    await expect(shown).to_have_count(2)
    await shown.first.locator("summary").click()
    await expect(shown.first.locator(".tool-text")).to_contain_text("# Notes")
    await expect(tab.page).to_have_title(re.compile(r"^Read \*\*these\*\*"))


async def test_a_long_paste_can_be_put_into_the_message(tab: Tab) -> None:
    text = "\n".join(["line"] * 100)
    await tab.message.fill("Look:")
    await tab.page.evaluate(PASTE, text)
    await tab.page.get_by_role("button", name="Put into the message").click()
    await expect(tab.message).to_have_value(f"Look:\n\n{text}")
    await expect(tab.page.locator(".tray-item")).to_have_count(0)

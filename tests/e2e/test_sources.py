"""Where an answer was read, on the page: marks in its text, a list under it, notes in copies."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import OpenTab, Tab
from tests.e2e.recorder import Recorder
from turnwire_simulator import Answer, Gate, ProviderTool, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAGE = {"type": "web_search_result_location", "encrypted_index": "e"}
SHANNON = {**PAGE, "title": "Claude Shannon", "url": "https://www.a.example/shannon"}
PETOSKEY = {**PAGE, "title": "", "url": "https://b.example/petoskey"}
REPORT = {
    "type": "page_location",
    "cited_text": "1916",
    "document_index": 0,
    "document_title": "report.pdf",
    "start_page_number": 3,
    "end_page_number": 4,
}
FOUND = [{"type": "web_search_result", "title": "Claude Shannon", "url": SHANNON["url"]}]


async def test_a_cited_answer_reads_as_one_paragraph_with_numbered_sources(
    tab: Tab, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(
        Answer(
            ProviderTool("web_search", {"query": "Shannon"}, FOUND),
            Text("Claude Shannon was "),
            Text("born in 1916", citations=[{**SHANNON, "cited_text": "1916"}]),
            Text([" in ", gate]),
            Text("Petoskey", citations=[{**PETOSKEY, "cited_text": "P"}, REPORT]),
            Text(", and so "),
            Text("on.\n", citations=[{**SHANNON, "cited_text": "on"}]),
        )
    )
    await tab.ask("Who was Claude Shannon?")
    await expect(tab.answers).to_have_text("Claude Shannon was born in 19161 in")
    await tab.answers.evaluate("(prose) => { prose.firstChild.kept = true; }")
    gate.open()
    await expect(tab.answers).to_have_text(
        "Claude Shannon was born in 19161 in Petoskey23, and so on.1"
    )
    # What was shown stayed: each block only added to it.
    assert await tab.answers.evaluate("(prose) => prose.firstChild.kept")
    await expect(tab.answers.locator("p")).to_have_count(1)
    links = tab.answers.locator("sup a")
    assert [await link.get_attribute("href") for link in await links.all()] == [
        SHANNON["url"],
        PETOSKEY["url"],
        SHANNON["url"],
    ]
    await expect(links.first).to_have_accessible_name("Source 1: Claude Shannon")
    await expect(links.first).to_have_attribute("rel", "noopener noreferrer")
    sources = tab.page.locator(".sources")
    await expect(sources.locator("summary")).to_have_text("3 sources")
    await expect(sources.locator("li")).to_have_text(
        ["Claude Shannon a.example", PETOSKEY["url"], "report.pdf"]
    )
    said = await Recorder.of(tab.page, '[aria-label="Copy answer"]')
    await tab.page.get_by_role("button", name="Copy answer").click()
    await said.until("Copied")
    assert await tab.page.evaluate("navigator.clipboard.readText()") == (
        "Claude Shannon was born in 1916[^source-1] in Petoskey[^source-2][^source-3], and so "
        "on.[^source-1]\n\n"
        f"[^source-1]: [Claude Shannon](<{SHANNON['url']}>)\n"
        f"[^source-2]: [https://b.example/petoskey](<{PETOSKEY['url']}>)\n"
        "[^source-3]: report.pdf"
    )
    # As it is read again from the log.
    await tab.page.reload()
    await expect(tab.answers).to_have_text(
        "Claude Shannon was born in 19161 in Petoskey23, and so on.1"
    )
    await expect(sources.locator("li")).to_have_count(3)


async def test_many_sources_are_folded_and_no_address_but_the_webs_is_a_link(
    tab: Tab, simulator: Simulator
) -> None:
    bad = {**PAGE, "title": "Bad", "url": "javascript:alert(1)", "cited_text": "x"}
    others = [{**PAGE, "title": f"Page {n}", "url": f"https://p{n}.example/"} for n in range(5)]
    simulator.program(Answer(Text("All of it.", citations=[bad, *others])))
    await tab.ask("Many?")
    sources = tab.page.locator(".sources")
    await expect(sources.locator("summary")).to_have_text("6 sources")
    await expect(sources.locator("li").first).to_be_hidden()
    await sources.locator("summary").press("Enter")
    await expect(sources.locator("li")).to_have_count(6)
    await expect(sources.locator("li a")).to_have_count(5)
    await expect(tab.answers.locator("sup a")).to_have_count(5)


async def test_sources_fit_a_phone(address: str, open_tab: OpenTab, simulator: Simulator) -> None:
    tab = await open_tab(address)
    await tab.page.set_viewport_size({"width": 320, "height": 640})
    long = {**PAGE, "title": "x" * 200, "url": f"https://a.example/{'y' * 500}", "cited_text": "z"}
    simulator.program(Answer(Text("Long.", citations=[long, {**long, "title": ""}])))
    await tab.ask("Long?")
    await expect(tab.page.locator(".sources li")).to_have_count(1)
    assert await tab.page.evaluate("document.body.scrollWidth <= innerWidth")


async def test_a_file_that_a_tool_made_is_saved_under_its_name(
    tab: Tab, simulator: Simulator
) -> None:
    file = simulator.files.keep(b"a,b\n", name="table.csv")
    made = [{"type": "code_execution_output", "file_id": file}]
    ran = {"type": "code_execution_result", "stdout": "", "stderr": "", "return_code": 0}
    simulator.program(Answer(ProviderTool("code_execution", {}, {**ran, "content": made})))
    await tab.ask("Make a table")
    chip = tab.page.get_by_role("button", name="File 1")
    async with tab.page.expect_download() as download:
        await chip.click()
    saved = await download.value
    assert saved.suggested_filename == "table.csv"
    assert (await saved.path()).read_bytes() == b"a,b\n"
    await expect(tab.page.locator(".made .file-name")).to_have_text("table.csv")

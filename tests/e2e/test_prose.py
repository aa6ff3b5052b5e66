"""What an answer's code, tables, formulas and notes have on the page beside their text."""

from base64 import b64encode
from html.entities import html5
from pathlib import Path

import pytest
from playwright.async_api import Locator, expect

import turnwire_browser
from tests.e2e.conftest import OpenTab, Tab
from tests.e2e.recorder import Recorder
from turnwire import connect
from turnwire_simulator import Answer, Gate, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENTITIES = Path(turnwire_browser.__file__).parent / "static/markdown/entities.js"
LINE = "value = [" + ", ".join(str(number) for number in range(80)) + "]  # many"
OPEN = {"type": "object", "properties": {}}
TABLE = f"| name | {'wide | ' * 30}\n|{'---|' * 31}\n| one *two* | {'3 | ' * 30}\n"


async def test_code_is_coloured_when_its_fence_has_closed_and_not_before(
    tab: Tab, simulator: Simulator
) -> None:
    gate = Gate()
    first = "```python\ndef one():\n    return 1\n```\n\n"
    simulator.program(Answer(Text([f"{first}```js\nlet two;\n", gate, "```\n"])))
    await tab.ask("Code?")
    await expect(tab.answers.locator(".hljs-keyword").first).to_have_text("def")
    await expect(tab.answers.locator("code").last).to_contain_text("let two;")
    # What is first in the queue for idle time is done first: the second block was not in it.
    await expect(tab.answers.locator(".language-js .hljs-keyword")).to_have_count(0)
    gate.open()
    await expect(tab.answers.locator(".language-js .hljs-keyword")).to_have_text("let")
    assert await tab.answers.locator("code").first.inner_text() == "def one():\n    return 1\n"


async def test_formulas_are_mathml_and_what_is_no_tex_stays_as_it_is(
    tab: Tab, simulator: Simulator
) -> None:
    link = r"\href{javascript:alert(1)}{x_1}"
    simulator.program(
        Answer(Text(rf"So $x_1$, \(y^2\), $\nonsense z$, ${link}$." + "\n\n$$\n\\frac12\n$$\n"))
    )
    await tab.ask("Formulas?")
    formulas = tab.answers.locator("math")
    await expect(formulas).to_have_count(4)
    await expect(tab.answers.locator("msub").first).to_be_visible()
    await expect(tab.answers.locator(".display mfrac")).to_be_visible()
    await expect(tab.answers.locator(".unread")).to_have_text(r"\nonsense z")
    await expect(tab.answers.locator("a")).to_have_count(0)


async def test_what_is_too_wide_is_moved_with_the_keyboard_or_wrapped(
    tab: Tab, simulator: Simulator
) -> None:
    simulator.program(Answer(Text(f"```py\n{LINE}\n```\n\n{TABLE}\n```\nshort\n```\n")))
    await tab.ask("Wide?")
    code = tab.page.get_by_role("group", name="Code in py")
    for scroller in (code, tab.page.get_by_role("group", name="Table")):
        await scroller.focus()
        await tab.page.keyboard.press("ArrowRight")
        await tab.page.wait_for_function(
            "() => document.activeElement.scrollLeft > 0", polling="raf"
        )
    await expect(tab.answers.locator("code").last).not_to_have_attribute("tabindex", "0")
    wrap = tab.page.get_by_role("button", name="Wrap long lines").first
    await wrap.press("Enter")
    await expect(wrap).to_have_attribute("aria-pressed", "true")
    await expect(tab.answers.locator("code").first).not_to_have_attribute("tabindex", "0")
    assert await is_narrow(tab.answers.locator("code").first)


async def is_narrow(scroller: Locator) -> bool:
    """Whether all of it can be seen."""
    return bool(await scroller.evaluate("(code) => code.scrollWidth <= code.clientWidth"))


async def test_code_is_downloaded_and_tables_are_copied_as_spreadsheets_take_them(
    tab: Tab, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("```python\nx = 1\n```\n\n|a|b|\n|-|-|\n|1 *2*|3<br>4|\n")))
    await tab.ask("Take?")
    async with tab.page.expect_download() as waiting:
        await tab.page.get_by_role("button", name="Download code").click()
    download = await waiting.value
    assert download.suggested_filename == "code.py"
    assert (await download.path()).read_text() == "x = 1\n"
    said = await Recorder.of(tab.page, '[aria-label="Copy table"]')
    await tab.page.get_by_role("button", name="Copy table").press("Enter")
    await said.until("Copied")
    assert await tab.page.evaluate("navigator.clipboard.readText()") == "a\tb\n1 2\t3 4"


async def test_a_note_is_reached_and_left_and_the_address_stays(
    tab: Tab, simulator: Simulator
) -> None:
    simulator.program(Answer(Text("Said[^1].\n\n- [x] done\n\n[^1]: By *whom*.\n")))
    await tab.ask("Notes?")
    await expect(tab.page.locator(".usage")).to_be_visible()
    address = tab.page.url
    await tab.answers.get_by_role("link", name="1", exact=True).press("Enter")
    await expect(tab.answers.locator("li.note")).to_be_focused()
    await tab.answers.get_by_role("link", name="Back to the text").press("Enter")
    await expect(tab.answers.locator(".note-ref")).to_be_focused()
    assert tab.page.url == address
    await expect(tab.answers.get_by_role("checkbox", name="Done")).to_be_checked()


async def test_every_name_of_a_character_is_read_as_html_reads_it(tab: Tab) -> None:
    module = ENTITIES.read_bytes()
    names = {f"&{name}": text for name, text in html5.items() if name.endswith(";")}
    unknown = ["&notit;", "&ampx;", "&x;", "&AMp;"]
    await tab.page.goto("about:blank")
    decoded = await tab.page.evaluate(
        """async ([module, names]) => {
          const { decodeHTMLStrict } = await import(module);
          return names.map(decodeHTMLStrict);
        }""",
        [f"data:text/javascript;base64,{b64encode(module).decode()}", [*names, *unknown]],
    )
    assert decoded == [*names.values(), *unknown]


async def test_structured_output_is_shown_as_coloured_code(
    address: str, open_tab: OpenTab, simulator: Simulator
) -> None:
    said = '{"city": "Oslo", "note": "```"}'
    simulator.program(Answer(Text(said)))
    async with connect(address) as wire:
        chat = wire.conversation()
        await (await chat.send("Where?", output_format={"type": "json_schema", "schema": OPEN}))
    tab = await open_tab(f"{address}/#{chat.id}")
    code = tab.answers.locator("code.language-json")
    await expect(code.locator(".hljs-string").first).to_be_visible()
    assert await code.inner_text() == '{\n  "city": "Oslo",\n  "note": "```"\n}\n'

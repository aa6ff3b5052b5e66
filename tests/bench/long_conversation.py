"""The page with a conversation of 1,000 turns, in Chromium: opened, read upwards, and answered in.

`python -m tests.bench.long_conversation [folder …]`: the same for other checkouts, in the same run.
What is opened lies in the database; the service has read it once, the browser nothing. "Shown" is
the wall clock, from the navigation until the last turn is there and drawn; script, style and layout
are CPU time of the main thread until then, or in each frame (see `tests.bench.browser`).
"""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from tests.bench.answers import tokens
from tests.bench.traces import CATEGORIES, Event, Frame, at, frames
from tests.e2e.chromium import ARGUMENTS, require_chromium
from tests.kit.service import turnwire_over
from turnwire_protocol import SendBody
from turnwire_server.core.past import PastTurn
from turnwire_simulator import Answer, Simulator, Text

__all__ = ["long_conversation"]

TURNS = 1_000
TOKENS = 300
OPENED = 5
"""How often it is opened; the median counts."""
SCREENS = 120
LAST = '.turn[data-state=done]:last-child .bubble:text-is("Last?")'
UP = f"""async () => {{
  const scroller = document.getElementById("scroller");
  for (let screen = 0; screen < {SCREENS}; screen += 1) {{
    scroller.scrollTop -= scroller.clientHeight * 0.9;
    await new Promise((drawn) => requestAnimationFrame(drawn));
    await new Promise((drawn) => requestAnimationFrame(drawn));
  }}
}}"""
TO_THE_TOP = """async () => {
  const scroller = document.getElementById("scroller");
  const earlier = document.querySelector(".earlier");
  while (earlier && !earlier.hidden) {
    scroller.scrollTop = 0;
    await new Promise((drawn) => requestAnimationFrame(drawn));
  }
  scroller.scrollTop = scroller.scrollHeight;
}"""
HEAD = (
    f"\n| {TURNS:,} turns | shown ms | frames | script ms p50 | p99 | max | all "
    "| style and layout ms p50 | p99 | all |\n|---|---|---|---|---|---|---|---|---|---|"
)


async def written(simulator: Simulator, folder: Path) -> str:
    """A conversation in a database in this folder; its id."""
    turnwire = turnwire_over(simulator, db=str(folder / "chat.db"))
    await turnwire.start()
    answer = "".join(tokens("mixed", TOKENS))
    past = [PastTurn(f"Question {number}?", None, answer) for number in range(TURNS - 1)]
    accepted = await turnwire.hub.send("local", SendBody(content="Last?"), past=past)
    await accepted.durable
    await turnwire.close()
    return accepted.ack.conversation or ""


@asynccontextmanager
async def served(model_url: str, folder: Path, checkout: Path | None) -> AsyncIterator[str]:
    """The address of `turnwire serve` in this folder, of this checkout or another one."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("TURNWIRE_")
    }
    environment |= {"ANTHROPIC_API_KEY": "bench", "ANTHROPIC_BASE_URL": model_url}
    if checkout is not None:
        parts = ("server", "client", "protocol")
        environment["PYTHONPATH"] = ":".join(str(checkout / part) for part in parts)
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).with_name("turnwire"), "serve", "--port", "0", "--db", "chat.db"),
        cwd=folder,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    async for said in process.stdout:
        if found := re.search(r"http://[\d.]+:\d+", said.decode()):
            yield found[0]
            break
    process.terminate()
    await process.communicate()


async def opened(chromium: Browser, address: str) -> tuple[Page, float, list[Event]]:
    """A page that shows it, after so many milliseconds, and what its main thread did."""
    page = await chromium.new_page(viewport={"width": 1280, "height": 800})
    await chromium.start_tracing(page=page, categories=CATEGORIES)
    began = time.perf_counter()
    await page.goto(address)
    await page.locator(LAST).wait_for(timeout=600_000)
    await page.evaluate("new Promise((r) => requestAnimationFrame(() => setTimeout(r)))")
    took = (time.perf_counter() - began) * 1000
    return page, took, json.loads(await chromium.stop_tracing())["traceEvents"]


async def traced(chromium: Browser, page: Page, doing: Any) -> list[Frame]:
    """The frames while something is done."""
    await chromium.start_tracing(page=page, categories=CATEGORIES)
    await doing
    return frames(json.loads(await chromium.stop_tracing())["traceEvents"])


def line(what: str, shown: float | None, found: list[Frame]) -> None:
    """Print a line of the table."""
    script = [frame.script for frame in found]
    layout = [frame.layout for frame in found]
    cells = [what, "" if shown is None else f"{shown:.0f}", str(len(found))]
    cells += [at(script, 0.5), at(script, 0.99), at(script, 1), f"{sum(script):.0f}"]
    cells += [at(layout, 0.5), at(layout, 0.99), f"{sum(layout):.0f}"]
    print(f"| {' | '.join(cells)} |", flush=True)


async def measured(chromium: Browser, simulator: Simulator, address: str, name: str) -> None:
    """One checkout's lines."""
    times = []
    for _ in range(OPENED):
        page, took, trace = await opened(chromium, address)
        times.append((took, trace))
        await page.close()
    took, trace = sorted(times, key=lambda one: one[0])[OPENED // 2]
    line(f"opened{name}", took, frames(trace))
    page, _, _ = await opened(chromium, address)
    line(
        f"scrolled {SCREENS} screens up{name}",
        None,
        await traced(chromium, page, page.evaluate(UP)),
    )
    await page.evaluate(TO_THE_TOP)
    simulator.program(Answer(Text(tokens("mixed", 1_500))))
    await page.get_by_label("Message to Claude").fill("And?")

    async def answer() -> None:
        await page.keyboard.press("Enter")
        said = '.turn[data-state=done]:last-child .bubble:text-is("And?")'
        await page.locator(said).wait_for(timeout=600_000)

    line(f"answered below all of them{name}", None, await traced(chromium, page, answer()))
    await page.close()


async def long_conversation(*others: Path) -> None:
    """Measure this checkout and the others, and print a table."""
    print(HEAD)
    async with async_playwright() as playwright, Simulator(tokens_per_second=300) as simulator:
        path = require_chromium()
        chromium = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        for checkout in [*others, None]:
            with TemporaryDirectory() as folder:
                simulator.program(Answer(Text(["Ok."])))
                id = await written(simulator, Path(folder))
                async with served(simulator.url, Path(folder), checkout) as address:
                    name = "" if checkout is None else f" ({checkout.name})"
                    await measured(chromium, simulator, f"{address}/#{id}", name)
        await chromium.close()


if __name__ == "__main__":
    asyncio.run(long_conversation(*(Path(name).absolute() for name in sys.argv[1:])))

"""How long the page takes to load on a bad line, with an empty profile and then again.

`python -m tests.bench.loading [address …]`: the page of this checkout, and those of services that
run at these addresses, in turns. Chromium itself is the bad line: answers to requests come late,
and all bytes slowly. What it leaves out is that a connection takes a round trip to make, and that a
frame of an open WebSocket is late, too: each would be 0.3 s more. Seconds count from the beginning
of the navigation to the first frame that shows it: that the composer can be used, which is when the
page's script has run; and the last answer of a short conversation.
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import httpx2
from playwright.async_api import Browser, Page, async_playwright

from tests.bench.table import head, row
from tests.e2e.chromium import ARGUMENTS, require_chromium
from tests.e2e.service import serving
from tests.e2e.traffic import Traffic
from turnwire_simulator import Answer, Simulator, Text

__all__ = ["loading"]

BYTES_PER_SECOND = 400_000 / 8
LATENCY_MILLISECONDS = 300
TURNS = 3
ROUNDS = 5

_LINE = {
    "offline": False,
    "latency": LATENCY_MILLISECONDS,
    "downloadThroughput": BYTES_PER_SECOND,
    "uploadThroughput": BYTES_PER_SECOND,
}
# In milliseconds since the navigation began, at the first frame that shows it.
_WATCH = """(turns) => {
  const shown = (window.shown = {});
  const conditions = {
    composer: () => document.querySelector("#send svg"),
    answer: () => document.querySelectorAll("[data-state=done] .answer .prose").length >= turns,
  };
  const look = () => {
    for (const [name, holds] of Object.entries(conditions)) {
      if (!(name in shown) && holds()) shown[name] = performance.now();
    }
    if (Object.keys(shown).length < 2) requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
}"""
_WAIT = "() => Object.keys(window.shown).length === 2 && window.shown"


@dataclass
class Load:
    """One load of the page, in seconds from its beginning."""

    composer: float
    answer: float
    requests: int
    received: int


async def conversation(address: str) -> str:
    """Make a short conversation there; its id."""
    made: dict[str, str] = {}
    async with httpx2.AsyncClient(base_url=address, timeout=60) as http:
        for number in range(TURNS):
            message = {"message": f"What is stored? ({number})", **made}
            async with http.stream("POST", "/v1/chat", json=message) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data:") and '"conversation":"' in line:
                        made["conversation"] = line.partition('"conversation":"')[2].split('"')[0]
    return made["conversation"]


async def watched(page: Page, traffic: Traffic) -> Load:
    """What the load that has begun takes."""
    shown = await (await page.wait_for_function(_WAIT, timeout=120_000)).json_value()
    # What comes after that, the icon perhaps.
    await page.wait_for_timeout(2 * LATENCY_MILLISECONDS)
    load = Load(
        shown["composer"] / 1000, shown["answer"] / 1000, len(traffic.requests), traffic.received
    )
    traffic.forget()
    return load


async def loads(chromium: Browser, url: str) -> tuple[Load, Load]:
    """With an empty profile, and once again."""
    async with await chromium.new_context(viewport={"width": 1280, "height": 800}) as context:
        page = await context.new_page()
        await page.add_init_script(f"({_WATCH})({TURNS})")
        traffic = await Traffic.of(page, _LINE)
        await page.goto(url, wait_until="commit")
        cold = await watched(page, traffic)
        await page.reload(wait_until="commit")
        return cold, await watched(page, traffic)


def middle(kind: str, measured: Sequence[Load]) -> None:
    """A line of the table: the medians."""
    composer = median(load.composer for load in measured)
    answer = median(load.answer for load in measured)
    worst = max(load.answer for load in measured)
    requests = max(load.requests for load in measured)
    received = median(load.received for load in measured) / 1000
    row(
        *(kind, f"{composer:.2f}", f"{answer:.2f}", f"{worst:.2f}"),
        *(str(requests), f"{received:.1f}"),
    )


async def loading(others: Sequence[str] = ()) -> None:
    """Measure and print a line for each page and kind of load."""
    head(
        f"page at 400 kbit/s, {LATENCY_MILLISECONDS} ms, median of {ROUNDS}",
        *("composer s", "last answer s", "at worst", "requests", "kB"),
    )
    with TemporaryDirectory() as folder:
        async with (
            Simulator() as simulator,
            serving(simulator.url, Path(folder)) as here,
            async_playwright() as playwright,
        ):
            for number in range(TURNS):
                simulator.program(Answer(Text(f"**What was said**, {number} times.")))
            pages = {address: await conversation(address) for address in (here, *others)}
            path = require_chromium()
            chromium = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
            measured: dict[str, list[tuple[Load, Load]]] = {address: [] for address in pages}
            for _ in range(ROUNDS):
                for address, id in pages.items():
                    measured[address].append(await loads(chromium, f"{address}/#{id}"))
            await chromium.close()
            for address, found in measured.items():
                name = "" if address == here else f", {address}"
                middle(f"cold load{name}", [cold for cold, _ in found])
                middle(f"reload{name}", [again for _, again in found])


if __name__ == "__main__":
    asyncio.run(loading(sys.argv[1:]))

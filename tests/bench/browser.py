"""Script per frame while the page shows a 10,000-token answer as it streams, in Chromium.

`python -m tests.bench.browser [shape …]`. What a frame and its script are: `tests.bench.traces`. A
long conversation has a table of its own, `tests.bench.long_conversation`, and so has the loading of
the page on a bad line: `tests.bench.loading`.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import Browser, async_playwright

from tests.bench.answers import SHAPES, tokens
from tests.bench.loading import loading
from tests.bench.long_conversation import long_conversation
from tests.bench.traces import CATEGORIES, Event, at, frames
from tests.e2e.chromium import ARGUMENTS, require_chromium
from tests.e2e.service import serving
from turnwire_simulator import Answer, Simulator, Text

__all__ = ["browser"]

TOKENS = 10_000
TOKENS_PER_SECOND = 300


async def traced(chromium: Browser, address: str) -> list[Event]:
    """What the main thread does from the question to the end of the answer."""
    page = await chromium.new_page(viewport={"width": 1280, "height": 800})
    await page.goto(address)
    await chromium.start_tracing(page=page, categories=CATEGORIES)
    await page.get_by_label("Message to Claude").fill("Tell me all.")
    await page.keyboard.press("Enter")
    await page.locator(".turn[data-state=done]").wait_for(timeout=600_000)
    trace: list[Event] = json.loads(await chromium.stop_tracing())["traceEvents"]
    await page.close()
    return trace


async def browser(shapes: list[str] | None = None) -> None:
    """Measure answers of these shapes, or of all, and print a line for each."""
    cores = os.sched_getaffinity(0)
    # Chromium inherits it, and has threads for both.
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    print(
        f"\n| {TOKENS:,} tokens, {TOKENS_PER_SECOND}/s | frames | script ms p50 | p99 | max "
        "| style and layout ms p50 | p99 |\n|---|---|---|---|---|---|---|"
    )
    with TemporaryDirectory() as folder:
        async with (
            Simulator(tokens_per_second=TOKENS_PER_SECOND) as simulator,
            serving(simulator.url, Path(folder)) as address,
            async_playwright() as playwright,
        ):
            path = require_chromium()
            chromium = await playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
            for shape in shapes or SHAPES:
                simulator.program(Answer(Text(tokens(shape, TOKENS))))
                shown = frames(await traced(chromium, address))
                script = [frame.script for frame in shown]
                layout = [frame.layout for frame in shown]
                cells = [at(script, 0.5), at(script, 0.99), at(script, 1)]
                cells += [at(layout, 0.5), at(layout, 0.99)]
                print(f"| {shape} | {len(shown)} | {' | '.join(cells)} |", flush=True)
            await chromium.close()
    if not shapes:
        await long_conversation()
        await loading()
    os.sched_setaffinity(0, cores)


if __name__ == "__main__":
    asyncio.run(browser(sys.argv[1:]))

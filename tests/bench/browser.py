"""Script per frame while the page shows a 10,000-token answer as it streams, in Chromium.

`python -m tests.bench.browser [shape …]`. Chromium traces the page's main thread. A frame is what
lies between the ends of two animation frames. Its script is all JavaScript that ran in it, for
messages, timers, microtasks and drawing, with the garbage collection therein, but without the style
and layout that script forced: they are the frame's either way, and have columns of their own. Times
are those of the thread's CPU clock, so that other load on the machine counts little.
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.async_api import Browser, async_playwright

from tests.bench.answers import SHAPES, tokens
from tests.e2e.chromium import ARGUMENTS, require_chromium
from tests.e2e.service import serving
from turnwire_simulator import Answer, Simulator, Text

__all__ = ["browser"]

TOKENS = 10_000
TOKENS_PER_SECOND = 300
CATEGORIES = ["devtools.timeline", "v8.execute"]
SCRIPT = {"FunctionCall", "EvaluateScript", "RunMicrotasks"}
LAYOUT = {"Layout", "UpdateLayoutTree"}

Event = dict[str, Any]


@dataclass
class Frame:
    """Milliseconds of the main thread's CPU time."""

    script: float = 0.0
    layout: float = 0.0


def main_thread(events: list[Event]) -> list[Event]:
    """Those of the thread that ran the page's script most."""
    busy: dict[tuple[int, int], int] = {}
    for event in events:
        if event["name"] == "FunctionCall":
            thread = event["pid"], event["tid"]
            busy[thread] = busy.get(thread, 0) + 1
    thread = max(busy, key=lambda thread: busy[thread])
    return [event for event in events if (event["pid"], event["tid"]) == thread]


def outermost(events: list[Event], names: set[str]) -> Iterator[Event]:
    """The slices of these names that lie in no other of them, in order."""
    end = 0.0
    for event in sorted(events, key=lambda event: (event["ts"], -event.get("dur", 0))):
        if event["name"] in names and event["ph"] == "X" and event["ts"] >= end:
            end = event["ts"] + event["dur"]
            yield event


def frames(trace: list[Event]) -> list[Frame]:
    """The frames of a trace, without those in which no script ran."""
    events = main_thread(trace)
    ends = sorted(
        event["ts"] for event in events if event["name"] == "AnimationFrame" and event["ph"] == "e"
    )
    scripts = list(outermost(events, SCRIPT))
    layouts = list(outermost(events, LAYOUT))
    found = [Frame() for _ in range(len(ends) + 1)]
    marks = [(end, 0, Frame()) for end in ends]
    spent = [(each["ts"], 1, Frame(script=each.get("tdur", 0) / 1000)) for each in scripts]
    spans = [(each["ts"], each["ts"] + each["dur"]) for each in scripts]
    inside = iter(spans)
    span = next(inside, (0.0, 0.0))
    for each in layouts:
        took = each.get("tdur", 0) / 1000
        while span[1] < each["ts"] and span != spans[-1]:
            span = next(inside)
        is_forced = span[0] <= each["ts"] < span[1]
        spent.append((each["ts"], 1, Frame(script=-took if is_forced else 0.0, layout=took)))
    index = 0
    for _, kind, part in sorted(marks + spent, key=lambda entry: entry[:2]):
        if kind == 0:
            index += 1
        else:
            found[index].script += part.script
            found[index].layout += part.layout
    return [frame for frame in found if frame.script > 0]


def at(values: list[float], share: float) -> str:
    """The value that this share does not exceed."""
    return f"{sorted(values)[min(len(values) - 1, int(len(values) * share))]:.1f}"


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
    os.sched_setaffinity(0, cores)


if __name__ == "__main__":
    asyncio.run(browser(sys.argv[1:]))

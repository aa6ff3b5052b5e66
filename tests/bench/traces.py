"""What Chromium's trace of a page says of each frame; it opens no page.

A frame is what lies between the ends of two animation frames. Its script is all JavaScript that ran
in it, for messages, timers, microtasks and drawing, with the garbage collection therein, but
without the style and layout that script forced: they are the frame's either way, and have columns
of their own. Times are those of the thread's CPU clock, so that other load counts little.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["CATEGORIES", "Event", "Frame", "at", "frames"]

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

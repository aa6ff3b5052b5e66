"""Shows a turn on a terminal as it happens; knows events and rich, no connection.

What is finished is printed once and scrolls away; only the open piece is redrawn.
"""

import json
from collections.abc import Callable
from typing import Self

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.json import JSON
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from turnwire.terminal.paragraphs import Paragraphs
from turnwire.terminal.text import markdown, printable, source_line
from turnwire_protocol import (
    Attachment,
    BlockStop,
    Compaction,
    Content,
    DocumentBlock,
    Done,
    Event,
    ImageBlock,
    Retry,
    Rewind,
    Sources,
    Start,
    Step,
    StopReason,
    TextBlock,
    Thinking,
    Token,
    ToolApproval,
    ToolDecision,
    ToolExecuting,
    ToolProgress,
    ToolResult,
    ToolStart,
    noted,
    text_of,
)

__all__ = ["Display"]

REFRESHES_PER_SECOND = 12
FOLDED_LINES = 4
FOLDED_CHARACTERS = 160
BAR_COLUMNS = 30

_OTHERS = (Thinking, ToolStart, ToolDecision, ToolExecuting, ToolResult, Rewind)
"""What follows a text that is over. Neighbouring blocks of text are one: the model splits sentences
where it cites."""


class Display:
    """One turn on the screen, from `with` to its end; `status` names what is being waited for
    where that is not the model, `address_of` where the images are that cannot be shown here.
    `is_json`: the answer is JSON, and no Markdown."""

    def __init__(
        self,
        console: Console,
        status: Callable[[], str],
        address_of: Callable[[Attachment], str] | None = None,
        *,
        is_json: bool = False,
    ) -> None:
        self._is_json = is_json
        self._json = ""
        self._console = console
        self._status = status
        self._address_of = address_of
        self._answer = Paragraphs()
        self._space = ""
        """At the end of the text so far: marks stand before it."""
        self._sources = Sources()
        self._thought = ""
        self._activity = "waiting"
        self._fraction: float | None = None
        self._held: list[Event] | None = None
        self._live = Live(
            console=console,
            get_renderable=self._open_part,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.hold(False)
        self._finish_block()
        self._live.stop()

    def hold(self, held: bool) -> None:
        """Leave the screen to somebody else, or take it back and show what came meanwhile."""
        if held and self._held is None:
            self._live.stop()
            self._held = []
        elif not held and self._held is not None:
            events, self._held = self._held, None
            self._live.start()
            for event in events:
                self.show(event)

    def show(self, event: Event) -> None:
        """The turn's next event."""
        if self._held is not None:
            self._held.append(event)
            return
        if not isinstance(event, ToolProgress):
            self._fraction = None
        if isinstance(event, _OTHERS):
            self._finish_text()
        match event:
            case Token() if self._is_json:
                self._json += printable(event.text)
            case Token():
                self._say(printable(event.text))
            case Thinking():
                self._thought += printable(event.text)
            case BlockStop():
                self._finish_thought()
                self._cite(event)
            case Start():
                self._activity = "thinking"
            case Step():
                self._activity = "summarising older messages" if event.compacts else "thinking"
            case Compaction():
                self._finish_block()
                self._print_note("— older messages were summarised for the model —", "dim")
            case ToolStart():
                self._activity = f"preparing {printable(event.tool_name)}"
            case ToolApproval():
                self._activity = f"{printable(event.tool_name)} waits for somebody's approval"
            case ToolDecision():
                verdict = "denied" if event.decision == "deny" else "allowed"
                edited = "" if event.input is None else ", with another input"
                reason = f": {event.reason}" if event.reason else ""
                self._print_note(_fold(f"{verdict}{edited}{reason}"), "yellow")
            case ToolExecuting():
                self._activity = f"running {printable(event.tool_name)}"
                call = f"{event.tool_name} {json.dumps(event.input, ensure_ascii=False)}"
                self._print_note(_fold(call), "cyan")
            case ToolProgress():
                self._activity, self._fraction = printable(event.message), event.fraction
            case ToolResult():
                self._activity = "thinking"
                self._print_note(
                    f"→ {_fold(text_of(event.content))}", "red" if event.is_error else "green"
                )
                self._print_links(event.content)
            case Retry():
                self._activity = (
                    f"{printable(event.code)}, trying again in {event.delay_seconds:.0f} s"
                )
            case Rewind():
                self._finish_block()
                self._activity = "thinking"
                self._print_note("— interrupted; the answer begins again —", "yellow")
            case Done():
                self._finish_block()
                if notes := [source_line(source) for source in self._sources]:
                    self._print_note("\n".join(notes), "dim")
                self._print_note(_summary(event), "dim")

    def _say(self, text: str) -> None:
        text = self._space + text
        said = text.rstrip()
        self._space = text[len(said) :]
        self._print_markdown(self._answer.feed(said))

    def _cite(self, stop: BlockStop) -> None:
        # With a backslash: what follows in parentheses would make a link of it.
        marks = noted("", self._sources.numbers(stop.citations), r"\[{}]")
        self._print_markdown(self._answer.feed(marks))

    def _finish_block(self) -> None:
        self._finish_text()
        self._finish_thought()

    def _finish_text(self) -> None:
        self._print_markdown(self._answer.close())
        self._space = ""
        said, self._json = self._json, ""
        if said.strip():
            self._print(_json(said))

    def _finish_thought(self) -> None:
        thought, self._thought = self._thought, ""
        if thought.strip():
            self._print_note(thought.strip(), "dim italic")

    def _print_markdown(self, text: str) -> None:
        if text.strip():
            self._print(markdown(text))

    def _print_links(self, content: Content) -> None:
        if self._address_of is None or isinstance(content, str):
            return
        for block in content:
            if isinstance(block, ImageBlock | DocumentBlock):
                self._print_note(printable(self._address_of(block)), "blue underline")
            elif not isinstance(block, TextBlock) and block.url is not None:
                self._print_note(printable(block.url), "blue underline")

    def _print_note(self, text: str, style: str) -> None:
        self._print(Text(text, style))

    def _print(self, content: RenderableType) -> None:
        # First redraw the open part without it: rich prints above what was drawn last.
        self._live.refresh()
        self._console.print(content)
        self._console.print()

    def _open_part(self) -> RenderableType:
        status = self._status() or self._activity
        parts: list[RenderableType] = []
        if self._thought:
            parts.append(_Tail(Text(self._thought, "dim italic")))
        if self._json:
            parts.append(_Tail(Text(self._json)))
        if self._answer.open:
            parts.append(_Tail(markdown(self._answer.open)))
        if self._status() or not parts:
            parts.append(Spinner("dots", Text(status, "dim")))
            if self._fraction is not None:
                parts.append(ProgressBar(1.0, self._fraction, width=BAR_COLUMNS))
        return Group(*parts)


class _Tail:
    """The last lines of something, as many as the screen holds: what is redrawn must fit on it."""

    def __init__(self, content: RenderableType) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._content, options, pad=False)
        for line in lines[-max(console.height - 3, 1) :]:
            yield from line
            yield Segment.line()


def _json(text: str) -> RenderableType:
    try:
        return JSON(text)
    except ValueError:
        return Text(text)


def _fold(text: str) -> str:
    lines = printable(text).strip().splitlines() or ["(nothing)"]
    shown = [
        line if len(line) <= FOLDED_CHARACTERS else f"{line[:FOLDED_CHARACTERS]}…"
        for line in lines[:FOLDED_LINES]
    ]
    if len(lines) > FOLDED_LINES:
        shown.append(f"… {len(lines) - FOLDED_LINES} more lines")
    return "\n  ".join(shown)


def _summary(done: Done) -> str:
    usage = done.usage
    parts = [f"{usage.input_tokens} in", f"{usage.output_tokens} out"]
    if usage.cache_read_input_tokens:
        parts.append(f"{usage.cache_read_input_tokens} cached")
    parts.append(f"{done.duration_ms / 1000:.1f} s")
    if done.cost_usd is not None:
        parts.append(_cost(done.cost_usd))
    if done.stop_reason != StopReason.END_TURN:
        parts.append(printable(_reason(done)))
    return " · ".join(parts)


def _cost(usd: float) -> str:
    return "< $0.0001" if 0 < usd < 0.0001 else f"${usd:.4f}"


def _reason(done: Done) -> str:
    if done.refusal is None:
        return done.stop_reason
    category = f" ({done.refusal.category})" if done.refusal.category else ""
    explanation = f": {done.refusal.explanation}" if done.refusal.explanation else ""
    return f"{done.stop_reason}{category}{explanation}"

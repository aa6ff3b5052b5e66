"""A conversation on the terminal: prompt, answer, stop; knows the client only, not the server."""

import asyncio
import contextlib
import json
import shlex
import sys
from collections.abc import Coroutine, Sequence
from os.path import expanduser
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import click
from rich.console import Console
from rich.text import Text

from turnwire.conversation import Conversation
from turnwire.errors import (
    CannotConnect,
    ConnectionRefused,
    Rejected,
    TurnFailed,
    TurnwireError,
)
from turnwire.reply import Reply
from turnwire.session import State
from turnwire.terminal.display import Display, printable
from turnwire.terminal.keyboard import read_line
from turnwire.terminal.questions import Questions
from turnwire.turn import Turn
from turnwire.wire import Wire
from turnwire_protocol import (
    ClientTool,
    Code,
    ContentBlock,
    Effort,
    OutputFormat,
    TextBlock,
    ToolApproval,
    ToolChoice,
    text_of,
)

__all__ = ["AnswerOptions", "Dialogue", "explain"]

Result = TypeVar("Result")


class AnswerOptions(TypedDict, total=False):
    """What each `send` says of how to answer."""

    model: str
    effort: Effort
    temperature: float
    stop_sequences: Sequence[str]
    tool_choice: ToolChoice
    output_format: OutputFormat


class Dialogue:
    """One conversation on the terminal."""

    def __init__(
        self,
        wire: Wire,
        conversation: Conversation,
        offers: list[ClientTool],
        attachments: Sequence[ContentBlock],
        options: AnswerOptions,
    ) -> None:
        self._wire = wire
        self._conversation = conversation
        self._console = Console()
        self._can_ask = self._console.is_terminal and sys.stdin.isatty()
        self._offers = offers if self._can_ask else []
        self._options = options
        self._attachments = [*attachments]
        """They go with the next message."""
        self._current: asyncio.Task[Any] | None = None
        self._turn: Turn | None = None
        self._stopping: asyncio.Task[None] | None = None

    async def converse(self) -> bool:
        """Prompt, answer, and so on, until the user leaves."""
        if self._wire.is_demo:
            self._console.print("This is the demo: a simulator answers, not Claude.", style="dim")
        while True:
            self._console.print("[bold]> [/bold]", end="")
            line = await self._interruptible(read_line(sys.stdin.fileno()))
            if line is None:
                break
            if line.split()[:1] == ["/attach"]:
                await self._interruptible(self._attach(line))
            elif line.strip():
                await self.answer(line)
        self._console.print()
        if self._conversation.id:
            self._console.print(
                f"Go on with: turnwire chat --conversation {self._conversation.id}", style="dim"
            )
        return True

    async def answer(self, text: str) -> bool:
        """Send one message and show its answer; False if there is none."""
        try:
            return await self._interruptible(self._answer(text)) or False
        finally:
            self._turn = self._stopping = None

    def interrupt(self) -> None:
        """Ctrl-C: stops the answer; a second time, the wait for that; at the prompt, leaves."""
        if self._turn is not None and self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(self._turn))
        elif self._current is not None:
            self._current.cancel()

    async def _interruptible(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        # A task of its own, so that only the work is cancelled and not the program.
        self._current = current = asyncio.create_task(work)
        try:
            await asyncio.wait([current])
        finally:
            current.cancel()
            self._current = None
        return None if current.cancelled() else current.result()

    async def _answer(self, text: str) -> bool:
        try:
            if self._console.is_terminal:
                is_json = "output_format" in self._options
                with Display(self._console, self._status, is_json=is_json) as display:
                    self._turn = await self._send(text)
                    await self._follow(self._turn, display)
                await self._turn
            else:
                # At its end, because text once written to a pipe cannot be taken back, and an
                # attempt that fails takes back its own.
                self._turn = await self._send(text)
                async for event in self._turn:
                    if isinstance(event, ToolApproval):
                        waiting = f"{printable(event.tool_name)} waits for somebody's approval"
                        click.echo(waiting, err=True)
                return self._print(await self._turn)
        except (Rejected, TurnFailed) as error:
            partial = error.reply.text if isinstance(error, TurnFailed) and error.reply else ""
            if partial and not self._console.is_terminal:
                click.echo(partial)
            click.echo(f"Error: {explain(error)}", err=True)
            if error.code == Code.UNKNOWN_CONVERSATION and self._console.is_terminal:
                click.echo("The next message begins a new one.", err=True)
                self._conversation = self._wire.conversation()
            return False
        return True

    def _print(self, reply: Reply) -> bool:
        """The answer, for a program: its data where data was asked for."""
        if "output_format" not in self._options:
            click.echo(reply.text)
            return True
        if reply.output is None:
            click.echo(reply.text)
            click.echo(f"Error: the answer is no whole JSON: {reply.stop_reason}", err=True)
            return False
        click.echo(json.dumps(reply.output, ensure_ascii=False))
        return True

    async def _attach(self, line: str) -> None:
        try:
            for file in _files(line):
                self._attachments.append(await self._wire.upload(file))
        except ValueError as error:
            click.echo(f"Error: {error}", err=True)
        except TurnwireError as error:
            click.echo(f"Error: {explain(error)}", err=True)
        names = printable(text_of(self._attachments)).replace("\n\n", " ") or "nothing"
        self._console.print(Text(f"With the next message: {names}", "dim"))

    async def _send(self, text: str) -> Turn:
        content = [TextBlock(text=text), *self._attachments] if self._attachments else text
        turn = await self._conversation.send(content, client_tools=self._offers, **self._options)
        self._attachments = []
        return turn

    async def _follow(self, turn: Turn, display: Display) -> None:
        questions = Questions(self._console, self._conversation, display.hold)
        try:
            async for event in turn:
                if self._can_ask:
                    questions.see(event)
                display.show(event)
        finally:
            await questions.close()

    async def _stop(self, turn: Turn) -> None:
        # What goes wrong here, the turn itself tells as well.
        with contextlib.suppress(TurnwireError):
            await turn.cancel()

    def _status(self) -> str:
        if self._wire.state is State.HEALING:
            return "connection lost, connecting again"
        return "stopping" if self._stopping else ""


def explain(error: TurnwireError) -> str:
    """What went wrong, for the user, with what to do about it where that is known."""
    text = printable(str(error))
    match error:
        case ConnectionRefused(status=401 | 403 | 4501):
            return f"{text}\nGive the service's token with --token or TURNWIRE_TOKEN."
        case CannotConnect() if not isinstance(error, ConnectionRefused):
            return f"{text}\nIs it running? Start it with: turnwire serve"
        case _:
            return text


def _files(line: str) -> list[Path]:
    # As a shell would have it: terminals quote what is dropped on them.
    return [Path(expanduser(path)) for path in shlex.split(line)[1:]]

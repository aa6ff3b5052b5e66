"""What `turnwire chat` does with its options: a dialogue, or one answer."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
from pydantic import TypeAdapter, ValidationError

from turnwire.errors import TurnwireError
from turnwire.terminal.asker import AnswerOptions, Manner
from turnwire.terminal.once import Once
from turnwire.terminal.troubles import explain
from turnwire.wire import connect
from turnwire_protocol import (
    BadFrame,
    ClientTool,
    Effort,
    OutputFormat,
    ToolChoice,
    first_problem,
    parse_object,
)

if TYPE_CHECKING:
    from turnwire.terminal.keyboard import Keyboard

__all__ = ["Invocation", "run"]

PIECE_BYTES = 65536


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """The options, as `command.py` explains them."""

    url: str
    token: str | None
    conversation: str | None
    goes_on: bool
    model: str | None
    system: str | None
    effort: str | None
    temperature: float | None
    stop_sequences: tuple[str, ...]
    tool_choice: str | None
    output_schema: bytes | None
    allowed: frozenset[str]
    client_tools: bytes | None
    files: tuple[Path, ...]
    once: bool
    as_json: bool
    message: str


def run(given: Invocation) -> None:
    """Do it, and exit."""
    offers = [] if given.client_tools is None else _offers(given.client_tools)
    manner = Manner(options=_options(given), allowed=given.allowed, offers=offers)
    if sys.stdout is None:
        raise click.UsageError("standard output is closed: nobody would see an answer")
    text = _text(given.message)
    if not text and (given.once or not _is_terminal(sys.stdin)):
        raise click.UsageError("nothing to send: no MESSAGE, and standard input is empty")
    if not text and not sys.stdout.isatty():
        raise click.UsageError("no MESSAGE, and standard output is no terminal to prompt on")
    try:
        code = asyncio.run(_Chat(given, text, manner).run())
    except TurnwireError as error:
        raise click.ClickException(explain(error)) from error
    sys.exit(code)


def _is_terminal(stream: TextIO | None) -> bool:
    # There is none where its descriptor is closed (`<&-`).
    return stream is not None and stream.isatty()


def _text(message: str) -> str:
    """The message, and behind it what is piped in."""
    if sys.stdin is None or sys.stdin.isatty():
        return message
    # Piece by piece: a single `read` looks for Ctrl-C only where it waits, which among much it
    # never does.
    descriptor = sys.stdin.fileno()
    piped = b"".join(iter(lambda: os.read(descriptor, PIECE_BYTES), b"")).decode(errors="replace")
    return "\n\n".join(part for part in (message, piped) if part.strip())


def _offers(text: bytes) -> list[ClientTool]:
    try:
        return TypeAdapter(list[ClientTool]).validate_json(text)
    except ValidationError as error:
        raise click.BadParameter(first_problem(error), param_hint="--client-tools") from error


def _options(given: Invocation) -> AnswerOptions:
    options: AnswerOptions = {}
    if given.model is not None:
        options["model"] = given.model
    if given.system is not None:
        options["system"] = given.system
    if given.effort is not None:
        options["effort"] = TypeAdapter[Effort](Effort).validate_python(given.effort)
    if given.temperature is not None:
        options["temperature"] = given.temperature
    if given.stop_sequences:
        options["stop_sequences"] = given.stop_sequences
    if given.tool_choice is not None:
        options["tool_choice"] = _choice(given.tool_choice)
    if given.output_schema is not None:
        options["output_format"] = _format(given.output_schema)
    return options


def _choice(word: str) -> ToolChoice:
    is_name = word not in ("auto", "any", "none")
    try:
        return ToolChoice.model_validate(
            {"type": "tool", "name": word} if is_name else {"type": word}
        )
    except ValidationError as error:
        raise click.BadParameter(first_problem(error), param_hint="--tool-choice") from error


def _format(text: bytes) -> OutputFormat:
    try:
        return {"type": "json_schema", "schema": parse_object(text)}
    except BadFrame as error:
        raise click.BadParameter(str(error), param_hint="--output-schema") from error


class _Chat:
    def __init__(self, given: Invocation, text: str, manner: Manner) -> None:
        self._given = given
        self._text = text
        self._manner = manner

    async def run(self) -> int:
        given = self._given
        async with connect(given.url, given.token) as wire:
            conversation = given.conversation
            if given.goes_on:
                newest = await anext(wire.conversations(), None)
                conversation = None if newest is None else newest.conversation
            self._manner.attachments = [await wire.upload(file) for file in given.files]
            if self._text:
                once = Once(wire, self._manner, as_json=given.as_json, keyboard=_keyboard())
                _on_interrupt(once.interrupt)
                return await once.answer(wire.conversation(conversation), self._text)
            from turnwire.terminal.dialogue import Dialogue
            from turnwire.terminal.past import Past

            past = Past(given.url, given.token)
            dialogue = Dialogue(wire, past, self._manner, conversation=conversation)
            _on_interrupt(dialogue.interrupt)
            await dialogue.converse(given.url)
            return 0


def _keyboard() -> "Keyboard | None":
    if not (_is_terminal(sys.stdin) and sys.stdout.isatty()):
        return None
    # Late, like the dialogue: a script needs neither, and they are a third of a start.
    from turnwire.terminal.keyboard import Keyboard

    return Keyboard()


def _on_interrupt(interrupt: Callable[[], None]) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)

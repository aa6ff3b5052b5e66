"""`turnwire chat`: the command, its options, and what they lead to; knows no screen."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import BinaryIO, get_args

import click
from pydantic import TypeAdapter, ValidationError

from turnwire.errors import TurnwireError
from turnwire.terminal.dialogue import AnswerOptions, Dialogue, explain
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

__all__ = ["chat"]


@click.command()
@click.option(
    "--url",
    default="http://127.0.0.1:8000",
    show_default=True,
    envvar="TURNWIRE_URL",
    help="Where the service is.",
)
@click.option(
    "--token", envvar="TURNWIRE_TOKEN", help="What the service wants, if it does. [TURNWIRE_TOKEN]"
)
@click.option("--conversation", metavar="ID", help="Go on with this conversation (c_…).")
@click.option("--model", metavar="NAME", help="The model that answers.")
@click.option("--effort", type=click.Choice(get_args(Effort)), help="How hard the model tries.")
@click.option("--temperature", type=click.FloatRange(0, 1), help="For models that take one.")
@click.option(
    "--stop-sequence", "stop_sequences", multiple=True, help="A text that ends the answer."
)
@click.option(
    "--tool-choice",
    metavar="auto|any|none|NAME",
    help="Whether the model must call a tool, any or that one, first.",
)
@click.option(
    "--output-schema",
    type=click.File("rb"),
    help="The answer is JSON that fits the JSON Schema in this file.",
)
@click.option(
    "--client-tools",
    type=click.File("rb"),
    help="Tools that you answer yourself: a JSON list of {name, description, input_schema}.",
)
@click.option(
    "--attach",
    "files",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="An image or a PDF that goes with the first message.",
)
@click.argument("message", nargs=-1)
def chat(
    url: str,
    token: str | None,
    conversation: str | None,
    model: str | None,
    effort: Effort | None,
    temperature: float | None,
    stop_sequences: tuple[str, ...],
    tool_choice: str | None,
    output_schema: BinaryIO | None,
    client_tools: BinaryIO | None,
    files: tuple[Path, ...],
    message: tuple[str, ...],
) -> None:
    """Chat in the terminal.

    With MESSAGE, or with text on standard input, answers once and exits; otherwise prompts.
    Ctrl-C stops an answer; at the prompt, Ctrl-C and Ctrl-D leave, and "/attach FILE" has an image
    or a PDF go with the next message. Tool calls that need somebody's approval are asked about
    here, unless input or output is no terminal.
    """
    offers = [] if client_tools is None else _offers(client_tools.read())
    options: AnswerOptions = {}
    if model is not None:
        options["model"] = model
    if effort is not None:
        options["effort"] = effort
    if temperature is not None:
        options["temperature"] = temperature
    if stop_sequences:
        options["stop_sequences"] = stop_sequences
    if tool_choice is not None:
        options["tool_choice"] = _choice(tool_choice)
    if output_schema is not None:
        options["output_format"] = _format(output_schema.read())
    text = " ".join(message)
    if not text and not sys.stdin.isatty():
        text = sys.stdin.read()
        if not text.strip():
            raise click.UsageError("nothing to send: no MESSAGE, and standard input is empty")
    try:
        succeeded = asyncio.run(_chat(url, token, conversation, text, offers, files, options))
    except TurnwireError as error:
        raise click.ClickException(explain(error)) from error
    sys.exit(0 if succeeded else 1)


def _offers(text: bytes) -> list[ClientTool]:
    try:
        return TypeAdapter(list[ClientTool]).validate_json(text)
    except ValidationError as error:
        raise click.BadParameter(first_problem(error), param_hint="--client-tools") from error


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


async def _chat(
    url: str,
    token: str | None,
    conversation: str | None,
    text: str,
    offers: list[ClientTool],
    files: tuple[Path, ...],
    options: AnswerOptions,
) -> bool:
    async with connect(url, token) as wire:
        attachments = [await wire.upload(file) for file in files]
        dialogue = Dialogue(wire, wire.conversation(conversation), offers, attachments, options)
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, dialogue.interrupt)
        return await dialogue.answer(text) if text else await dialogue.converse()

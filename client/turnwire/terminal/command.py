"""`turnwire chat`: the command and its options. What they lead to is imported when it is run."""

import gc
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import click

__all__ = ["EFFORTS", "INTERRUPTED", "chat"]

INTERRUPTED = 128 + signal.SIGINT
"""What shells make of a program that Ctrl-C has ended."""

EFFORTS = ("low", "medium", "high", "xhigh", "max")
"""Those of the protocol, which is not imported for a help; a test compares them."""


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
@click.option(
    "-c", "--continue", "goes_on", is_flag=True, help="Go on with the conversation of last time."
)
@click.option("--model", metavar="NAME", help="The model that answers; /model says who may.")
@click.option("--system", help="What the model is told about how to answer.")
@click.option("--effort", type=click.Choice(EFFORTS), help="How hard the model tries.")
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
    "--allow",
    "allowed",
    metavar="TOOL",
    multiple=True,
    help="Let the model use this tool without asking; may be repeated.",
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
@click.option("-p", "--print", "once", is_flag=True, help="Answer once and exit, in any case.")
@click.option("--json", "as_json", is_flag=True, help="Answer once, as an object of JSON.")
@click.argument("message", nargs=-1)
def chat(
    url: str,
    token: str | None,
    conversation: str | None,
    goes_on: bool,
    model: str | None,
    system: str | None,
    effort: str | None,
    temperature: float | None,
    stop_sequences: tuple[str, ...],
    tool_choice: str | None,
    output_schema: BinaryIO | None,
    allowed: tuple[str, ...],
    client_tools: BinaryIO | None,
    files: tuple[Path, ...],
    once: bool,
    as_json: bool,
    message: tuple[str, ...],
) -> None:
    """Chat in the terminal.

    With MESSAGE, or with text on standard input, or both (first MESSAGE, then the text), answers
    once and exits: 0; 1 if the answer is refused, cut or none; 130 after Ctrl-C. Otherwise prompts:
    /help says what there is. Ctrl-C stops an answer. Tool calls that need somebody's approval are
    asked about here; where nobody can be asked, they are denied, unless allowed by --allow.
    """
    try:
        if conversation is not None and goes_on:
            raise click.UsageError("--conversation or --continue, not both")
        if find_spec("rich") is None:
            # It is loaded with the first answer: said now.
            raise ModuleNotFoundError("No module named 'rich'", name="rich")
        # What is imported stays: to look through it for garbage is a fifth of a start.
        gc.disable()
        from turnwire.terminal.program import Invocation, run

        gc.enable()
        run(
            Invocation(
                url=url,
                token=token,
                conversation=conversation,
                goes_on=goes_on,
                model=model,
                system=system,
                effort=effort,
                temperature=temperature,
                stop_sequences=stop_sequences,
                tool_choice=tool_choice,
                output_schema=None if output_schema is None else output_schema.read(),
                allowed=frozenset(allowed),
                client_tools=None if client_tools is None else client_tools.read(),
                files=files,
                once=once or as_json,
                as_json=as_json,
                message=" ".join(message),
            )
        )
    except KeyboardInterrupt:
        # Wherever it comes: while modules are loaded, or standard input is read.
        sys.exit(INTERRUPTED)

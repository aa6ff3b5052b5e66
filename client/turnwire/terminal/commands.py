"""What a line may be that is no message: `/help` and the others. Pure, and knows no keyboard."""

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["COMMANDS", "BadCommand", "Command", "Complete", "complete", "files", "parse"]

COMMANDS = {
    "/help": ("", "this list"),
    "/new": ("", "begin another conversation"),
    "/list": ("[WORDS]", "the last conversations, or those with WORDS in their title"),
    "/open": ("NUMBER|ID", "go on with one of them"),
    "/model": ("[NAME]", "who answers from now on; without NAME, who may"),
    "/attach": ("FILE…", "images and PDFs that go with the next message"),
    "/export": ("FILE", "write the conversation to a file: .json as JSON, others as Markdown"),
    "/quit": ("", "leave; so does Ctrl-D"),
}
"""By its name, what a command takes and does."""

Complete = Callable[[str], tuple[str, Sequence[str]]]
"""Of a text, what of its end is begun, and what that may be in whole."""


class BadCommand(ValueError):
    """There is no such command, or not so."""


@dataclass(frozen=True, slots=True)
class Command:
    """One of `COMMANDS`, with what follows its name."""

    name: str
    rest: str = ""


def parse(text: str) -> Command | None:
    """The command that a text is; None: it is a message.

    Raises:
        BadCommand: it looks like one, and there is none of the name.
    """
    if not text.startswith("/"):
        return None
    name, _, rest = text.strip().partition(" ")
    if name not in COMMANDS:
        raise BadCommand(
            f"There is no {name.splitlines()[0]}: /help says what there is. A message that begins"
            " with / needs a space before it"
        )
    return Command(name, rest.strip())


def files(rest: str) -> list[Path]:
    """The files that are named; as a shell would have it, because terminals quote what is dropped.

    Raises:
        BadCommand: a quotation mark has no second, or a name with `~` is nobody's.
    """
    try:
        return [Path(path).expanduser() for path in shlex.split(rest)]
    except (ValueError, RuntimeError) as error:
        raise BadCommand(str(error)) from error


def complete(text: str, *, models: Sequence[str]) -> tuple[str, Sequence[str]]:
    """See `Complete`."""
    name, space, rest = text.partition(" ")
    if not text.startswith("/") or "\n" in text:
        return "", ()
    if not space:
        return text, [
            f"{each} " if takes else each
            for each, (takes, _) in COMMANDS.items()
            if each.startswith(text)
        ]
    if name == "/model":
        return rest, [each for each in models if each.startswith(rest)]
    if name in ("/attach", "/export"):
        return _paths(rest)
    return "", ()


def _paths(rest: str) -> tuple[str, Sequence[str]]:
    begun = rest.split(" ")[-1]
    folder, _, start = begun.rpartition("/")
    try:
        place = Path(f"{folder}/").expanduser() if "/" in begun else Path()
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
    except (OSError, ValueError, RuntimeError):
        # There is none of that name, or of that user, or it cannot be one.
        return "", ()
    shown = [each for each in entries if each.name.startswith(start)]
    found = [
        f"{each.name}/" if each.is_dir() else each.name
        for each in shown
        if start or not each.name.startswith(".")
    ]
    return start, [shlex.quote(name) if " " in name else name for name in found]

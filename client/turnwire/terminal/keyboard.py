"""The keyboard: lines with editing, and what is typed while nobody asks; knows not what it is for.

prompt_toolkit edits. While an answer runs nobody reads, and the terminal keeps what is typed. It
would echo it in the middle of the answer, and make several messages of a pasted text, so it is told
to do neither (`quiet`), and what has gathered is what the next prompt begins with. A question that
comes up meanwhile must not be answered by it: `aside` takes it out of the way.
"""

import contextlib
import os
import sys
import termios
from collections.abc import Iterable, Iterator
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import DummyHistory, FileHistory, History, InMemoryHistory
from prompt_toolkit.input import create_input
from prompt_toolkit.input.typeahead import clear_typeahead, get_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.shortcuts import CompleteStyle

from turnwire.terminal.commands import Complete

__all__ = ["Keyboard"]

PASTES_ARE_MARKED = "\x1b[?2004h"
PASTES_ARE_NOT = "\x1b[?2004l"
"""https://invisible-island.net/xterm/ctlseqs/ctlseqs.html, "Bracketed Paste Mode"."""


class Keyboard:
    """The terminal on standard input; `complete` knows what a message may go on with."""

    def __init__(self, complete: Complete = lambda text: ("", ())) -> None:
        self._is_quiet = False
        self._input = create_input(sys.stdin)
        self._messages: PromptSession[str] = PromptSession(
            history=_history(),
            input=self._input,
            multiline=True,
            key_bindings=_bindings(),
            prompt_continuation="  ",
            completer=_Completer(complete),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            enable_open_in_editor=True,
        )
        self._answers: PromptSession[str] = PromptSession(history=DummyHistory(), input=self._input)

    async def message(self) -> str | None:
        """The next message, of any number of lines; None after Ctrl-D, or Ctrl-C on nothing."""
        while True:
            try:
                return await self._messages.prompt_async([("bold", "> ")], handle_sigint=False)
            except EOFError:
                return None
            except KeyboardInterrupt:
                if not self._messages.default_buffer.text:
                    return None
            finally:
                self._mark_again()

    async def answer(self, question: str) -> str | None:
        """One line, as the answer to a question; None after Ctrl-D.

        Raises:
            KeyboardInterrupt: Ctrl-C.
        """
        try:
            return await self._answers.prompt_async([("bold", question)], handle_sigint=False)
        except EOFError:
            return None
        finally:
            self._mark_again()

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """What is typed meanwhile is neither shown nor lost, and Ctrl-C is still a signal."""
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        silent = termios.tcgetattr(descriptor)
        silent[3] &= ~(termios.ECHO | termios.ICANON)
        # A return stays one: of a pasted text, prompt_toolkit makes its lines.
        silent[0] &= ~termios.ICRNL
        _tell(PASTES_ARE_MARKED)
        self._is_quiet = True
        termios.tcsetattr(descriptor, termios.TCSANOW, silent)
        try:
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSANOW, before)
            self._is_quiet = False
            _tell(PASTES_ARE_NOT)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """What has been typed so far is for the next message, and for no question before it."""
        typed = get_typeahead(self._input)
        with self._input.raw_mode():
            typed += self._input.read_keys()
        try:
            yield
        finally:
            # What was typed for a question that went away is for nobody.
            clear_typeahead(self._input)
            store_typeahead(self._input, typed)

    def _mark_again(self) -> None:
        # prompt_toolkit ends with marks off. Where nobody is quiet, nobody would end them later.
        if self._is_quiet:
            _tell(PASTES_ARE_MARKED)


class _Completer(Completer):
    def __init__(self, complete: Complete) -> None:
        self._complete = complete

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        begun, endings = self._complete(document.text_before_cursor)
        for ending in endings:
            yield Completion(ending, start_position=-len(begun))


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


def _history() -> History:
    """What was typed before, of this user only (XDG's state); nothing where it cannot be kept."""
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    path = Path(base).expanduser() / "turnwire" / "chat_history"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with path.open("ab"):
            return FileHistory(path)
    except OSError:
        return InMemoryHistory()


def _tell(sequence: str) -> None:
    sys.stdout.write(sequence)
    sys.stdout.flush()

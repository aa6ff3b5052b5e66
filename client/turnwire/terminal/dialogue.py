"""A dialogue on the terminal: prompt, answer, commands; knows the client only, not the server."""

from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from turnwire.catalogue import ConversationHead
from turnwire.conversation import Conversation
from turnwire.errors import TurnwireError
from turnwire.session import State
from turnwire.terminal.asker import Asker, Manner
from turnwire.terminal.commands import COMMANDS, BadCommand, Command, complete, files, parse
from turnwire.terminal.keyboard import Keyboard
from turnwire.terminal.past import Past
from turnwire.terminal.screen import Screen
from turnwire.terminal.text import printable
from turnwire.terminal.troubles import explain
from turnwire.wire import Wire
from turnwire_protocol import Code, text_of

__all__ = ["Dialogue"]

LISTED = 10
"""Conversations, the newest."""


class Dialogue:
    """What is said at the prompt, until the user leaves."""

    def __init__(self, wire: Wire, past: Past, manner: Manner, *, conversation: str | None) -> None:
        self._wire = wire
        self._past = past
        self._manner = manner
        self._screen = Screen()
        self._keyboard = Keyboard(self._complete)
        self._asker = Asker(wire, self._screen, manner, keyboard=self._keyboard)
        self._conversation: Conversation = wire.conversation(conversation)
        self._listed: Sequence[ConversationHead] = ()
        self.interrupt = self._asker.interrupt

    async def converse(self, url: str) -> None:
        """Greet, and answer, until the user leaves."""
        with self._keyboard.quiet():
            self._greet(url)
            if self._conversation.id is not None:
                await self._asker.run(self._try(self._open(self._conversation.id)))
            while (text := await self._asker.run(self._keyboard.message())) is not None:
                try:
                    command = parse(text)
                except BadCommand as error:
                    self._screen.warn(str(error))
                    continue
                if command is not None and command.name == "/quit":
                    break
                if command is not None:
                    await self._asker.run(self._try(self._obey(command)))
                elif text.strip():
                    await self._answer(text)
        if self._conversation.id is not None:
            self._screen.note(f"Go on with: turnwire chat --conversation {self._conversation.id}")

    def _greet(self, url: str) -> None:
        model = self._manner.options.get("model") or next(iter(self._wire.models), "")
        self._screen.note(f"Turnwire at {url}" + (f" · {model}" if model else ""))
        if self._wire.is_demo:
            self._screen.note("This is the demo: a simulator answers, not Claude.")
        self._screen.note("/help says what there is. Ctrl-C stops an answer, Ctrl-D leaves.")

    async def _answer(self, text: str) -> None:
        try:
            await self._asker.ask(self._conversation, text)
        except TurnwireError as error:
            if self._wire.state is State.CLOSED:
                raise  # Nothing more can be said.
            self._screen.warn(f"Error: {explain(error)}")
            if getattr(error, "code", None) == Code.UNKNOWN_CONVERSATION:
                self._screen.warn("The next message begins a new one.")
                self._conversation = self._wire.conversation()

    async def _try(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except BadCommand as error:
            self._screen.warn(f"Error: {error}")
        except TurnwireError as error:
            self._screen.warn(f"Error: {explain(error)}")

    async def _obey(self, command: Command) -> None:
        match command:
            case Command("/help"):
                self._help()
            case Command("/new"):
                self._conversation = self._wire.conversation()
                self._screen.note("A new conversation.")
            case Command("/list", words):
                self._listed = await self._newest(words)
                self._list()
            case Command("/open", which):
                await self._open(self._id_of(which))
            case Command("/model", name):
                self._choose(name)
            case Command("/attach", names):
                await self._attach(files(names))
            case Command("/export", names):
                await self._export(files(names))

    async def _newest(self, words: str) -> list[ConversationHead]:
        heads: list[ConversationHead] = []
        async for head in self._wire.conversations(query=words or None):
            heads.append(head)
            if len(heads) == LISTED:
                break
        return heads

    def _list(self) -> None:
        # Late, as all that draws.
        from turnwire.terminal.retelling import list_heads

        list_heads(self._screen.console, self._listed)

    def _help(self) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        for name, (takes, does) in COMMANDS.items():
            table.add_row(Text(f"{name} {takes}"), Text(does))
        table.add_row(Text("Alt-Enter"), Text("another line; a pasted text is one message"))
        self._screen.console.print(table)

    def _id_of(self, which: str) -> str:
        if which.isdecimal():
            # As text: of very long numbers Python makes none.
            listed = {str(number): head for number, head in enumerate(self._listed, 1)}
            if which not in listed:
                raise BadCommand(f"{which} is not in the list: /list shows it")
            return listed[which].conversation
        if not which:
            raise BadCommand("which? A number of /list, or an id")
        return which

    async def _open(self, id: str) -> None:
        turns, has_older = await self._past.read(id)
        self._conversation = self._wire.conversation(id)
        from turnwire.terminal.retelling import retell

        retell(self._screen.console, turns, has_older=has_older)

    def _choose(self, name: str) -> None:
        models = self._wire.models
        if name and name not in models:
            raise BadCommand(f"{name} is not served here: {', '.join(models)}")
        if name:
            self._manner.options["model"] = name
        chosen = self._manner.options.get("model") or next(iter(models), "")
        for model in models:
            self._screen.note(f"{'*' if model == chosen else ' '} {model}")

    async def _attach(self, paths: Sequence[Path]) -> None:
        attachments = self._manner.attachments
        try:
            for path in paths:
                attachments.append(await self._wire.upload(path))
        finally:
            names = printable(text_of(attachments)).replace("\n\n", " ") or "nothing"
            self._screen.note(f"With the next message: {names}")

    async def _export(self, paths: Sequence[Path]) -> None:
        if len(paths) != 1:
            raise BadCommand("one file, please")
        if self._conversation.id is None:
            raise BadCommand("nothing has been said yet")
        as_json = paths[0].suffix == ".json"
        document = await self._conversation.export("json" if as_json else "markdown")
        content = document.encode()
        try:
            with paths[0].open("xb") as file:
                file.write(content)
        except OSError as error:
            raise BadCommand(f"{paths[0]}: {error.strerror}") from error
        except ValueError as error:  # It has a NUL.
            raise BadCommand(f"{paths[0]}: {error}") from error
        self._screen.note(f"{paths[0]}: {len(content)} bytes")

    def _complete(self, text: str) -> tuple[str, Sequence[str]]:
        return complete(text, models=self._wire.models)

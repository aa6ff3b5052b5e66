"""One message and its answer on a terminal or a pipe: sent, shown, asked about, stopped."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from turnwire.conversation import Conversation
from turnwire.errors import TurnwireError
from turnwire.reply import Reply
from turnwire.session import State
from turnwire.terminal.screen import Screen
from turnwire.turn import Turn
from turnwire.wire import Wire
from turnwire_protocol import (
    ClientTool,
    ContentBlock,
    Effort,
    Event,
    OutputFormat,
    TextBlock,
    ToolChoice,
)

if TYPE_CHECKING:
    from turnwire.terminal.keyboard import Keyboard

__all__ = ["AnswerOptions", "Asker", "Manner"]

Result = TypeVar("Result")


class AnswerOptions(TypedDict, total=False):
    """What each `send` says of how to answer."""

    model: str
    system: str
    effort: Effort
    temperature: float
    stop_sequences: Sequence[str]
    tool_choice: ToolChoice
    output_format: OutputFormat


@dataclass(kw_only=True)
class Manner:
    """How messages are sent: by options of the command, which some commands of `chat` change."""

    options: AnswerOptions = field(default_factory=AnswerOptions)
    offers: list[ClientTool] = field(default_factory=list)
    allowed: frozenset[str] = frozenset()
    """Tools whose calls need nobody to be asked here."""
    attachments: list[ContentBlock] = field(default_factory=list)
    """They go with the next message."""


class Asker:
    """Sends messages, one at a time. Without a `keyboard` nobody can be asked."""

    def __init__(
        self, wire: Wire, screen: Screen, manner: Manner, *, keyboard: "Keyboard | None"
    ) -> None:
        self.was_interrupted = False
        """Whether Ctrl-C has stopped the last answer, or the wait for it."""
        self._wire = wire
        self._screen = screen
        self._manner = manner
        self._keyboard = keyboard if screen.is_terminal else None
        self._current: asyncio.Task[Any] | None = None
        self._is_asking = False
        self._turn: Turn | None = None
        self._is_stopping = False
        self._stopping: asyncio.Task[None] | None = None

    async def ask(self, conversation: Conversation, text: str) -> Reply | None:
        """Send a message and see its turn to the end; None: that was not waited for.

        Raises:
            TurnwireError: as `Conversation.send` and `Turn` do.
        """
        self.was_interrupted, self._is_asking = False, True
        try:
            return await self.run(self._ask(conversation, text))
        finally:
            self._is_asking = self._is_stopping = False
            self._turn = self._stopping = None

    def interrupt(self) -> None:
        """Ctrl-C: stops the answer; a second time, or where there is none, whatever runs."""
        self.was_interrupted = True
        if self._is_asking and not self._is_stopping:
            self._is_stopping = True
            # A message that is on its way makes a turn all the same, which is stopped once known.
            self._stop(self._turn)
        elif self._current is not None:
            self._current.cancel()

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """What the work gives; None if it was interrupted."""
        # A task of its own, so that only the work is cancelled and not the program.
        self._current = current = asyncio.create_task(work)
        try:
            await asyncio.wait([current])
        finally:
            current.cancel()
            self._current = None
        return None if current.cancelled() else current.result()

    async def _ask(self, conversation: Conversation, text: str) -> Reply:
        if self._screen.is_terminal:
            # Late: whoever is at the prompt need not wait for it.
            from turnwire.terminal.display import Display

            is_json = "output_format" in self._manner.options
            with Display(
                self._screen.console, self._status, self._wire.address_of, is_json=is_json
            ) as display:
                turn = await self._send(conversation, text)
                await self._follow(turn, conversation, display.show, display.hold)
        else:
            turn = await self._send(conversation, text)
            await self._follow(turn, conversation, _unseen, _unseen)
        return await turn

    async def _send(self, conversation: Conversation, text: str) -> Turn:
        manner = self._manner
        content = [TextBlock(text=text), *manner.attachments] if manner.attachments else text
        self._turn = await conversation.send(
            content, client_tools=manner.offers if self._keyboard else (), **manner.options
        )
        manner.attachments = []
        if self._is_stopping:
            self._stop(self._turn)
        return self._turn

    async def _follow(
        self,
        turn: Turn,
        conversation: Conversation,
        show: Callable[[Event], None],
        hold: Callable[[bool], None],
    ) -> None:
        # Late, like the display.
        from turnwire.terminal.questions import Questions

        screen = self._screen if self._keyboard else Screen(is_error=True)
        questions = Questions(
            screen.console,
            conversation,
            hold,
            keyboard=self._keyboard,
            allowed=self._manner.allowed,
            interrupt=self.interrupt,
        )
        try:
            async for event in turn:
                questions.see(event)
                show(event)
        finally:
            await questions.close()

    def _stop(self, turn: Turn | None) -> None:
        if turn is not None:
            self._stopping = asyncio.create_task(self._cancel(turn))

    async def _cancel(self, turn: Turn) -> None:
        # What goes wrong here, the turn itself tells as well.
        with contextlib.suppress(TurnwireError):
            await turn.cancel()

    def _status(self) -> str:
        if self._wire.state is State.HEALING:
            return "connection lost, connecting again"
        return "stopping" if self._is_stopping else ""


def _unseen(of: Event | bool) -> None:
    """Nothing is shown of a turn until its end where text cannot be taken back: an attempt that
    fails takes back its own."""

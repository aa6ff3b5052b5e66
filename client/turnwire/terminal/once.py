"""One message, one answer, for scripts: text or JSON on stdout, what is wrong on stderr."""

import contextlib
import errno
import json
import sys
from typing import TYPE_CHECKING, Any

import click

from turnwire.conversation import Conversation
from turnwire.errors import ConversationClosed, Rejected, TurnFailed
from turnwire.reply import Reply
from turnwire.terminal.asker import Asker, Manner
from turnwire.terminal.command import INTERRUPTED
from turnwire.terminal.screen import Screen
from turnwire.terminal.troubles import explain, shortfall
from turnwire.wire import Wire

if TYPE_CHECKING:
    from turnwire.terminal.keyboard import Keyboard

__all__ = ["Once"]

Failure = Rejected | TurnFailed | ConversationClosed


class Once:
    """The answer to one message; as JSON, if so wanted."""

    def __init__(
        self, wire: Wire, manner: Manner, *, as_json: bool, keyboard: "Keyboard | None"
    ) -> None:
        self._as_json = as_json
        self._wants_data = "output_format" in manner.options
        self._screen = Screen(is_error=as_json)
        self._asker = Asker(wire, self._screen, manner, keyboard=keyboard)
        self.interrupt = self._asker.interrupt

    async def answer(self, conversation: Conversation, text: str) -> int:
        """Answer, and give the exit code: 0 if the answer is whole, 1 if it is refused, cut or
        none, 130 after Ctrl-C."""
        reply: Reply | None = None
        failure: Failure | None = None
        try:
            reply = await self._asker.ask(conversation, text)
        except (Rejected, TurnFailed, ConversationClosed) as error:
            failure = error
            reply = error.reply if isinstance(error, TurnFailed) else None
        if self._as_json:
            _print(json.dumps(_form(conversation, reply, failure), ensure_ascii=False))
        elif reply is not None and not self._screen.is_terminal and (reply.text or not failure):
            _print(self._text(reply))
        if self._asker.was_interrupted:
            return INTERRUPTED
        problem = f"Error: {explain(failure)}" if failure else reply and self._shortfall(reply)
        if problem:
            click.echo(problem, err=True)
        return 1 if problem else 0

    def _text(self, reply: Reply) -> str:
        """The answer, for a program: its data where data was asked for."""
        return reply.text if reply.output is None else json.dumps(reply.output, ensure_ascii=False)

    def _shortfall(self, reply: Reply) -> str | None:
        if self._wants_data and reply.output is None:
            return f"Error: the answer is no whole JSON: {reply.stop_reason}"
        return shortfall(reply)


def _print(text: str) -> None:
    try:
        click.echo(text)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # click ends the program: who has read enough wants no word of it.
        # What could not be written would be tried again at the end.
        with contextlib.suppress(OSError):
            sys.stdout.close()
        raise click.ClickException(f"standard output: {error.strerror}") from error


def _form(
    conversation: Conversation, reply: Reply | None, failure: Failure | None
) -> dict[str, Any]:
    form: dict[str, Any] = {}
    if conversation.id is not None:
        form["conversation"] = conversation.id
    if reply is not None:
        form |= {
            "turn": reply.turn,
            "text": reply.text,
            "stop_reason": reply.stop_reason,
            "usage": reply.usage.model_dump(exclude_none=True),
        }
        if reply.output is not None:
            form["output"] = reply.output
        if reply.refusal is not None:
            form["refusal"] = reply.refusal.model_dump(exclude_none=True)
    if failure is not None:
        form["error"] = {"code": failure.code, "message": failure.message}
    return form

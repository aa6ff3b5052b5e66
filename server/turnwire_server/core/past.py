"""A past: what was said in another service, which a conversation begins with.

It becomes ordinary turns, so that neither a reader nor the model sees a difference.
"""

import secrets
from collections.abc import Iterable
from typing import NamedTuple

from pydantic import ValidationError

from turnwire_protocol import (
    BlockStop,
    Code,
    Content,
    Done,
    Message,
    SendBody,
    Start,
    Step,
    StopReason,
    Token,
    TotalUsage,
    first_problem,
)
from turnwire_protocol.text import clean
from turnwire_server.core.folded_log import FoldedLog
from turnwire_server.core.log.items import Private
from turnwire_server.core.turn_index import fingerprint_of
from turnwire_server.errors import Rejected

__all__ = ["PAST_MODEL", "PastTurn", "checked", "write_past"]

PAST_MODEL = "imported"
"""The `model` of turns that were answered elsewhere."""


class PastTurn(NamedTuple):
    """A turn of another service."""

    content: Content
    key: str | None = None
    answer: str = ""
    """Its text; empty where there was none."""


def checked(past: Iterable[PastTurn]) -> list[PastTurn]:
    """The past of an app's own code, as it can be written: half a past would stay, if the rest of
    it could not.

    Raises:
        Rejected: one of them is no turn, or there is none.
    """
    turns = []
    for number, said in enumerate(past):
        where = f"past.{number}"
        if not (isinstance(said, PastTurn) and isinstance(said.answer, str)):
            raise Rejected(Code.BAD_COMMAND, f"{where}: a PastTurn, and its answer a text, please")
        try:
            body = SendBody(content=said.content, key=said.key)
        except ValidationError as error:
            raise Rejected(Code.BAD_COMMAND, f"{where}.{first_problem(error)}") from None
        turns.append(PastTurn(body.content, body.key, clean(said.answer)))
    if not turns:
        raise Rejected(Code.BAD_COMMAND, "past: one turn at least")
    return turns


def write_past(log: FoldedLog, past: PastTurn, *, has_message: bool) -> None:
    """Append the turn, whole. `has_message`: with the message that follows, or not at all."""
    turn, write, place = f"t_{secrets.token_hex(8)}", log.write, log.place
    fingerprint = fingerprint_of(SendBody(content=past.content, key=past.key))
    private: Private = {"fingerprint": fingerprint}
    if has_message:
        private["is_past"] = True
    write(Message(**place(turn), content=past.content, key=past.key), private)
    write(Start(**place(turn), model=PAST_MODEL))
    has_answer = bool(past.answer.strip())
    if has_answer:
        write(Step(**place(turn), step=1, attempt=1, model=PAST_MODEL))
        log.write_delta(Token, turn, 0, past.answer)
        write(BlockStop(**place(turn), block=0))
    end, usage, steps = StopReason.END_TURN, TotalUsage(), int(has_answer)
    write(Done(**place(turn), stop_reason=end, usage=usage, steps=steps, duration_ms=0))

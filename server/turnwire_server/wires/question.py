"""Which turn a request of another front end asks for. Pure.

Their requests carry a whole conversation; the log has it already, and the log wins. Only the last
user message counts: a list that is trimmed, stale or forgotten makes no difference.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from turnwire_protocol import Content
from turnwire_server.core.turn_index import Record, digest_of

__all__ = ["Question", "asked", "key_of", "turn_of"]

_MAX_KEY_CHARS = 90
"""Of a message's id; a key has 128, and `~` with a turn's id has to fit behind it."""


class Question(NamedTuple):
    """What to send, or whose answer to read."""

    attach: Record | None = None
    """The turn that answers already; nothing is to be sent."""
    key: str | None = None
    """The key of the send; None where the message has no id to be known by."""
    retract: str | None = None
    """The turn that the send takes back, with all after it."""


def key_of(message: str) -> str:
    """The key of the send of a message with this id."""
    if len(message) > _MAX_KEY_CHARS or "~" in message:
        return hashlib.sha256(message.encode()).hexdigest()
    return message


def turn_of(turns: Sequence[Record], message: str) -> Record | None:
    """The turn that answers the message now: the last one that was sent for it and is not void."""
    return _last_of([turn for turn in turns if not turn.is_void], key_of(message))


def _last_of(turns: Sequence[Record], key: str) -> Record | None:
    # A message that was sent without a key goes by the id of its turn.
    names = ((turn, (turn.key or turn.turn).partition("~")[0]) for turn in reversed(turns))
    return next((turn for turn, name in names if name == key), None)


def asked(
    turns: Sequence[Record], *, message: str, content: Content, again: bool, again_if_done: bool
) -> Question:
    """What a request means whose last user message is this one.

    `again`: it wants another answer in place of the one there is. `again_if_done`: it does if that
    one is done. A request that comes twice, or from two tabs, reads what the first one began.
    """
    if not message:
        return Question()
    key, record = key_of(message), turn_of(turns, message)
    if record is None:
        # Where it was taken back with an older one, its key is used up.
        void = _last_of(turns, key)
        return Question(key=key if void is None else f"{key}~{void.turn}")
    is_same = record.content == digest_of(content)
    is_done = record.done_seq is not None
    is_another = "~" in (record.key or "")
    if is_same and (not again or (is_another and not is_done)) and not (again_if_done and is_done):
        return Question(attach=record)
    # Derived from the turn it replaces: the same request once more is the same send.
    return Question(key=f"{key}~{record.turn}", retract=record.turn)

"""What one turn shows the model behind one prefix, in the form of a request. Pure.

What is shown is encoded once, for the digest, and goes into requests as these bytes; so the turns
of a long conversation, shown again and again, cost a request little more than their sending.
"""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from pydantic_core import to_json

from turnwire_server.core.history.answer import Segment, without_thinking
from turnwire_server.model.port import ApiBlock, ApiMessage, encoded_message

__all__ = ["Shown", "append", "digest", "digest_behind", "show"]


class Shown(NamedTuple):
    """What a turn shows."""

    turn: str
    before: str
    """The prefix it is behind."""
    segments: list[Segment]
    messages: list[ApiMessage]
    """The same, with their JSON; of two that had to be joined there is none."""
    size: int
    """The bytes of that."""
    after: str
    """The prefix with it."""


def show(
    turn: str,
    segments: list[Segment],
    prefixes: Mapping[int, str],
    before: str,
    *,
    drops_thinking: bool,
) -> Shown:
    """The segments behind this prefix, without thinking that belongs to another.

    `prefixes`: by step, the prefix that its thinking is bound to.
    """
    prefix, kept = before, []
    messages: list[ApiMessage] = []
    size = 0
    for segment in segments:
        content = segment.content
        if segment.role == "assistant":
            thought_behind = prefixes.get(segment.step, prefix)
            if drops_thinking or thought_behind != prefix:
                content = without_thinking(content)
        if content:
            same = content is segment.content
            kept.append(segment if same else segment._replace(content=content))
            encoded = to_json(content)
            prefix = _digest(prefix, b'["%b",%b]' % (segment.role.encode(), encoded))
            message: ApiMessage = {"role": segment.role, "content": content}
            json = b'{"role":"%b","content":%b}' % (segment.role.encode(), encoded)
            append(messages, [encoded_message(message, json)], after=0)
            size += len(encoded)
    return Shown(turn, before, kept, messages, size, prefix)


def append(messages: list[ApiMessage], shown: list[ApiMessage], *, after: int) -> None:
    """Add what follows. A step after `pause_turn` goes on with the message of the step before,
    unless that is among the first `after`, which stay as they are."""
    if shown and len(messages) > after and messages[-1]["role"] == shown[0]["role"] == "assistant":
        content = [*_blocks(messages[-1]), *_blocks(shown[0])]
        messages[-1] = {"role": "assistant", "content": content}
        messages += shown[1:]
    else:
        messages += shown


def digest(prefix: str, shown: object) -> str:
    """The prefix with what is shown behind it."""
    return _digest(prefix, to_json(shown))


def digest_behind(prefix: str, segment: Segment) -> str:
    """The prefix with this segment."""
    return digest(prefix, (segment.role, segment.content))


def _digest(prefix: str, encoded: bytes) -> str:
    # Logs keep these: the JSON of the pair it is, and stays.
    told = b'["%b",%b]' % (prefix.encode(), encoded)
    return hashlib.blake2b(told, digest_size=12).hexdigest()


def _blocks(message: ApiMessage) -> list[ApiBlock]:
    content = message["content"]
    assert isinstance(content, list), "the model's messages are made of blocks"
    return content

"""Where a request stands in the log of its conversation. Pure.

A list of messages has no ids, and is not always whole: clients shorten it from the front, rewrite
messages that they have sent, and ask beside the conversation, with its name, for its title. So it
is laid along the log by what its messages say; what does not fit is answered elsewhere and leaves
the log alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

from turnwire_server.core.turn_index import Record

__all__ = ["Position", "position_of"]

_MAX_RUN = 32
"""Messages that are compared to tell apart places where the same was said."""
_MAX_CANDIDATES = 512
"""Such places that are looked at, the last ones: a list is as long as its sender likes."""


class Position(NamedTuple):
    """Where the last message of the list belongs."""

    is_beside: bool = False
    """Nowhere: the list is of another conversation, or of one that has gone on elsewhere."""
    record: Record | None = None
    """The turn that stands there now; None: it goes on behind the last one."""


BESIDE = Position(is_beside=True)


def position_of(
    turns: Sequence[Record], asked: Sequence[bytes], *, is_answered: Sequence[bool]
) -> Position:
    """`turns` are those that are not void; `asked` the digests of the list's user messages, and
    `is_answered` whether the list has an answer to each.
    """
    if not turns:
        return Position()
    at: dict[bytes, list[int]] = {}
    for index, turn in enumerate(turns):
        at.setdefault(turn.content, []).append(index)
    last = len(asked) - 1
    if last == 0:
        # Nothing but its own words tells whether it is of this conversation.
        return Position(record=turns[0]) if asked[0] == turns[0].content else BESIDE
    for known in range(last - 1, -1, -1):
        if candidates := at.get(asked[known]):
            break
    else:
        return BESIDE

    def run(index: int) -> int:
        length = 1
        while (
            length < min(_MAX_RUN, known + 1, index + 1)
            and asked[known - length] == turns[index - length].content
        ):
            length += 1
        return length

    # Where that leaves more than one, the list is whole, as most are.
    anchor = max(
        candidates[-_MAX_CANDIDATES:], key=lambda index: (run(index), index == known, index)
    )
    index = anchor + last - known
    if index < len(turns):
        return Position(record=turns[index])
    missing = range(known + 1, last)
    is_next = index == len(turns)
    # What was asked in vain, the log need not have; an answer that it has not was given elsewhere.
    if is_next or not any(is_answered[index] for index in missing):
        return Position()
    return BESIDE

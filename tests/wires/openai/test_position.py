"""Where a list of messages without ids stands in a log."""

import pytest

from turnwire_server.core.turn_index import Record, digest_of
from turnwire_server.wires.openai.position import BESIDE, position_of

TITLE = "### Task: find a title"
NEXT = "next"


def placed(log: str, asked: list[str], unanswered: tuple[int, ...] = ()) -> int | str:
    """The index of the turn that a list belongs to, of a log of one-letter messages."""
    turns = [
        Record(f"t_{index}", 1, 0, None, "", digest_of(word), [], [])
        for index, word in enumerate(log)
    ]
    answered = [index not in unanswered for index in range(len(asked))]
    position = position_of(turns, [digest_of(word) for word in asked], is_answered=answered)
    if position is BESIDE:
        return "beside"
    return NEXT if position.record is None else turns.index(position.record)


@pytest.mark.parametrize(
    ("log", "asked", "place"),
    [
        ("", ["a"], NEXT),
        ("", ["a", "b"], NEXT),
        ("a", ["a", "b"], NEXT),
        ("abc", ["a", "b", "c", "d"], NEXT),
        # Another answer, and another question in its place.
        ("a", ["a"], 0),
        ("abc", ["a"], 0),
        ("abc", ["a", "b", "c"], 2),
        ("abc", ["a", "b"], 1),
        ("abc", ["a", "x"], 1),
        ("abc", ["a", "b", "x"], 2),
        # Shortened from the front.
        ("abcd", ["c", "d", "e"], NEXT),
        ("abcd", ["c", "d"], 3),
        ("abcd", ["d", "e"], NEXT),
        # Rewritten after it was sent: what has stayed tells where it is.
        ("abc", ["a", "x", "c", "d"], NEXT),
        ("abc", ["a", "b", "x", "d"], NEXT),
        ("abc", ["a", "x", "y"], 2),
        # The same words more than once: what stands before them tells where.
        ("ayyy", ["a", "y", "y"], 2),
        ("ayby", ["a", "y", "b", "y", "c"], NEXT),
        ("ayby", ["a", "y", "c"], 2),
        ("yyy", ["y", "y", "y", "y"], NEXT),
        ("yyy", ["y", "y"], 1),
        # Nothing of it is known: it is answered beside the log, which stays as it is.
        ("abc", [TITLE], "beside"),
        ("abc", ["c"], "beside"),
        ("abc", ["x", "y"], "beside"),
        ("abc", ["x", "y", "z", "w", "v"], "beside"),
        # An answer that the log has not was given elsewhere.
        ("a", ["a", "x", "b"], "beside"),
    ],
)
def test_what_the_messages_say_tells_where_the_last_one_belongs(
    log: str, asked: list[str], place: int | str
) -> None:
    assert placed(log, asked) == place


def test_what_was_asked_in_vain_the_log_need_not_have() -> None:
    assert placed("a", ["a", "refused", "b"], unanswered=(1,)) == NEXT


def test_of_long_lists_of_the_same_words_the_end_counts() -> None:
    assert placed("y" * 2000, ["y"] * 1999 + ["x"]) == 1999
    assert placed("a" + "y" * 200, ["a", *["y"] * 10, "x"]) == 11

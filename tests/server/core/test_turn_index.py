"""The index of turns: what a send begins after, what it voids, and what a withdrawn one leaves."""

from collections.abc import Callable

from tests.server.core.log_author import Author
from turnwire_protocol import Message
from turnwire_server.core.turn_index import TurnIndex


def indexed(write: Callable[[Author], None]) -> TurnIndex:
    """The index of a log that `write` has written."""
    author, index = Author.new(), TurnIndex()
    write(author)
    for item in author.items():
        index.apply(item)
    return index


def finished(author: Author, *turns: str) -> None:
    """Turns with a message and an end, one after another; each takes three seqs."""
    for turn in turns:
        author.ask(turn)
        author.done()


def edited(author: Author) -> None:
    """Three turns; the second and third are void, since the fourth was sent in their place."""
    finished(author, "t_1", "t_2", "t_3")
    author.turn = "t_4"
    author.retract("t_2")
    author.write(Message, content="edit", key="k-4")


def edited_again(author: Author) -> None:
    """The same, and then the first turn edited, which voids what is left."""
    edited(author)
    author.done()
    author.turn = "t_5"
    author.retract("t_1")
    author.write(Message, content="edit of the first", key="k-5")


def test_a_plain_message_begins_after_the_event_before_it() -> None:
    index = indexed(lambda author: finished(author, "t_1", "t_2"))
    assert [(index.of(turn).after, index.of(turn).seq) for turn in ("t_1", "t_2")] == [
        (0, 1),
        (3, 4),
    ]


def test_a_message_that_retracts_begins_before_its_retract() -> None:
    record = indexed(edited).of("t_4")
    assert (record.after, record.seq) == (9, 11)


def test_a_message_after_one_that_retracted_begins_right_before_itself() -> None:
    def follow(author: Author) -> None:
        edited(author)
        author.done()
        finished(author, "t_5")

    record = indexed(follow).of("t_5")
    assert (record.after, record.seq, record.voids) == (12, 13, [])


def test_void_turns_are_not_among_those_since_an_older_one() -> None:
    assert indexed(edited).since("t_1") == ["t_1", "t_4"]


def test_a_void_turn_and_an_unknown_one_have_nothing_since_them() -> None:
    index = indexed(edited)
    assert (index.since("t_2"), index.since("t_3"), index.since("t_none")) == ([], [], [])


def test_an_edit_voids_only_what_was_not_void_before() -> None:
    assert indexed(edited_again).of("t_5").voids == ["t_1", "t_4"]


def test_a_withdrawn_edit_gives_back_its_key_and_what_it_had_voided() -> None:
    index = indexed(edited_again)
    assert index.is_open
    index.forget(index.of("t_5"))
    assert (index.since("t_1"), index.of_key("k-5"), index.is_open) == (["t_1", "t_4"], None, False)
    assert index.of_key("k-4") is index.of("t_4")

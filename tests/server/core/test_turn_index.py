"""The index of turns: what a send begins after and voids, what a withdrawn one leaves; pages."""

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.oracle import check_end, fold_of_end
from tests.server.core.log_author import Author
from turnwire_protocol import Code, FoldedConversation, Message, Retract, Token, fold
from turnwire_server.core.turn_index import TurnIndex
from turnwire_server.errors import Rejected


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


# The end of a log, and the pages before it


@st.composite
def logs(draw: st.DrawFn) -> Author:
    """A log of a few turns: some wait while another runs, some are void, the last may run on."""
    author, waiting, told = Author.new(), list[str](), list[str]()
    names = (f"t_{number}" for number in itertools.count(1))
    for move in draw(st.lists(st.sampled_from(["ask", "end", "speak", "edit"]), max_size=30)):
        if move == "ask":
            waiting.append(name := next(names))
            told.append(name)
            author.turn = name
            author.write(Message, content=name)
        elif move == "speak" and waiting:
            author.turn = waiting[0]
            author.log.append_delta(Token, waiting[0], 0, "word ")
        elif move == "end" and waiting:
            author.turn = waiting.pop(0)
            author.done()
        elif move == "edit" and told:
            place = draw(st.integers(0, len(told) - 1))
            for turn in [turn for turn in told[place:] if turn in waiting]:
                waiting.remove(turn)
                author.turn = turn
                author.done("cancelled")
            author.turn = next(names)
            author.retract(told[place])
            author.write(Message, content="edit")
            told[place:] = [author.turn]
            waiting.append(author.turn)
    return author


def turns_of(events: FoldedConversation) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = events.to_dict()["turns"]
    return turns


@settings(max_examples=400, deadline=None)
@given(logs(), st.integers(1, 4), st.data())
def test_the_end_of_a_log_and_the_pages_before_it_are_the_whole(
    author: Author, number: int, data: st.DataObject
) -> None:
    index = TurnIndex()
    for item in author.items():
        index.apply(item)
    head = author.log.head
    # A reader may see less than is written, and then reads on.
    upto = data.draw(st.integers(0, head))
    begin = index.begin_of_last(number, upto=upto)
    events = [item.event for item in author.log.read(begin, upto)]
    everything = [item.event for item in author.log.read(0, upto)]
    check_end(events, everything)
    turns, whole = turns_of(fold_of_end(events)), turns_of(fold(everything))
    assert len(turns) >= min(number, len(whole))
    assert index.page(None, before=None, upto=upto).turns == [turn["turn"] for turn in whole]
    assert begin == 0 or turns[0]["content"]
    # What the turns there were sent in place of is told from its beginning, too.
    of_end = [each for turn in turns for each in index.replaced_by(turn["turn"])]
    assert all(index.of(each).seq > begin for each in of_end)
    before: str | None = turns[0]["turn"] if turns else None
    while before is not None and len(turns) < len(whole):
        page = index.page(number, before=before, upto=upto)
        read = (item.event for item in author.log.read(page.after, page.upto))
        told = (event for event in read if event.turn in page.turns)
        turns = turns_of(fold(event for event in told if not isinstance(event, Retract))) + turns
        wider = index.page(number, before=before, upto=upto, with_replaced=True)
        assert wider.turns == page.turns
        for each in (old for olds in wider.replaced.values() for old in olds):
            record = index.of(each)
            assert record.is_void
            assert wider.after < record.seq <= (record.done_seq or upto)
            assert wider.upto >= min(upto, record.done_seq or upto)
        before = page.next
    assert turns == whole
    check_end(
        [item.event for item in author.log.read(begin, head)],
        [item.event for item in author.log.read(0, head)],
    )


def test_a_page_before_a_void_turn_has_what_stands_before_it() -> None:
    page = indexed(edited).page(5, before="t_3", upto=11)
    assert (page.turns, page.next) == (["t_1"], None)


def test_a_turn_knows_those_in_whose_place_it_was_sent_the_earliest_first() -> None:
    def thrice(author: Author) -> None:
        edited(author)
        author.done()
        author.turn = "t_5"
        author.retract("t_4")
        author.write(Message, content="edit again", key="k-5")

    index = indexed(thrice)
    assert index.replaced_by("t_5") == ["t_2", "t_4"]
    assert index.replaced_by("t_1") == []
    # A reader of the last turn has them too; one of the last two has all there is.
    assert index.begin_of_last(1, upto=15) == 3
    page = index.page(1, before=None, upto=15, with_replaced=True)
    assert (page.turns, page.replaced, page.after) == (["t_5"], {"t_5": ["t_2", "t_4"]}, 3)


def test_a_reader_of_a_turn_that_waited_has_what_the_one_before_it_was_sent_in_place_of() -> None:
    def waits(author: Author) -> None:
        finished(author, "t_1")
        author.turn = "t_2"
        author.retract("t_1")
        author.write(Message, content="edit")
        author.turn = "t_3"
        author.write(Message, content="and then?")

    # It begins within the second turn, which is told from its beginning.
    assert indexed(waits).begin_of_last(1, upto=6) == 0


def test_a_reader_of_an_edit_has_a_turn_that_waited_when_it_was_sent() -> None:
    def waited(author: Author) -> None:
        finished(author, "t_1")
        author.turn = "t_2"
        author.write(Message, content="a long answer, please")
        author.turn = "t_3"
        author.write(Message, content="and then?")
        for turn in ("t_2", "t_3"):
            author.turn = turn
            author.done()
        author.turn = "t_4"
        author.retract("t_3")
        author.write(Message, content="and now?")

    # What it was sent in place of began within the second turn.
    assert indexed(waited).begin_of_last(1, upto=9) == indexed(waited).of("t_2").after


def test_a_page_before_a_turn_that_is_not_there_is_refused() -> None:
    with pytest.raises(Rejected) as refused:
        indexed(edited).page(5, before="t_none", upto=11)
    assert refused.value.code is Code.UNKNOWN_TURN

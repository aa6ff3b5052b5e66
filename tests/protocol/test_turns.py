"""The turns of a folded conversation: a sequence, with a turn found by its id too."""

import pytest

from turnwire_protocol import Turns


def test_turns_are_had_by_place_and_by_id_and_void_from_one_on() -> None:
    turns = Turns()
    first, second, third = (turns.add(turn) for turn in ("t_1", "t_2", "t_3"))
    assert [*turns] == [first, second, third] == turns[:]
    assert (turns[0], turns[-1], turns["t_2"]) == (first, third, second)
    assert second in turns
    assert turns.index(third) == 2
    turns.void("t_9")
    turns.void("t_2")
    assert (turns.ids, len(turns), turns.get("t_2")) == (["t_1"], 1, None)
    with pytest.raises(KeyError):
        turns["t_3"]
    assert turns.add("t_2") is turns[1]

"""Which turn a request of another front end means."""

import pytest

from turnwire_protocol import Content
from turnwire_server.core.turn_index import Record, digest_of
from turnwire_server.wires.question import Question, asked, key_of, turn_of


def record(
    turn: str, key: str | None, content: str = "Hi", *, is_done: bool = True, is_void: bool = False
) -> Record:
    return Record(
        turn,
        1,
        0,
        key,
        "",
        digest_of(content),
        [],
        [],
        done_seq=9 if is_done else None,
        void_seq=10 if is_void else None,
    )


RUNS = record("t_1", "m1", is_done=False)
DONE = record("t_1", "m1")
VOID = record("t_1", "m1", is_void=True)
AGAIN = record("t_2", "m1~t_1", is_done=False)
AGAIN_DONE = record("t_2", "m1~t_1")


@pytest.mark.parametrize(
    ("turns", "content", "again", "question"),
    [
        pytest.param([], "Hi", False, Question(key="m1"), id="a new message"),
        pytest.param([DONE], "Hi", False, Question(attach=DONE), id="it comes twice"),
        pytest.param([RUNS], "Hi", False, Question(attach=RUNS), id="it comes from two tabs"),
        pytest.param([DONE], "Ho", False, Question(key="m1~t_1", retract="t_1"), id="edited"),
        pytest.param([RUNS], "Ho", False, Question(key="m1~t_1", retract="t_1"), id="edited early"),
        pytest.param([DONE], "Hi", True, Question(key="m1~t_1", retract="t_1"), id="regenerated"),
        pytest.param(
            [RUNS], "Hi", True, Question(key="m1~t_1", retract="t_1"), id="regenerated early"
        ),
        pytest.param(
            [VOID, AGAIN], "Hi", True, Question(attach=AGAIN), id="the regeneration comes twice"
        ),
        pytest.param(
            [VOID, AGAIN_DONE],
            "Hi",
            True,
            Question(key="m1~t_2", retract="t_2"),
            id="regenerated once more",
        ),
        pytest.param(
            [VOID, AGAIN_DONE], "Hi", False, Question(attach=AGAIN_DONE), id="the first comes late"
        ),
        pytest.param(
            [VOID], "Hi", False, Question(key="m1~t_1"), id="taken back with an older one"
        ),
    ],
)
def test_what_is_meant(
    turns: list[Record], content: Content, again: bool, question: Question
) -> None:
    found = asked(turns, message="m1", content=content, again=again, again_if_done=False)
    assert found == question


def test_where_running_again_means_another_answer_it_does_once_there_is_one() -> None:
    def run(turns: list[Record]) -> Question:
        return asked(turns, message="m1", content="Hi", again=False, again_if_done=True)

    assert run([RUNS]) == Question(attach=RUNS)
    assert run([DONE]) == Question(key="m1~t_1", retract="t_1")


@pytest.mark.parametrize("message", ["m" * 200, "a~t_1"])
def test_ids_that_are_no_keys_get_one_of_their_own(message: str) -> None:
    key = key_of(message)
    assert len(key) <= 90
    assert "~" not in key
    found = turn_of([record("t_1", f"{key}~t_0")], message)
    assert found is not None

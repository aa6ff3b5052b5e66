"""Random logs as runs: what a page is told of each turn, however its events are read."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.protocol.conversations import conversations, cuts
from turnwire_protocol import Event, FoldedTurn, UnknownEvent, fold, merge
from turnwire_server.wires.ag_ui.messages import answer_messages, user_message
from turnwire_server.wires.ag_ui.run import Run
from turnwire_server.wires.ag_ui.translator import Translator
from turnwire_server.wires.turn_reader import Ending, Heard

__all__ = ["Case", "draw_cases"]


@dataclass(frozen=True)
class Case:
    """One turn, read once from its beginning to its end."""

    version: str | None
    before: list[dict[str, Any]]
    """The messages that the page has."""
    chunks: list[dict[str, Any]]
    after: list[dict[str, Any]]
    """Those that it has then, as the log has them."""


def draw_cases(*, max_examples: int) -> list[Case]:
    """The turns of random logs that are done, cut at random and merged."""
    cases: list[Case] = []

    @settings(
        max_examples=max_examples,
        database=None,
        derandomize=True,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(conversations(max_turns=2), st.sampled_from(["1.0", None]), st.data())
    def draw(log: list[Event], version: str | None, data: st.DataObject) -> None:
        for turn in fold(log).turns:
            if turn.done is not None:
                cases.append(_case(turn, data.draw(cuts(log)), version))

    run: Callable[[], None] = draw
    run()
    return cases


def _case(turn: FoldedTurn, reads: Iterable[Sequence[Event]], version: str | None) -> Case:
    before = [user_message(turn, blobs="/v1/blobs")]
    run = Run(thread="thread", run="run", version=version)
    translator = Translator(run, turn.turn, before=before)
    chunks = translator.begin()
    for read in reads:
        for event in merge(read):
            if event.turn == turn.turn and not isinstance(event, UnknownEvent):
                chunks += translator.apply(Heard(event, is_new=True))
    chunks += translator.end(Ending.DONE)
    return Case(version, before, chunks, [*before, *answer_messages(turn)])

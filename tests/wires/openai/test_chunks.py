"""The translator: however a log is cut and merged, its chunks make the same completion."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.conversations import conversations, cuts
from turnwire_protocol import Event, Message, fold, merge
from turnwire_server.wires.chunk_stream import Chunk
from turnwire_server.wires.openai.chunks import Chunks, whole
from turnwire_server.wires.turn_reader import Ending


def completion(reads: Sequence[Sequence[Event]], turn: str) -> tuple[Chunk | None, object]:
    """What the client has of a turn once it is read to its end: the completion, or the error."""
    chunks = Chunks(turn, model="m", includes_usage=True, suffix="-h_1")
    said = [
        chunk
        for read in reads
        for event in merge(read)
        if event.turn == turn
        for chunk in chunks.take(event)
    ]
    said += chunks.end(Ending.DONE)
    if chunks.failure is not None:
        assert said[-1].keys() == {"error"}
        return whole(said[:-1]), chunks.failure
    return whole(said), None


@settings(max_examples=40)
@given(conversations(), st.data())
def test_any_cut_and_merge_of_the_log_gives_the_same(log: list[Event], data: st.DataObject) -> None:
    reads = data.draw(cuts(log))
    for turn in [event.turn for event in log if isinstance(event, Message)]:
        assert completion(reads, turn) == completion([[event] for event in log], turn)


@settings(max_examples=40)
@given(conversations(max_turns=1))
def test_the_text_has_all_blocks_that_stay_in_their_order(log: list[Event]) -> None:
    for turn in fold(log).turns:
        completed, _ = completion([log], turn.turn)
        text = ""
        if completed:
            text = completed["choices"][0]["message"]["content"] or ""
        at = 0
        for block in turn.blocks:
            if block.type == "text":
                # What was voided came before, and cannot be taken back.
                found = text.find(block.text, at)
                assert found >= 0
                at = found + len(block.text)

"""What the clients make of our chunks is what we say of the log: however it is cut and merged."""

import json
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.kit.npm import packages_of
from tests.kit.patience import PATIENCE_SECONDS
from tests.protocol.conversations import conversations, cuts
from turnwire_protocol import Event, Retract, merge
from turnwire_server.wires.ai_sdk.chunks import Chunks
from turnwire_server.wires.ai_sdk.messages import Messages
from turnwire_server.wires.ai_sdk.values import Json, Version
from turnwire_server.wires.turn_reader import Heard

HERE = Path(__file__).parent


def chunks_of(version: Version, turn: str, reads: Iterable[Sequence[Event]]) -> list[Json]:
    """What a page is told of a turn that it reads from its beginning."""
    chunks = Chunks(version, "c_1", turn)
    told: list[Json] = []
    for read in reads:
        for event in merge(read):
            if event.turn == turn and not isinstance(event, Retract):
                told += chunks.of(Heard(event, is_new=True))
        told += chunks.caught_up()
    return told


def folded(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the published clients make of chunks."""
    packages = packages_of(HERE)
    with packages.work_folder(HERE / "fold.mjs") as folder:
        finished = subprocess.run(
            [packages.node, str(folder / "fold.mjs")],
            input=json.dumps(cases),
            stdout=subprocess.PIPE,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            check=True,
        )
    answers: list[dict[str, Any]] = json.loads(finished.stdout)
    return answers


def shown(message: Json) -> Json:
    """What people see of a message, and what its calls and its end are."""
    # JavaScript has no integers: 2**65 + 1 comes back as another one.
    read: Json = json.loads(json.dumps(message), parse_int=float)
    return {**read, "parts": [_part(part) for part in read["parts"]]}


def _part(part: Json) -> Json:
    # Calls that run in a page have the input that it streamed; who decided here has said why. The
    # random logs ask about calls that are not valid, which no server does.
    left_out = {"input", "rawInput", "approval"}
    if part["type"] == "reasoning":
        left_out.add("id")
    if part.get("state") == "output-denied":
        left_out.add("errorText")
    return {name: value for name, value in part.items() if value is not None} | dict.fromkeys(
        left_out
    )


def test_the_clients_fold_a_turn_as_the_log_has_it_however_it_is_read() -> None:
    cases: list[dict[str, Any]] = []
    expected: list[Json] = []

    @settings(
        max_examples=300,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(Version), conversations(max_turns=2), st.data())
    def draw(version: Version, log: list[Event], data: st.DataObject) -> None:
        messages = Messages(version, blobs="/v1/blobs")
        for event in log:
            messages.apply(event)
        for message in messages.to_list():
            if message["role"] == "assistant":
                chunks = chunks_of(version, message["id"], data.draw(cuts(log)))
                has_reset = any(chunk["type"] == "data-rewind" for chunk in chunks)
                if not has_reset:  # What v5 and v6 cannot take back stays; a page loads it right.
                    cases.append({"version": version, "chunks": chunks})
                    expected.append(message)

    draw()
    assert len(cases) > 150
    for case, message, answer in zip(cases, expected, folded(cases), strict=True):
        failed = message["metadata"]["turnwire"]["stopReason"] == "failed"
        assert len(answer["problems"]) == failed, (case, answer["problems"])
        assert shown(answer["message"]) == shown(message), case

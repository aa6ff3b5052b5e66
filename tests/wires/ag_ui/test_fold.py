"""What the clients make of a run is what the log says: however it was cut and merged."""

import json
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.kit.npm import packages_of
from tests.kit.patience import PATIENCE_SECONDS
from tests.wires.ag_ui.logs import Case, draw_cases

HERE = Path(__file__).parent


def folded(cases: list[Case]) -> list[dict[str, Any]]:
    """What the published clients make of the runs."""
    packages = packages_of(HERE)
    with packages.work_folder(HERE / "fold.mjs") as folder:
        finished = subprocess.run(
            [packages.node, str(folder / "fold.mjs")],
            input=json.dumps([asdict(case) for case in cases]),
            stdout=subprocess.PIPE,
            encoding="utf-8",
            timeout=PATIENCE_SECONDS,
            check=True,
        )
    answers: list[dict[str, Any]] = json.loads(finished.stdout)
    return answers


def test_the_clients_show_a_turn_as_the_log_has_it_however_it_is_read() -> None:
    cases = draw_cases(max_examples=120)
    assert len(cases) > 60
    for case, answer in zip(cases, folded(cases), strict=True):
        shown = [
            message
            for message in answer["messages"]
            # An empty thought is what a snapshot takes the others away with.
            if (message["role"], message.get("content")) != ("reasoning", "")
        ]
        assert (shown, answer["problems"]) == (case.after, []), case

"""schemathesis asks the service whatever the OpenAPI document lets it think of, and some more; what
is answered must be as the document says. With a seed: the same questions each time."""

import asyncio
import copy
import json
import os
import sys
from pathlib import Path

import pytest

from tests.kit.openapi import TOKEN, documented
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from turnwire_simulator import Answer, Simulator, Text

ROOT = Path(__file__).parents[2]
AUTHORIZATION = f"Bearer {TOKEN}"
UNBOUNDED = {"max_requests_per_second": 1_000_000, "max_running_turns": 1_000}
CONFIGURATION = """
[[operations]]
include-path = "/v1/conversations/{conversation}/events"
phases.stateful.enabled = false
"""
"""What is learnt of conversations is not used there: see `schemathesis_hooks.py`."""


def described_without_default() -> str:
    """The document, in which a status that is not named is a mistake."""
    openapi = copy.deepcopy(documented().openapi)
    for operations in openapi["paths"].values():
        for operation in operations.values():
            del operation["responses"]["default"]
    return json.dumps(openapi)


async def test_schemathesis_finds_nothing(
    simulator: Simulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.answer_with(lambda body: Answer(Text("Hello.")))
    (tmp_path / "openapi.json").write_text(described_without_default())
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    turnwire = turnwire_over(simulator, token=TOKEN, limits=UNBOUNDED)
    headers = {"Authorization": AUTHORIZATION, "Accept": "application/json"}
    async with serving(turnwire) as address, asking(address, headers=headers) as http:
        answers = [await http.post("/v1/chat", json={"content": "Hi"}) for _ in range(20)]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "schemathesis.cli", "run", str(tmp_path / "openapi.json")),
            *("--url", f"http://{address}", "--header", f"Authorization: {AUTHORIZATION}"),
            *("--seed", "1", "--max-examples", "20", "--generation-database", "none"),
            *("--no-color", "--no-shrink", "--warnings", "off"),
            cwd=tmp_path,
            env={
                **os.environ,
                "CONVERSATIONS": " ".join(answer.json()["conversation"] for answer in answers),
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.server.schemathesis_hooks",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with patience():
                said, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            raise
        assert process.returncode == 0, said.decode()
        assert "18 selected / 18 total" in said.decode()
        again = await http.post("/v1/chat", json={"content": "Are you well?"})
        assert again.json()["text"] == "Hello."
    assert not [record for record in caplog.records if record.exc_info]

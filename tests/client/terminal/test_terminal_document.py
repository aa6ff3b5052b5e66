"""client/TERMINAL.md: each of its commands for scripts runs, and its tables are whole."""

import asyncio
import os
import re
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.kit.checkout import ROOT
from tests.kit.service import serving, turnwire_over
from turnwire.terminal.command import chat
from turnwire.terminal.commands import COMMANDS
from turnwire_simulator import Answer, Simulator, Text

DOCUMENT = (ROOT / "client" / "TERMINAL.md").read_text("utf-8")
LINES = re.findall(r"^    (.*turnwire chat.*)$", DOCUMENT, re.MULTILINE)
ONCE = [line for line in LINES if '"' in line]
PROGRAMS = {
    "turnwire": f"#!{sys.executable}\nfrom turnwire.cli import main\nmain()\n",
    # What a machine may lack, and what the test would have to prepare.
    "git": "#!/bin/sh\necho a change\n",
    "jq": f"#!{sys.executable}\nimport json, sys\nprint(json.load(sys.stdin)['text'])\n",
}


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


async def test_the_commands_for_scripts_run(simulator: Simulator, tmp_path: Path) -> None:
    for name, program in PROGRAMS.items():
        file = tmp_path / name
        file.write_text(program)
        file.chmod(stat.S_IRWXU)
    (tmp_path / "form").write_text(
        '{"type": "object", "properties": {}, "additionalProperties": false}'
    )
    assert len(ONCE) == 4
    settings = {"model": "claude-simulated-opus", "client_options": ["system", "output_format"]}
    async with serving(turnwire_over(simulator, **settings)) as address:
        environment = os.environ | {"TURNWIRE_URL": f"http://{address}"}
        environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
        for line in ONCE:
            simulator.program(Answer(Text("{}")))
            process = await asyncio.create_subprocess_shell(
                line, stdout=asyncio.subprocess.PIPE, env=environment, cwd=tmp_path
            )
            output, _ = await process.communicate()
            assert (line, process.returncode, output) == (line, 0, b"{}\n")
    asked = [str(request["messages"][-1]["content"]) for request in simulator.requests]
    assert any("Write the commit message" in each and "a change" in each for each in asked)


def test_every_option_that_is_named_is_one_and_every_command_is_named() -> None:
    options = {name for option in chat.params for name in option.opts} | {"--client-options"}
    assert set(re.findall(r"(?<=[ `])--[a-z-]+", "\n".join([*LINES, DOCUMENT]))) <= options
    assert set(re.findall(r"^\| `(/[a-z]+)", DOCUMENT, re.MULTILINE)) == set(COMMANDS)

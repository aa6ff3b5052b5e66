"""The command, in a process of its own."""

import asyncio
import sys

from anthropic import AsyncAnthropic

from tests.kit.patience import patience
from tests.simulator.api_client import ask, text_of


async def test_the_command_prints_where_to_point_a_client_and_answers_there() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from turnwire_simulator.cli import simulate; simulate()",
        "--port=0",
        "--tokens-per-second=0",
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONUNBUFFERED": "1"},
    )
    try:
        async with patience():
            assert process.stdout is not None
            await process.stdout.readline()
            export = (await process.stdout.readline()).decode()
            url = export.split("ANTHROPIC_BASE_URL=")[1].split()[0]
            async with AsyncAnthropic(base_url=url, api_key="x", max_retries=0) as claude:
                message = await ask(claude)
    finally:
        process.terminate()
        await process.communicate()

    assert "simulator" in text_of(message)

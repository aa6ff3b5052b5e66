"""turnwire.js in Node.js against the real service, over connections that are cut all the time."""

import asyncio
from pathlib import Path

from tests.e2e.service import serving
from tests.kit.node import run_node
from turnwire_simulator import Answer, Simulator, Text, Thinking

CLIENT = Path(__file__).parent / "live.mjs"
# Neighbouring deltas merge, blocks do not: many blocks are many events, however fast they come.
BLOCKS = [[f"{number} and ", f"{number}. "] for number in range(40)]


async def test_an_answer_over_cut_connections_has_no_gap_and_no_duplicate(tmp_path: Path) -> None:
    async with Simulator() as simulator, serving(simulator.url, tmp_path) as address:
        simulator.program(Answer(Thinking("Let me count."), *map(Text, BLOCKS)))
        printed = await asyncio.to_thread(
            run_node, "--no-warnings", "--experimental-websocket", str(CLIENT), address
        )
    assert printed.strip() == "".join(map("".join, BLOCKS)).strip()

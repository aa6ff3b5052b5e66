"""The server is killed with -9 at hundreds of random moments under load; clients just go on."""

import asyncio
import os
import random
from pathlib import Path

from tests.faults.load import TOOLS, under_load
from tests.faults.server import killable
from turnwire_simulator import Simulator

KILLS = int(os.environ.get("TURNWIRE_TEST_KILLS", "200"))


async def test_killed_at_random_moments_under_load_nothing_shown_is_lost(
    tmp_path: Path, db: str
) -> None:
    chance = random.Random(20)
    flags = ("--tools", str(TOOLS), "--base-delay", "0.01")
    # Of what a kill may meet, most is in the core. Here it is the store's part again.
    kills = KILLS if db.endswith(".db") else KILLS // 4
    async with (
        Simulator() as simulator,
        killable(simulator.url, db, *flags, log=tmp_path / "serve.log") as server,
    ):
        await server.start()
        async with under_load(server.url, simulator) as load:
            for number in range(kills):
                # These surely meet a turn. All others may meet the start, and who comes back.
                if number % 16 == 0:
                    await load.next_answer()
                else:
                    await asyncio.sleep(chance.uniform(0.0, 0.15))
                server.kill()
                await server.start()
        await load.check_logs(server.address)
    assert not load.refusals
    ends = load.check_replies()
    assert ends.keys() == {"end_turn", "interrupted"}, "what is killed is interrupted"

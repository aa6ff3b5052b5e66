"""Nodes behind a balancer are restarted one after another, or killed, under load: clients go on."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.faults.balancer import balanced
from tests.faults.load import TOOLS, Load, under_load
from tests.faults.server import KillableServer, several
from tests.kit.patience import PATIENCE_SECONDS
from tests.kit.postgres import fresh_url
from tests.server.test_workers import are_gone, two_workers, until
from turnwire_simulator import Simulator

RESTARTS = int(os.environ.get("TURNWIRE_TEST_RESTARTS", "6"))
KILLS = int(os.environ.get("TURNWIRE_TEST_NODE_KILLS", "4"))
RENEWALS = int(os.environ.get("TURNWIRE_TEST_RENEWALS", "1"))
NODES = 3
LEASE_SECONDS = 1.0


@asynccontextmanager
async def loaded(folder: Path, *flags: str) -> AsyncIterator[tuple[list[KillableServer], Load]]:
    """Nodes, all of which run on leaving, and clients; afterwards what they have seen is whole."""
    flags = ("--tools", str(TOOLS), "--base-delay", "0.01", *flags)
    log = folder / "serve.log"
    async with (
        Simulator() as simulator,
        several(NODES, simulator.url, fresh_url(), *flags, log=log) as servers,
    ):
        for server in servers:
            await server.start()
        async with balanced([server.address for server in servers]) as url:
            async with under_load(url, simulator) as load:
                yield servers, load
            for server in servers:
                await load.check_logs(server.address)


async def test_restarted_one_after_another_no_event_is_lost_and_every_turn_ends_by_itself(
    tmp_path: Path,
) -> None:
    chance = random.Random(41)
    async with loaded(tmp_path, "--drain-grace", str(PATIENCE_SECONDS)) as (servers, load):
        for number in range(RESTARTS):
            server = servers[number % NODES]
            server.terminate()
            await server.start()
            await asyncio.sleep(chance.uniform(0.0, 1.0))  # Clients come back after a second.
    ends = load.check_replies()
    print(
        f"{RESTARTS} restarts of {NODES} nodes: {ends.total()} turns, {dict(ends)},"
        f" {dict(load.refusals)} repeated"
    )
    assert ends.keys() == {"end_turn"}


async def test_killed_at_random_moments_what_one_has_shown_or_acked_is_at_the_others(
    tmp_path: Path,
) -> None:
    chance = random.Random(14)
    async with loaded(tmp_path, "--lease", str(LEASE_SECONDS)) as (servers, load):
        for number in range(KILLS):
            server = servers[number % NODES]
            server.kill()
            # Sometimes it is back before its lease has run out.
            await asyncio.sleep(chance.uniform(0.0, 3 * LEASE_SECONDS))
            await server.start()
            await asyncio.sleep(chance.uniform(0.0, 0.5))
    ends = load.check_replies()
    print(
        f"{KILLS} kills of {NODES} nodes: {ends.total()} turns, {dict(ends)},"
        f" {dict(load.refusals)} repeated"
    )
    assert ends.keys() == {"end_turn", "interrupted"}


async def test_workers_that_are_renewed_lose_nothing_either(tmp_path: Path) -> None:
    grace = ("--drain-grace", str(PATIENCE_SECONDS))
    async with (
        Simulator() as simulator,
        two_workers(tmp_path, simulator, "--tools", str(TOOLS), *grace) as workers,
    ):
        process = workers.running.process
        assert process.stderr is not None
        # Whose log nobody reads stands still in the end.
        logging = asyncio.create_task(_read_on(process.stderr))
        async with under_load(f"http://{workers.address}", simulator) as load:
            for _ in range(RENEWALS):
                before = workers.pids()
                process.send_signal(signal.SIGHUP)
                await until(lambda before=before: are_gone(before))  # type: ignore[misc]
                await until(lambda: len(workers.pids()) == 2)
        await load.check_logs(workers.address)
        logging.cancel()
        await asyncio.gather(logging, return_exceptions=True)
    ends = load.check_replies()
    print(
        f"{RENEWALS} renewals of 2 workers: {ends.total()} turns, {dict(ends)},"
        f" {dict(load.refusals)} repeated"
    )
    assert ends.keys() == {"end_turn"}


async def _read_on(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass

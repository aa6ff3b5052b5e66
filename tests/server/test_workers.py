"""`turnwire serve --workers`: real processes that share a port and a real PostgreSQL."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from click.testing import CliRunner

from tests.kit.forked import SERVE, SERVE_WORKERS
from tests.kit.patience import patience
from tests.kit.postgres import fresh_url
from tests.kit.wire import Wire, wired
from tests.server.serve import Running, refused_start, served
from turnwire_server.cli import serve
from turnwire_simulator import Answer, Gate, Simulator, Text

KEY = {"ANTHROPIC_API_KEY": "x"}


class Turn:
    """A turn in the middle of its answer, and the worker that runs it: `…#1` or `…#2`."""

    def __init__(self, wire: Wire, conversation: str, worker: str) -> None:
        self.wire = wire
        self.conversation = conversation
        self.worker = worker


class Workers:
    """Two workers, and what their database says of them."""

    def __init__(self, running: Running, database: "asyncpg.Connection[asyncpg.Record]") -> None:
        self.running = running
        self.address = running.address
        self._database = database
        self._stack = AsyncExitStack()

    def pids(self) -> set[int]:
        """The worker processes that there are."""
        return children(self.running.process.pid)

    async def turns(self, simulator: Simulator, gate: Gate) -> dict[str, Turn]:
        """A turn on each worker, which waits for the gate. The kernel chooses: so as many as it
        takes, each over a connection of its own."""
        turns: dict[str, Turn] = {}
        async with patience():
            while len(turns) < 2:
                simulator.program(Answer(Text(["one ", gate, "two"])))
                wire = await self._stack.enter_async_context(wired(self.address))
                ack = await wire.ask("send", content="hi", on_detach="continue")
                await wire.until("token")
                name = await self._database.fetchval(
                    "SELECT name FROM conversations JOIN nodes ON nodes.id = node"
                    " WHERE conversations.id = $1",
                    ack["conversation"],
                )
                turns[name[-2:]] = Turn(wire, ack["conversation"], name[-2:])
        return turns

    async def ended(self, conversation: str) -> None:
        """Wait until its turn has ended, in the database."""
        query = "SELECT is_open FROM conversations WHERE id = $1"
        async with patience():
            while True:
                if not await self._database.fetchval(query, conversation):
                    return
                await asyncio.sleep(0.02)

    async def names(self) -> list[str]:
        """The nodes of the database."""
        return [row["name"] for row in await self._database.fetch("SELECT name FROM nodes")]

    async def close(self) -> None:
        """Close the connections."""
        await self._stack.aclose()


def children(pid: int) -> set[int]:
    """The processes that this one has started and that have not ended."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = status.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue  # Gone meanwhile.
        if int(parent) == pid and state != "Z":
            found.add(int(status.parent.name))
    return found


@asynccontextmanager
async def two_workers(
    folder: Path, simulator: Simulator, *flags: str, start: str = SERVE_WORKERS
) -> AsyncIterator[Workers]:
    """Two of them on a database of their own."""
    url = fresh_url()
    environment = {**KEY, "ANTHROPIC_BASE_URL": simulator.url}
    flags = ("--workers", "2", "--db", url, *flags)
    async with served(folder, *flags, start=start, **environment) as running:
        database = await asyncpg.connect(url)
        workers = Workers(running, database)
        try:
            yield workers
        finally:
            await workers.close()
            await database.close()


def are_gone(processes: set[int]) -> bool:
    """Whether none of them is there any more."""
    return not any(Path(f"/proc/{pid}").exists() for pid in processes)


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for processes."""
    async with patience():
        while True:
            if is_so():
                return
            await asyncio.sleep(0.02)


async def test_turns_run_on_each_and_one_that_is_killed_is_replaced_at_once(
    tmp_path: Path, simulator: Simulator
) -> None:
    gate = Gate()
    async with two_workers(tmp_path, simulator) as workers:
        before = workers.pids()
        assert sorted(name[-2:] for name in await workers.names()) == ["#1", "#2"]
        turns = await workers.turns(simulator, gate)
        victim = next(iter(before))
        os.kill(victim, signal.SIGKILL)
        # Whose turn it was is seen by whose connection breaks.
        closing = {asyncio.create_task(turn.wire.closed()): turn for turn in turns.values()}
        async with patience():
            (broken,), others = await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
        dead = closing[broken]
        for other in others:
            other.cancel()
        await until(lambda: are_gone({victim}))  # With its socket: nobody is sent there any more.
        # Its successor in the same place ends the turn: nobody waits for the lease to run out.
        await workers.ended(dead.conversation)
        async with wired(workers.address) as wire:
            ack = await wire.ask("subscribe", conversation=dead.conversation)
            assert ack["type"] == "ack"
            assert (await wire.until("done"))["stop_reason"] == "interrupted"
        gate.open()
        (alive,) = [turn for turn in turns.values() if turn is not dead]
        done = await alive.wire.until("done", conversation=alive.conversation)
        assert done["stop_reason"] == "end_turn"
        await until(lambda: len(workers.pids()) == 2)
        assert before - {victim} < workers.pids()
    assert workers.running.process.returncode == 0
    # The demo is none, and the address is said once.
    assert workers.running.printed.count("\n") == 1
    assert f"worker {dead.worker} has ended with -9" in workers.running.logged


async def test_one_that_stands_still_is_replaced_and_its_turn_ends(
    tmp_path: Path, simulator: Simulator
) -> None:
    gate = Gate()
    async with two_workers(tmp_path, simulator, "--lease", "5") as workers:
        turns = await workers.turns(simulator, gate)
        victim = min(workers.pids())
        os.kill(victim, signal.SIGSTOP)
        await until(lambda: are_gone({victim}))
        closing = {asyncio.create_task(turn.wire.closed()): turn for turn in turns.values()}
        async with patience():
            (broken, *_), others = await asyncio.wait(closing, return_when=asyncio.FIRST_COMPLETED)
        for other in others:
            other.cancel()
        await workers.ended(closing[broken].conversation)
        await until(lambda: len(workers.pids()) == 2)
        async with wired(workers.address) as wire:
            ack = await wire.ask("subscribe", conversation=closing[broken].conversation)
            assert ack["type"] == "ack"
            assert (await wire.until("done"))["stop_reason"] == "interrupted"
        # The end of the service would wait for the other one's turn.
        gate.open()
    assert workers.running.process.returncode == 0
    assert "stands still" in workers.running.logged


async def test_clients_of_different_workers_share_one_conversation_and_its_stop(
    tmp_path: Path, simulator: Simulator
) -> None:
    gate = Gate()
    async with two_workers(tmp_path, simulator, start=SERVE) as workers:
        turns = await workers.turns(simulator, gate)
        here, there = turns["#1"], turns["#2"].wire
        await there.ask("subscribe", conversation=here.conversation)
        token = await there.until("token", conversation=here.conversation)
        ack = await there.ask("cancel", conversation=here.conversation, turn=token["turn"])
        assert ack["type"] == "ack"
        for wire in (here.wire, there):
            done = await wire.end(token["turn"])  # Where it is read, it may come before the ack.
            assert done.stop_reason == "cancelled"
        folds = [wire.fold(here.conversation).to_dict() for wire in (here.wire, there)]
        assert folds[0] == folds[1]
        # The end of the service would wait for the other one's turn.
        gate.open()
    assert workers.running.process.returncode == 0


async def test_sighup_renews_one_after_another_and_turns_finish(
    tmp_path: Path, simulator: Simulator
) -> None:
    gate = Gate()
    async with two_workers(tmp_path, simulator, "--drain-grace", "600") as workers:
        before = workers.pids()
        turns = await workers.turns(simulator, gate)
        workers.running.process.send_signal(signal.SIGHUP)
        await turns["#1"].wire.until("going_away")
        # It waits for its turn. Meanwhile whoever comes finds the other one, which stays.
        for _ in range(8):
            async with wired(workers.address) as wire:
                assert (await wire.ask("send", content="hi"))["type"] == "ack"
        assert workers.pids() == before
        gate.open()
        for place in ("#1", "#2"):
            done = await turns[place].wire.until("done", conversation=turns[place].conversation)
            assert done["stop_reason"] == "end_turn"
        await until(lambda: are_gone(before))
        await until(lambda: len(workers.pids()) == 2)
        assert not workers.pids() & before
        async with wired(workers.address) as wire:
            await wire.ask("send", content="hi")
            assert (await wire.until("done"))["stop_reason"] == "end_turn"
    assert workers.running.process.returncode == 0
    assert workers.running.printed.count("\n") == 1


async def test_all_drain_together_in_one_word_and_a_second_signal_ends_them(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with two_workers(tmp_path, simulator, "--drain-grace", "600") as workers:
        processes = workers.pids()
        turns = await workers.turns(simulator, Gate())
        workers.running.process.send_signal(signal.SIGINT)
        for turn in turns.values():
            await turn.wire.until("going_away")
        errors = workers.running.process.stderr
        assert errors is not None
        async with patience():
            while "Ctrl-C" not in (line := (await errors.readline()).decode()):
                assert line
        assert "running turns, at most 600 s" in line
        workers.running.process.send_signal(signal.SIGINT)
        async with patience():
            assert await workers.running.process.wait() == 128 + signal.SIGINT
        await until(lambda: are_gone(processes))
    assert "Ctrl-C" not in workers.running.logged


async def test_workers_end_with_their_parent_whatever_became_of_it(
    tmp_path: Path, simulator: Simulator
) -> None:
    async with two_workers(tmp_path, simulator) as workers:
        # A port that is shared is still not given to somebody else.
        port = workers.address.rpartition(":")[2]
        flags = ("--port", port, "--workers", "2", "--db", fresh_url())
        (line,) = await refused_start(tmp_path, KEY, *flags)
        assert "--port" in line
        processes = workers.pids()
        turns = await workers.turns(simulator, Gate())
        workers.running.process.kill()
        for turn in turns.values():
            done = await turn.wire.until("done", conversation=turn.conversation)
            assert done["stop_reason"] == "interrupted"
        await until(lambda: are_gone(processes))


@pytest.mark.parametrize("flags", [[], ["--db", "chat.db"], ["--db", ":memory:"]])
def test_without_postgresql_there_is_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    result = CliRunner().invoke(serve, ["--port", "0", "--workers", "2", *flags])
    assert result.exit_code == 1
    assert "workers: " in result.output
    assert "--db postgresql://" in result.output
    assert list(tmp_path.iterdir()) == []


async def test_what_no_worker_can_start_with_is_said_once(tmp_path: Path) -> None:
    flags = ("--workers", "3", "--db", "postgresql://nobody@/nothing?host=/nowhere")
    (line,) = await refused_start(tmp_path, KEY, *flags)
    assert "/nowhere" in line
    assert "--db" in line

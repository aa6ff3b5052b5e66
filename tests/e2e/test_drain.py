"""SIGTERM: nothing new, what runs may finish, what does not is told so. Real processes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.server import KillableServer, killable
from tests.kit.patience import patience
from tests.kit.sse import asking
from tests.kit.wire import Wire, wired
from turnwire_simulator import Answer, Gate, Simulator, Text


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """What answers in place of Claude."""
    async with Simulator() as simulator:
        yield simulator


async def begun(server: KillableServer, simulator: Simulator, wire: Wire) -> tuple[str, Gate]:
    """A turn that stands in the middle of its answer; its conversation, and what lets it go on."""
    gate = Gate()
    simulator.program(Answer(Text(["one ", gate, "two"])))
    ack = await wire.ask("send", content="hello")
    await wire.until("token")
    return ack["conversation"], gate


async def test_a_running_turn_finishes_and_nothing_new_begins(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with (
        patience(),
        killable(simulator.url, tmp_path / "chat.db", "--drain-grace", "600") as server,
    ):
        await server.start()
        address = server.url.removeprefix("http://")
        async with wired(address) as wire, asking(address) as http:
            conversation, gate = await begun(server, simulator, wire)
            server.terminate()
            assert (await wire.until("going_away"))["reconnect_after_seconds"] > 0
            assert (await http.get("/ready")).status_code == 503
            reject = await wire.ask("send", content="one more", conversation=conversation)
            assert (reject["type"], reject["code"]) == ("reject", "draining")
            async with wired(address) as late:
                await late.until("going_away")
            gate.open()
            assert (await wire.until("done"))["stop_reason"] == "end_turn"
            assert await wire.closed() == 1012
        await server.ended()


async def test_after_the_grace_time_what_runs_is_interrupted_and_its_text_stays(
    simulator: Simulator, tmp_path: Path, db: str
) -> None:
    flags, log = ("--drain-grace", "0.1"), tmp_path / "serve.log"
    async with (
        patience(),
        killable(simulator.url, db, *flags, log=log) as server,
    ):
        await server.start()
        address = server.url.removeprefix("http://")
        async with wired(address) as wire:
            conversation, _ = await begun(server, simulator, wire)
            server.terminate()
            assert (await wire.until("done"))["stop_reason"] == "interrupted"
            assert await wire.closed() == 1012
        await server.ended()
        await server.start()
        async with wired(address) as wire:
            await wire.ask("subscribe", conversation=conversation)
            await wire.until("done")
            assert wire.fold(conversation).to_dict()["turns"][0]["blocks"][0]["text"] == "one "


async def test_a_second_signal_ends_it_at_once_and_recovery_does_the_rest(
    simulator: Simulator, tmp_path: Path
) -> None:
    async with (
        patience(),
        killable(simulator.url, tmp_path / "chat.db", "--drain-grace", "600") as server,
    ):
        await server.start()
        address = server.url.removeprefix("http://")
        async with wired(address) as wire:
            conversation, _ = await begun(server, simulator, wire)
            server.terminate()
            await wire.until("going_away")
            server.terminate()
            assert await wire.closed() == 1006
        await server.ended()
        await server.start()
        async with wired(address) as wire:
            await wire.ask("subscribe", conversation=conversation)
            assert (await wire.until("done"))["stop_reason"] == "interrupted"
            simulator.program(Answer(Text("again")))
            await wire.ask("send", content="and now?", conversation=conversation)
            assert (await wire.until("done"))["stop_reason"] == "end_turn"

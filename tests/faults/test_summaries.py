"""The server is killed with -9 around a summary: before it is there, and right behind it."""

import json
from pathlib import Path

from tests.faults.server import killable
from tests.kit.chat import MODEL, ended
from tests.kit.oracle import check_log
from tests.kit.wire import wired
from turnwire_protocol import Compaction
from turnwire_simulator import Answer, Gate, Simulator, Text
from turnwire_simulator import Compaction as Summary

OPTIONS = json.dumps({MODEL: {"window": 4000, "compaction": "on_demand"}})


async def test_killed_before_or_behind_a_summary_it_is_there_or_is_made_again(
    tmp_path: Path, db: str
) -> None:
    flags = ("--model", MODEL, "--model-options", OPTIONS)
    gates = [Gate(), Gate()]
    async with (
        Simulator() as simulator,
        killable(simulator.url, db, *flags, log=tmp_path / "serve.log") as server,
    ):
        await server.start()
        async with wired(server.address) as wire:
            simulator.program(Answer(Text("One."), input_tokens=3900))
            conversation = (await ended(wire, "One"))["conversation"]
            simulator.program_summaries(Answer(gates[0], Summary("Never seen.")))
            await wire.ask("send", content="Two", conversation=conversation)
            await wire.until("step", compacts=True)
            await gates[0].reached()
        server.kill()
        await server.start()
        async with wired(server.address) as wire:
            await wire.ask("subscribe", conversation=conversation, after=0)
            interrupted = await wire.until("done", stop_reason="interrupted")
            assert not [each for each in wire.events if isinstance(each, Compaction)]
            simulator.program_summaries("They said one.")
            simulator.program(Answer(gates[1], Text("Never said.")))
            await wire.ask("send", content="Three", conversation=conversation)
            await wire.until("compaction", summary="They said one.")
            await gates[1].reached()
        server.kill()
        await server.start()
        async with wired(server.address) as wire:
            await wire.ask("subscribe", conversation=conversation, after=interrupted["seq"])
            await wire.until("compaction", summary="They said one.")
            await wire.until("done", stop_reason="interrupted")
            simulator.program(Answer(Text("Four.")))
            done = await ended(wire, "Four", conversation=conversation)
            assert done["stop_reason"] == "end_turn"
        async with wired(server.address) as wire:
            await wire.ask("subscribe", conversation=conversation, after=0)
            while not wire.events or wire.events[-1].seq < done["seq"]:
                await wire.receive()
            check_log(wire.events)
    assert not simulator.rejections
    block, *others = simulator.requests[-1]["messages"]
    assert block["content"][0]["content"] == "They said one."
    # What was not answered is not older than what is summarised: it goes on word for word.
    assert [message["role"] for message in others] == ["assistant", "user", "user", "user"]

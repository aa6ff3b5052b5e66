"""A client in another language, written from PROTOCOL.md alone: the vectors, and a real service."""

import asyncio
import json
import re

from tests.kit.node import require_node, run_node
from tests.kit.patience import patience
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from tests.protocol.test_vectors import CASES, FOLDER
from tests.protocol.transcripts import DOCUMENT
from turnwire_simulator import Answer, Gate, Simulator, Text, Thinking

FOREIGN = "tests/protocol/foreign.mjs"


def test_it_passes_the_vectors_for_clients() -> None:
    passed = dict(json.loads(run_node(FOREIGN, "vectors", str(FOLDER))))
    assert passed == {kind: len(CASES[kind]) for kind in ("fold", "cursor", "close")}


def test_the_document_tells_the_form_of_each_kind_of_vector() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", DOCUMENT.split("\n## Vectors\n")[1], re.MULTILINE)
    told = {kind: set(re.findall(r"`(\w+)`", said)) for kind, said in rows if kind in CASES}
    assert told.keys() == CASES.keys()
    for kind, cases in CASES.items():
        fields = {field for _, case in cases for field in case} - {"name", "kind"}
        assert fields <= told[kind], kind


async def test_it_talks_loses_its_connection_and_ends_with_what_the_service_has() -> None:
    gates = [Gate(), Gate()]
    async with (
        patience(),
        Simulator() as simulator,
        serving(turnwire_over(simulator, authenticate=by_name)) as address,
    ):
        words = [f"{number} " for number in range(40)]
        simulator.program(
            Answer(Thinking(["Well"]), Text(words)).at(20, gates[0]),
            Answer(Text(words)).at(20, gates[1]),
        )
        process = await asyncio.create_subprocess_exec(
            require_node(),
            # Of older versions; the newer ones have it anyway.
            "--experimental-websocket",
            *(FOREIGN, "chat", f"ws://{address}/v1/ws", "anna"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        talking = asyncio.ensure_future(process.communicate(b"Hello\nMore\n"))
        for gate in gates:
            # The answer waits in its middle until the client, which drops its connection at the
            # first text, has had it: nothing needs to be in time.
            await gate.reached()
            gate.open()
        out, _ = await talking
        assert process.returncode == 0
        chat = json.loads(out)
        async with asking(address, headers={"Authorization": "Bearer anna"}) as http:
            there = (await http.get(f"/v1/conversations/{chat['conversation']}")).json()
        assert chat["fold"] == {name: there[name] for name in ("seq", "turns")}
        assert [turn["content"] for turn in there["turns"]] == ["Hello", "More"]
        assert there["turns"][0]["blocks"][1]["text"] == "".join(words)

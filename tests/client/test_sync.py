"""The client without `async`: in a script, in a notebook, in a loop that runs already."""

import asyncio
import gc
import re
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from tests.kit.patience import patience
from tests.kit.service import by_name, serving, turnwire_over
from turnwire import (
    ConnectionRefused,
    Done,
    Rejected,
    State,
    ToolExecuting,
    TurnFailed,
    UsageError,
    WireClosed,
)
from turnwire.sync import Wire, connect
from turnwire_simulator import Answer, Fault, Gate, Simulator, Text, ToolUse

DOCUMENT = Path(__file__).parents[2] / "client" / "CLIENTS.md"

SCRIPT = """
import logging, sys
from turnwire.sync import connect

# Under -X dev asyncio complains of each step that takes a tenth of a second.
logging.getLogger("asyncio").setLevel(logging.ERROR)

wire = connect(sys.argv[1], "anna")

@wire.tool
def double(number: int) -> int:
    "Twice the number."
    return 2 * number

chat = wire.conversation()
for text in chat.send("Stream").text_stream:
    print(text, end="|")
print(chat.send("Call").reply().text)
for head in wire.conversations():
    other = wire.conversation(head.conversation)
    print([turn.content for turn in other.load().turns])
print([event.type for event in other.follow(live=False)][-1])
half_read = iter(chat.send("Not read to its end"))
print(next(half_read).type)
"""


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def url(simulator: Simulator) -> AsyncIterator[str]:
    turnwire = turnwire_over(simulator, authenticate=by_name, retries=0)
    async with patience(), serving(turnwire) as address:
        yield f"http://{address}"


async def test_a_script_needs_no_async_and_ends_without_a_word(
    url: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.program(
        Answer(Text(["Hel", "lo"])),
        Answer(ToolUse("double", {"number": 21})),
        Answer(Text("It is 42.")),
        Answer(Text("More")),
    )
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    process = await asyncio.create_subprocess_exec(
        # It never closes the wire: under -X dev whatever is left open or pending is told.
        *(sys.executable, "-X", "dev", str(script), url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = (text.decode() for text in await process.communicate())
    assert err == ""
    assert process.returncode == 0
    lines = out.splitlines()
    assert lines[0].replace("|", "") == "HelloIt is 42."
    assert lines[1:] == ["['Stream', 'Call']", "done", "message"]


async def test_it_works_where_a_loop_runs_and_holds_it_up(url: str, simulator: Simulator) -> None:
    """As in a notebook's cell; the service has a loop of its own there."""

    def cell() -> str:
        async def main() -> str:
            with connect(url, "anna") as wire:
                return wire.conversation().send("Hi").reply().text

        return asyncio.run(main())

    simulator.program(Answer(Text("Hello")))
    assert await asyncio.to_thread(cell) == "Hello"


async def test_the_example_in_the_document_runs(
    url: str, simulator: Simulator, capfd: pytest.CaptureFixture[str]
) -> None:
    (example,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
        if "turnwire.sync" in block
    )
    simulator.program(Answer(Text("Before")), Answer(Text("A log is a list.")))
    here = example.replace('"http://127.0.0.1:8000"', f'"{url}", "anna"')
    assert here != example

    def script() -> None:
        with connect(url, "anna") as wire:
            wire.conversation().send("First").reply()
        names: dict[str, Wire] = {}
        exec(compile(here, str(DOCUMENT), "exec"), {}, names)
        names["wire"].close()

    await asyncio.to_thread(script)
    assert capfd.readouterr().out == "First ['Before']\nA log is a list.\n"


class Weather(BaseModel):
    celsius: float


async def test_a_turn_is_iterated_stopped_typed_and_fails(url: str, simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(
        Answer(Text(["Hel", "lo"])).at(4, gate),
        Answer(Text('{"celsius": 3}')),
        Fault(400),
    )

    def script() -> None:
        with connect(url, "anna") as wire:
            chat = wire.conversation()
            turn = chat.send("Stop me")
            assert next(iter(turn)).type == "message"
            assert chat.state.turns[turn.id].content == "Stop me"
            with pytest.raises(Rejected) as busy:
                chat.send("Meanwhile")
            assert busy.value.code == "busy"
            texts = turn.text_stream
            assert next(texts) == "Hel"
            assert turn.cancel() == "cancelling"
            assert turn.reply().stop_reason == "cancelled"
            assert isinstance([*turn][-1], Done)
            output = chat.send("Weather?", output_format=Weather).reply().output
            assert output is not None
            assert output.celsius == 3
            failing = chat.send("Fail")
            with pytest.raises(TurnFailed):
                failing.reply()
            with pytest.raises(TurnFailed):
                "".join(failing.text_stream)

    await asyncio.to_thread(script)


def loops() -> set[threading.Thread]:
    """Those of wires; other threads of this process come and go as they like."""
    return {thread for thread in threading.enumerate() if thread.name == "turnwire"}


async def test_what_was_left_says_so_and_its_thread_is_gone(url: str, simulator: Simulator) -> None:
    def script() -> None:
        before = loops()
        wire = connect(url, "anna")
        assert wire.state is State.OPEN
        chat = wire.conversation()
        wire.close()
        wire.close()
        assert str(wire.state) == str(State.CLOSED)
        for use in (lambda: chat.send("Hi"), chat.load, lambda: next(chat.follow())):
            with pytest.raises((WireClosed, UsageError)):
                use()
        with pytest.raises(ConnectionRefused):
            connect(url, "nobody")
        dropped = connect(url, "anna").conversation("c_1")
        del dropped
        gc.collect()
        assert not loops() - before

    await asyncio.to_thread(script)


async def test_a_tool_that_would_wait_for_its_own_loop_is_refused(
    url: str, simulator: Simulator
) -> None:
    simulator.program(Answer(ToolUse("ask", {})), Answer(Text("Ok.")))

    def offer(wire: Wire) -> None:
        @wire.tool
        async def ask() -> str:
            """Ask again."""
            return wire.conversation().send("Hi").reply().text

    def script() -> str:
        with connect(url, "anna") as wire:
            offer(wire)
            turn = wire.conversation().send("Hi")
            assert any(isinstance(event, ToolExecuting) for event in turn)
            (call,) = (block.tool for block in turn.reply().blocks if block.tool)
            assert call.result is not None
            return str(call.result.content)

    assert "UsageError" in await asyncio.to_thread(script)

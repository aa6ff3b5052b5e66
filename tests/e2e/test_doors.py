"""One conversation, through every door at once: the Python client, curl and a browser tab."""

import asyncio
import os
import shutil

import pytest
from playwright.async_api import expect
from pydantic_core import from_json

from tests.e2e.conftest import OpenTab
from tests.kit.patience import patience
from turnwire import connect
from turnwire_protocol import fold, parse_event
from turnwire_simulator import Answer, Gate, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_python_client_curl_and_a_tab_watch_one_conversation_and_see_the_same(
    address: str, simulator: Simulator, open_tab: OpenTab
) -> None:
    curl = shutil.which("curl")
    if curl is None and os.environ.get("CI") != "true":
        pytest.skip("there is no curl")
    assert curl is not None
    gate = Gate()
    simulator.program(Answer(Text(["One log, ", gate, "many readers."])))
    async with patience(), connect(address) as wire:
        chat = wire.conversation()
        turn = await chat.send("Who reads?")
        url = f"{address}/v1/conversations/{chat.id}/events"
        watching = await asyncio.create_subprocess_exec(
            curl, "--silent", "--no-buffer", url, stdout=asyncio.subprocess.PIPE
        )
        tab = await open_tab(f"{address}/#{chat.id}")
        await expect(tab.answers).to_have_text("One log,")
        gate.open()
        reply = await turn
        assert watching.stdout is not None
        events = []
        async for line in watching.stdout:
            if line.startswith(b"data: "):
                events.append(parse_event(from_json(line[6:])))
                if events[-1].type == "done":
                    break
        watching.terminate()
        await watching.wait()
        await expect(tab.answers).to_have_text("One log, many readers.")
        await expect(tab.bubbles).to_have_text("Who reads?")
    assert reply.text == "One log, many readers."
    assert fold(events).to_dict() == chat.state.to_dict()

"""The server is killed with -9 in mid-stream: what the client was shown is there afterwards."""

from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from tests.faults.server import killable
from tests.kit.patience import PATIENCE_SECONDS, patience
from turnwire_server.core.turn.options import DEFAULT_MODEL as MODEL
from turnwire_simulator import Answer, Gate, Simulator, Text

CHAT = {"X-Conversation-Id": "chat"}


async def test_killed_in_mid_stream_the_named_conversation_has_what_was_shown(
    tmp_path: Path,
) -> None:
    async with (
        Simulator() as simulator,
        killable(simulator.url, tmp_path / "chat.db") as server,
        patience(),
    ):
        simulator.program(Answer(Text(["Half of ", Gate()])), Answer(Text("The rest.")))
        await server.start()
        url = f"{server.url}/openai/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="any", max_retries=0) as client:
            asked: Any = [{"role": "user", "content": "hi"}]
            stream: Any = await client.chat.completions.create(
                model=MODEL, messages=asked, stream=True, extra_headers=CHAT
            )
            assert (await anext(aiter(stream))).choices[0].delta.content == "Half of "
            server.kill()
            with pytest.raises((openai.APIConnectionError, httpx2.TransportError)):
                async for _ in stream:
                    pass
            await server.start()
            # The client has what it was shown, and goes on.
            messages: Any = [
                *asked,
                {"role": "assistant", "content": "Half of "},
                {"role": "user", "content": "go on"},
            ]
            rest = await client.chat.completions.create(
                model=MODEL, messages=messages, extra_headers=CHAT
            )
        assert rest.choices[0].message.content == "The rest."
        async with httpx2.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS) as http:
            (listed,) = (await http.get("/v1/conversations")).json()["conversations"]
            path = f"/v1/conversations/{listed['conversation']}"
            turns = (await http.get(path)).json()["turns"]
    told = [
        (turn["content"], turn["blocks"][0]["text"], turn["done"]["stop_reason"]) for turn in turns
    ]
    assert told == [("hi", "Half of ", "interrupted"), ("go on", "The rest.", "end_turn")]
    assert len(simulator.requests) == 2

"""Through apps of Node.js that compress what they pass on: tokens come one by one all the same.

Of Next.js as it is built there is one app, in tests/e2e/react.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.e2e.proxies.front_ends import express, next_dev
from tests.kit.npm import Packages, packages_of
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import SseReader, asking
from turnwire_simulator import Answer, Gate, Simulator, Text

TOKEN = "a-shared-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "gzip"}
WORDS = ["one ", "two ", "three ", "four"]

FrontEnd = Callable[[Packages, str], AbstractAsyncContextManager[str]]


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """What answers in place of Claude."""
    async with Simulator() as simulator:
        yield simulator


@pytest.mark.parametrize("front_end", [express, next_dev])
async def test_each_token_is_read_before_the_next_is_written(
    front_end: FrontEnd, simulator: Simulator
) -> None:
    packages = packages_of(Path(__file__).parent)
    gates = [Gate() for _ in WORDS]
    paced = [part for word, gate in zip(WORDS, gates, strict=True) for part in (word, gate)]
    simulator.program(Answer(Text(paced)))
    async with (
        serving(turnwire_over(simulator, token=TOKEN)) as service,
        front_end(packages, f"http://{service}") as url,
        asking(url.removeprefix("http://"), headers=HEADERS) as http,
        patience(),
    ):
        # It does compress what may be.
        schema = await http.get("/openapi.json")
        assert (schema.status_code, schema.headers.get("content-encoding")) == (200, "gzip")
        async with http.stream("POST", "/v1/chat", json={"message": "hello"}) as response:
            assert response.status_code == 200
            reader = SseReader(response)
            for word, gate in zip(WORDS, gates, strict=True):
                # The model writes the next one only when this one has come through.
                assert (await reader.until("token")).data["text"] == word
                gate.open()
            await reader.until("done")

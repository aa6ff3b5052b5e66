"""The hooks in an app of Next.js: rendered on its server, then alive in Chromium, over the real
service behind its rewrites."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.e2e.react.apps import TOKEN, next_app
from tests.e2e.react.reader import Reader
from tests.kit.npm import Packages
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.port import reserved_port
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import SseReader, asking
from turnwire_simulator import Answer, Gate, Simulator, Text

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def answering() -> AsyncIterator[Simulator]:
    """What answers in place of Claude."""
    async with Simulator() as simulator:
        yield simulator


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def app(packages: Packages, package: Path, answering: Simulator) -> AsyncIterator[str]:
    """The address of the app; the service behind it wants the token."""
    with reserved_port() as port:
        turnwire = turnwire_over(
            answering,
            token=TOKEN,
            detach_grace=PATIENCE_SECONDS,
            # Its rewrites do not tell as which host they were asked.
            allow_origins=[f"http://127.0.0.1:{port}"],
        )
        async with (
            serving(turnwire) as service,
            next_app(packages, package, f"http://{service}", port) as url,
        ):
            yield url


async def test_what_the_server_renders_comes_alive_streams_stops_and_is_resumed(
    app: str, browser: Browser, answering: Simulator
) -> None:
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE_SECONDS * 1000)
    reader = Reader(await context.new_page())
    await reader.page.goto(app)
    await expect(reader.connection).to_have_text("open")
    gate = Gate()
    answering.program(Answer(Text(["one ", gate, "two"])), Answer(Text(["three ", Gate()])))
    await reader.ask("Count")
    await expect(reader.texts).to_have_text("one")
    reader.sockets.clear()
    await reader.page.reload()
    await expect(reader.texts).to_have_text("one")
    await expect(reader.status).to_have_text("streaming")
    gate.open()
    await expect(reader.texts).to_have_text("one two")
    await expect(reader.status).to_have_text("ready")
    await reader.ask("Go on")
    await expect(reader.newest).to_have_text("three")
    await reader.press("Stop")
    await expect(reader.ends).to_have_text(["end_turn", "cancelled"])
    assert (len(reader.sockets), reader.open_sockets) == (1, 1)
    await context.close()
    # A hydration that does not match is an error in the console.
    assert reader.problems == []


async def test_the_server_renders_without_a_connection_what_every_page_begins_with(
    app: str,
) -> None:
    async with httpx2.AsyncClient(base_url=app, timeout=PATIENCE_SECONDS) as http:
        for query, state in (("", "new"), ("?c=c_unknown", "loading")):
            page = (await http.get(f"/{query}")).text
            assert "<output>ready</output>" in page
            assert f'<span class="state">{state}</span>' in page
            assert '<span class="connection">connecting</span>' in page
            assert TOKEN not in page


async def test_an_event_stream_through_its_rewrites_comes_token_by_token(
    app: str, answering: Simulator
) -> None:
    words = ["one ", "two ", "three"]
    gates = [Gate() for _ in words]
    answering.program(
        Answer(Text([part for pair in zip(words, gates, strict=True) for part in pair]))
    )
    headers = {"Authorization": f"Bearer {TOKEN}", "Accept-Encoding": "gzip"}
    async with asking(app.removeprefix("http://"), headers=headers) as http, patience():
        # It does compress what may be.
        assert (await http.get("/")).headers["content-encoding"] == "gzip"
        async with http.stream("POST", "/v1/chat", json={"message": "hello"}) as response:
            assert response.status_code == 200
            reader = SseReader(response)
            for word, gate in zip(words, gates, strict=True):
                # The model writes the next one only when this one has come through.
                assert (await reader.until("token")).data["text"] == word
                gate.open()
            await reader.until("done")

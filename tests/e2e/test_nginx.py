"""Through a real nginx: WebSocket, unbuffered server-sent events, and a reconnect."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.nginx import Nginx, proxied
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import SseReader, asking, listening
from turnwire import Backoff, connect
from turnwire_simulator import Answer, Gate, Simulator, Text

TOKEN = "a-shared-token"


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """What answers in place of Claude."""
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def nginx(simulator: Simulator, tmp_path: Path) -> AsyncIterator[Nginx]:
    """nginx before a service with a token, as in `server/deploy`."""
    turnwire = turnwire_over(simulator, token=TOKEN)
    async with (
        serving(turnwire) as address,
        proxied(int(address.rpartition(":")[2]), tmp_path) as nginx,
    ):
        yield nginx


async def test_a_chat_over_websocket(nginx: Nginx, simulator: Simulator) -> None:
    simulator.program(Answer(Text("through the proxy")))
    async with patience(), connect(nginx.url, token=TOKEN) as wire:
        reply = await (await wire.conversation().send("hello"))
    assert reply.text == "through the proxy"


async def test_server_sent_events_come_unbuffered(nginx: Nginx, simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["first ", gate, "second"])))
    async with listening(
        nginx.url.removeprefix("http://"),
        "/v1/chat",
        method="POST",
        json={"message": "hello"},
        headers={"Authorization": f"Bearer {TOKEN}"},
    ) as reader:
        first = await reader.until("token")
        # The rest is not even written yet: nothing on the way waited for it.
        gate.open()
        await reader.until("done")
    assert (first.data["text"], reader.fold().to_dict()["turns"][0]["state"]) == ("first ", "done")


async def test_a_client_heals_when_the_proxy_restarts(nginx: Nginx, simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["one ", gate, "two"])))
    quick = Backoff(base_seconds=0.01, cap_seconds=0.05)
    async with (
        patience(),
        connect(nginx.url, token=TOKEN, backoff=quick) as wire,
    ):
        turn = await wire.conversation().send("hello")
        texts = []
        async for text in turn.text_stream:
            texts.append(text)
            if text == "one ":
                await nginx.stop()
                await nginx.start()
                gate.open()
    assert "".join(texts) == "one two"


async def test_an_upload_of_nine_megabytes_passes(nginx: Nginx) -> None:
    image = b"\x89PNG\r\n\x1a\n" + bytes(9 * 1024 * 1024)
    async with patience(), connect(nginx.url, token=TOKEN) as wire:
        block = await wire.upload(image, media_type="image/png")
    assert block.bytes == len(image)


async def test_the_pages_files_are_compressed_and_streams_are_not(nginx: Nginx) -> None:
    address = nginx.url.removeprefix("http://")
    gzip = {"Accept-Encoding": "gzip", "Authorization": f"Bearer {TOKEN}"}
    async with patience(), asking(address, headers=gzip) as http:
        named = re.findall(r'"(page/[^"]+\.(?:css|js))"', (await http.get("/")).text)
        assert len(named) == 3
        for path in ("/", *named):
            answer = await http.get(path)
            assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
            again = await http.get(path, headers={"If-None-Match": answer.headers["etag"]})
            assert again.status_code == 304
        async with http.stream("POST", "/v1/chat", json={"message": "hello"}) as stream:
            assert "content-encoding" not in stream.headers
            await SseReader(stream).until("done")

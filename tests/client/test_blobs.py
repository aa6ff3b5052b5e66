"""Images and documents of a Python program, at a real service over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.program import Screen, ended, start
from tests.kit.service import by_name, serving, turnwire_over
from turnwire import (
    BadArgument,
    BadServer,
    CannotConnect,
    ConnectionRefused,
    DocumentBlock,
    ImageBlock,
    Rejected,
    TextBlock,
    connect,
)
from turnwire_simulator import Answer, Simulator, Text, ToolUse

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
PDF = b"%PDF-1.7\n" + bytes(50)
OK = Answer(Text("Ok."))


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def url(simulator: Simulator) -> AsyncIterator[str]:
    turnwire = turnwire_over(simulator, authenticate=by_name, limits={"max_blob_bytes": 1000})
    async with serving(turnwire) as address:
        yield f"http://{address}"


def asked(simulator: Simulator) -> list[Any]:
    """The user's last message, as the model was shown it."""
    content: list[Any] = simulator.requests[-1]["messages"][-1]["content"]
    return content


async def test_an_image_is_put_in_sent_and_read(url: str, simulator: Simulator) -> None:
    simulator.program(OK)
    async with connect(url, "anna") as wire:
        image = await wire.upload(PNG, media_type="image/png", name="dot.png")
        await (await wire.conversation().send([TextBlock(text="Look:"), image]))
        assert await wire.download(image) == PNG
    assert isinstance(image, ImageBlock)
    assert (image.media_type, image.bytes, image.name) == ("image/png", len(PNG), "dot.png")
    assert [block["type"] for block in asked(simulator)] == ["text", "image"]


async def test_a_file_is_known_by_its_path(url: str, tmp_path: Path) -> None:
    path = tmp_path / "Paper.PDF"
    path.write_bytes(PDF)
    async with connect(url, "anna") as wire:
        document = await wire.upload(path)
    assert isinstance(document, DocumentBlock)
    assert (document.media_type, document.name) == ("application/pdf", "Paper.PDF")


@pytest.mark.parametrize(
    ("source", "media_type", "error"),
    [
        (PNG, None, BadArgument),
        (bytes(1001), "image/png", BadArgument),
        (Path("/nowhere/a.png"), None, BadArgument),
        (b"no image", "image/png", Rejected),
        (b"", "image/png", Rejected),
        (PNG, "text/html", Rejected),
        (PNG, "image/png\r\nX: 1", BadArgument),
    ],
)
async def test_what_cannot_be_put_in_is_refused(
    url: str, source: bytes | Path, media_type: str | None, error: type[Exception]
) -> None:
    async with connect(url, "anna") as wire:
        with pytest.raises(error) as refused:
            await wire.upload(source, media_type=media_type)
    if isinstance(refused.value, Rejected):
        assert refused.value.code == "bad_command"


async def test_somebody_elses_blob_is_not_found(url: str) -> None:
    async with connect(url, "anna") as anna, connect(url, "bert") as bert:
        image = await anna.upload(PNG, media_type="image/png")
        with pytest.raises(Rejected) as rejected:
            await bert.download(image)
    assert rejected.value.code == "not_found"


async def test_a_service_that_is_gone_cannot_be_asked(simulator: Simulator) -> None:
    async with serving(turnwire_over(simulator)) as address:
        wire = connect(f"http://{address}")
        async with wire:
            image = await wire.upload(PNG, media_type="image/png")
    with pytest.raises(CannotConnect):
        await wire.download(image)


async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Some other server: a redirect for what is put in, too little for what is read."""
    request = await reader.readuntil(b"\r\n\r\n")
    head = b"HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    if request.startswith(b"GET"):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    writer.write(head)
    writer.close()


async def test_what_is_no_turnwire_is_not_believed_nor_followed() -> None:
    async with await asyncio.start_server(elsewhere, "127.0.0.1", 0) as server:
        wire = connect(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "secret")
        with pytest.raises(ConnectionRefused) as refused:
            await wire.upload(PNG, media_type="image/png")
        image = ImageBlock(blob=f"b_{'0' * 32}", media_type="image/png", bytes=len(PNG))
        with pytest.raises(BadServer):
            await wire.download(image)
    assert refused.value.status == 307


async def test_an_image_of_a_tool_is_shown_to_the_model(url: str, simulator: Simulator) -> None:
    simulator.program(Answer(ToolUse("draw", {}), stop_reason="tool_use"), OK)
    async with connect(url, "anna") as wire:

        @wire.tool
        async def draw() -> ImageBlock | DocumentBlock:
            """Draw a dot."""
            return await wire.upload(PNG, media_type="image/png")

        await (await wire.conversation().send("Draw."))
    (result,) = asked(simulator)
    assert [block["type"] for block in result["content"]] == ["image"]


async def test_a_result_the_server_refuses_is_told_to_the_model(
    url: str, simulator: Simulator
) -> None:
    simulator.program(Answer(ToolUse("draw", {}), stop_reason="tool_use"), OK)
    async with connect(url, "anna") as wire:

        @wire.tool
        def draw() -> ImageBlock:
            """An image that nobody has put in."""
            return ImageBlock(blob=f"b_{'0' * 32}", media_type="image/png", bytes=1)

        await (await wire.conversation().send("hi"))
    (result,) = asked(simulator)
    assert result["is_error"] is True
    assert "no such blob" in result["content"]


# `turnwire chat`


async def test_chat_attaches_files_to_its_message(
    url: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.program(OK)
    (tmp_path / "dot.png").write_bytes(PNG)
    where = ["chat", "--url", url, "--token", "anna", "--attach", str(tmp_path / "dot.png")]
    assert await ended(await start(*where, "Look")) == (0, "Ok.\n", "")
    assert [block["type"] for block in asked(simulator)] == ["text", "image"]


async def test_chat_attaches_at_the_prompt_once_and_says_what_is_wrong(
    url: str, simulator: Simulator, tmp_path: Path
) -> None:
    simulator.program(OK, OK)
    (tmp_path / "a dot.png").write_bytes(PNG)
    screen = await Screen.open(url, "--token", "anna")
    for typed, seen in [
        (f"/attach '{tmp_path}/a dot.png'", "With the next message: [a dot.png]"),
        ("/attach 'unclosed", "Error: No closing quotation"),
        ("/attach /nowhere.png", "Error: /nowhere.png: No such file"),
        ("Look", "Ok."),
        ("Again", "Ok."),
    ]:
        await screen.prompts()
        screen.type(f"{typed}\n")
        await screen.sees(seen)
    await screen.prompts()
    screen.type("\x04")
    assert await screen.ended() == 0
    first, second = (request["messages"][-1]["content"] for request in simulator.requests)
    assert [block["type"] for block in first] == ["text", "image"]
    assert [block["type"] for block in second] == ["text"]

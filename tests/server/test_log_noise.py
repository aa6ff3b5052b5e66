"""What peers do wrong, or leave undone, is no traceback and no flood in the log of `serve`."""

import asyncio
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.kit.patience import patience
from tests.kit.sse import asking, listening
from tests.kit.wire import Wire, wired
from tests.server.serve import Running, served

PROMPT = ("--limits", '{"flood_hold_seconds": 0}')
"""Who breaks the protocol is not held: the tests would sit that out."""

GET = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
HANDSHAKE = f"{GET}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
POST = "POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {}\r\nContent-Length: 1000000\r\n\r\nx"
BAD_FRAMES = {
    "reserved bits": b"\xff\xff\xff\xff",
    "not masked": b"\x81\x05hello",
    "not UTF-8": b"\x81\x82\0\0\0\0\xff\xff",
    "too large": b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0",
    "a close of one byte": b"\x88\x81\0\0\0\0a",
    "binary": b"\x82\x81\0\0\0\0a",
    "not JSON": b"\x81\x81\0\0\0\0[",
}
BAD_REQUESTS = {
    "no HTTP": b"NONSENSE\r\n\r\n",
    "a chunk without length": (
        b"POST /v1/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    ),
    "another WebSocket": HANDSHAKE.replace(": 13", ": 99").encode(),
}


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Running]:
    """The demo, ended at once; then its log has neither."""
    async with served(tmp_path, "--drain-grace", "0", *PROMPT) as running, patience():
        yield running
    assert "Traceback" not in running.logged
    assert "socket.send() raised" not in running.logged


@asynccontextmanager
async def raw(demo: Running) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection of which every byte is ours; reset in the end, without a word."""
    host, port = demo.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader, writer
    finally:
        reset(writer.transport)


def reset(transport: asyncio.WriteTransport) -> None:
    """The peer has gone as by a power cut: an RST in place of a FIN."""
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    transport.abort()


async def served_still(demo: Running) -> None:
    """Whatever came before has been seen by the server: it answers."""
    async with asking(demo.address) as http:
        for _ in range(3):
            assert (await http.get("/health")).status_code == 200


async def test_bad_frames(demo: Running) -> None:
    for frame in BAD_FRAMES.values():
        async with raw(demo) as (reader, writer):
            writer.write(HANDSHAKE.encode())
            await reader.readuntil(b"\r\n\r\n")
            writer.write(frame)
            with suppress(ConnectionResetError):
                # Until its close, which is the first byte that is no ASCII: it is not answered.
                while (data := await reader.read(65536)) and b"\x88" not in data:
                    pass
    await served_still(demo)


async def test_bad_requests(demo: Running) -> None:
    for request in BAD_REQUESTS.values():
        async with raw(demo) as (reader, writer):
            writer.write(request)
            await reader.read(65536)
    await served_still(demo)


async def test_who_breaks_the_protocol_over_and_over_gets_a_line_a_second(tmp_path: Path) -> None:
    began = time.monotonic()
    async with served(tmp_path, "--drain-grace", "0", *PROMPT) as running, patience():
        for _ in range(20):
            async with raw(running) as (reader, writer):
                writer.write(BAD_REQUESTS["a chunk without length"])
                await reader.read(65536)
        await served_still(running)
    lines = running.logged.count("a peer broke the protocol")
    assert 1 <= lines <= 1 + time.monotonic() - began


async def test_uploaders_who_go(demo: Running) -> None:
    for path, media_type in (("/v1/blobs", "image/png"), ("/v1/chat", "application/json")):
        for _ in range(5):
            async with raw(demo) as (_, writer):
                writer.write(POST.format(path, media_type).encode())
                await writer.drain()
    await served_still(demo)


async def test_readers_who_go(demo: Running) -> None:
    story = {"message": "a long story", "on_detach": "continue"}
    for _ in range(3):
        async with listening(demo.address, "/v1/chat", method="POST", json=story) as reader:
            await reader.until("token")
        async with raw(demo) as (_, writer):
            writer.write(
                b"GET /v1/chat?message=a+long+story&key=k HTTP/1.1\r\nHost: localhost\r\n"
                b"Accept: application/json\r\n\r\n"
            )
            await writer.drain()
    await served_still(demo)


async def test_a_peer_who_is_gone_before_its_replies(demo: Running) -> None:
    async with wired(demo.address) as wire:
        ack = await wire.ask("send", content="refuse please")
        await wire.until("done")
    for _ in range(5):
        async with wired(demo.address) as wire:
            for _ in range(50):
                await wire.send("subscribe", conversation=ack["conversation"])
                await wire.send("ping")
            reset(wire.socket.transport)
    await served_still(demo)


async def test_a_turn_that_is_cancelled_or_left(demo: Running) -> None:
    for on_detach in ("cancel", "continue", "cancel", "continue"):
        async with wired(demo.address) as wire:
            ack = await wire.ask("send", content="a long story", on_detach=on_detach)
            await wire.until("token")
            await cancelled(wire, ack)
            await wire.ask("send", content="a long story", on_detach=on_detach)
            await wire.until("token")
            reset(wire.socket.transport)
    demo.process.send_signal(signal.SIGTERM)


async def cancelled(wire: Wire, ack: dict[str, str]) -> None:
    """The turn has been stopped."""
    await wire.ask("cancel", conversation=ack["conversation"], turn=ack["turn"])
    assert (await wire.until("done", turn=ack["turn"]))["stop_reason"] == "cancelled"

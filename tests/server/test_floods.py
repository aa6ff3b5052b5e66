"""Peers that send the smallest frames as fast as they can, and ordinary ones who send a lot."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from tests.kit.patience import patience
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import opened, wired
from turnwire_protocol import PROTOCOL
from turnwire_simulator import Answer, Gate, Simulator, Text

MASK = bytes(4)
FRAMES = {
    "empty": b"\x81\x80" + MASK,
    "continuation": b"\x00\x80" + MASK,
    "ping": b"\x89\x80" + MASK,
    "pong": b"\x8a\x80" + MASK,
    "JSON ping": b"\x81\x98" + MASK + b'{"type":"ping","id":"1"}',
}
MANY_BYTES = 1024 * 1024
PONG = re.compile(rb'\x8a\x00|"type":"pong"')


class Peer:
    """A socket on which anything may be written, once it is a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def until_closed(self) -> bytes:
        """All that comes until the server hangs up."""
        received = b""
        with suppress(ConnectionResetError):
            async with patience():
                while data := await self._reader.read(65536):
                    received += data
        return received

    async def flood(self, piece: bytes) -> bytes:
        """Write a mebibyte of it, and read until the server hangs up."""
        reading = asyncio.create_task(self.until_closed())
        with suppress(ConnectionError):
            self.writer.write(piece * (MANY_BYTES // len(piece)))
            await self.writer.drain()
        return await reading


@asynccontextmanager
async def peer(address: str, head: bytes) -> AsyncIterator[Peer]:
    """A connection on which this has been written."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(head)
    try:
        yield Peer(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def upgraded(address: str, *more: str) -> AsyncIterator[Peer]:
    """A WebSocket, with more headers perhaps."""
    lines = ["GET /v1/ws HTTP/1.1", f"Host: {address}", "Upgrade: websocket"]
    lines += ["Connection: Upgrade", "Sec-WebSocket-Version: 13", *more]
    lines += [f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}"]
    lines += [f"Sec-WebSocket-Protocol: {PROTOCOL}", "", ""]
    async with peer(address, "\r\n".join(lines).encode()) as socket:
        async with patience():
            await socket._reader.readuntil(b"\r\n\r\n")
        yield socket


@pytest.mark.parametrize("credentials", [(), ("Authorization: Bearer bert",)], ids=["none", "own"])
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
async def test_who_floods_is_cut_off_in_the_middle_of_a_read_and_a_turn_goes_on(
    simulator: Simulator, frame: bytes, credentials: tuple[str, ...]
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate))
    turnwire = turnwire_over(simulator, authenticate=by_name)
    async with serving(turnwire) as address, wired(address, hello="anna") as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await gate.reached()
        async with upgraded(address, *credentials) as attacker:
            received = await attacker.flood(frame)
        # Tens of thousands were sent.
        assert len(PONG.findall(received)) < 2_000
        gate.open()
        await wire.until("done")
        assert wire.fold(conversation).to_dict()["turns"][0]["blocks"][0]["text"] == "Hello"


async def test_a_body_in_countless_pieces_is_cut_off(simulator: Simulator) -> None:
    head = b"POST /v1/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    turnwire = turnwire_over(simulator, authenticate=by_name)
    async with serving(turnwire) as address, peer(address, head) as attacker:
        await attacker.flood(b"1\r\nx\r\n")
        async with asking(address) as http:
            assert (await http.get("/health")).status_code == 200


@pytest.mark.parametrize("frame", ['{"type": "ping", "id": "1"}', '{"type": "nonsense"}'])
async def test_a_handful_of_frames_may_come_before_hello(simulator: Simulator, frame: str) -> None:
    turnwire = turnwire_over(simulator, authenticate=by_name, limits={"max_frames_before_hello": 4})
    async with serving(turnwire) as address:
        async with opened(address) as wire:
            for _ in range(3):
                await wire.send_raw(frame)
            await wire.send("hello", token="anna")
            await wire.until("welcome")
        async with opened(address) as wire:
            for _ in range(5):
                await wire.send_raw(frame)
            assert await wire.closed() == 4429


async def test_a_large_frame_before_hello_closes_with_1009(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, authenticate=by_name)
    async with serving(turnwire) as address, opened(address) as wire:
        await wire.send_raw("x" * 4097)
        assert await wire.closed() == 1009


async def test_data_frames_are_bounded_by_the_app_too_behind_any_server(
    simulator: Simulator,
) -> None:
    limits = {"max_frames_per_second": 1, "max_commands_per_second": 1}
    async with serving(turnwire_over(simulator, limits=limits)) as address, wired(address) as wire:
        with suppress(Exception):
            for _ in range(50):
                await wire.send("ping")
        assert await wire.closed() == 4429


async def test_an_ordinary_client_never_meets_the_bounds(
    address: str, simulator: Simulator
) -> None:
    words = [f"{number} " for number in range(200)]
    async with wired(address, hello="any") as wire:
        # Twice the rate of commands at once, as a page does that comes back.
        ids = [await wire.send("unsubscribe", conversation=f"c_{number}") for number in range(90)]
        for id in ids:
            assert (await wire.until("ack", id=id))["id"] == id
        for _ in range(30):
            assert (await wire.ask("ping"))["type"] == "pong"
            pong = await wire.socket.ping()
            await pong
    async with wired(address) as wire:
        # Some libraries write a large message in fragments of 4 KiB.
        large = '{"type": "unsubscribe", "id": "large", "conversation": "' + "x" * 1_000_000 + '"}'
        pieces = [large[start : start + 4096] for start in range(0, len(large), 4096)]
        await wire.socket.send(pieces)
        assert (await wire.receive())["type"] in ("ack", "reject")
        simulator.program(*(Answer(Text(words)) for _ in range(40)))
        for _ in range(40):
            await wire.send("send", content="hi")
        done = 0
        while done < 40:
            done += (await wire.receive())["type"] == "done"

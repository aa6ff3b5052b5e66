"""Peers that send the smallest frames as fast as they can, and ordinary ones who send a lot."""

import asyncio
import base64
import gc
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import pytest
import uvicorn
from starlette.requests import HTTPConnection

from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import opened, wired
from turnwire_protocol import PROTOCOL
from turnwire_server import Turnwire, create_app
from turnwire_server.connections import HardenedHttpProtocol, HardenedProtocol
from turnwire_server.listener import bind
from turnwire_simulator import Answer, Gate, Simulator, Text

MASK = bytes(4)
PING = b'{"type":"ping","id":"1"}'
FRAMES = {
    "empty": (b"", b"\x81\x80" + MASK),
    "fragment": (b"\x01\x80" + MASK, b"\x00\x80" + MASK),
    "ping": (b"", b"\x89\x80" + MASK),
    "pong": (b"", b"\x8a\x80" + MASK),
    "JSON ping": (b"", b"\x81\x98" + MASK + PING),
}
"""What comes first, perhaps, and then over and over."""
MANY_BYTES = 1024 * 1024
CLOSE = 0x88
HELD = {"flood_hold_seconds": PATIENCE_SECONDS}
"""Who is cut off is not thrown out before the test has read why."""


@dataclass(frozen=True)
class Ending:
    """How a connection ended."""

    code: int
    """Of the close frame."""
    answers: int
    """Frames that came before it."""


class Peer:
    """A socket on which anything may be written, once it is a WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def flood(self, first: bytes, piece: bytes) -> Ending:
        """Write a mebibyte of it, and read until the server's close frame."""
        self.writer.write(first + piece * (MANY_BYTES // len(piece)))
        answers = 0
        async with patience():
            while True:
                kind, length = await self.reader.readexactly(2)
                # A server's frames have no mask (RFC 6455 §5.1), and none of these is a large one.
                if length == 126:
                    (length,) = struct.unpack("!H", await self.reader.readexactly(2))
                payload = await self.reader.readexactly(length)
                if kind == CLOSE:
                    return Ending(struct.unpack("!H", payload[:2])[0], answers)
                answers += 1

    async def until_gone(self) -> bytes:
        """All that comes until the connection ends, in whatever way."""
        received = b""
        with suppress(ConnectionError):
            async with patience():
                while data := await self.reader.read(65536):
                    received += data
        return received


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


def upgrade(address: str, *more: str) -> bytes:
    """The request for a WebSocket, with more headers perhaps."""
    lines = ["GET /v1/ws HTTP/1.1", f"Host: {address}", "Upgrade: websocket"]
    lines += ["Connection: Upgrade", "Sec-WebSocket-Version: 13", *more]
    lines += [f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}"]
    lines += [f"Sec-WebSocket-Protocol: {PROTOCOL}", "", ""]
    return "\r\n".join(lines).encode()


@asynccontextmanager
async def upgraded(address: str, *more: str) -> AsyncIterator[Peer]:
    """A WebSocket, with more headers perhaps."""
    async with peer(address, upgrade(address, *more)) as socket:
        async with patience():
            await socket.reader.readuntil(b"\r\n\r\n")
        yield socket


@asynccontextmanager
async def behind_another_server(turnwire: Turnwire) -> AsyncIterator[str]:
    """Serve it as an embedding app does, by uvicorn as it is."""
    config = uvicorn.Config(create_app(turnwire), log_level="warning", ws="websockets-sansio")
    server, listener = uvicorn.Server(config), bind("127.0.0.1", 0)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with patience():
            while not server.started:  # noqa: ASYNC110 (uvicorn sets no event)
                await asyncio.sleep(0)
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


@pytest.mark.parametrize("credentials", [(), ("Authorization: Bearer bert",)], ids=["none", "own"])
@pytest.mark.parametrize(("first", "piece"), FRAMES.values(), ids=FRAMES)
async def test_who_floods_is_cut_off_in_the_middle_of_a_read_and_a_turn_goes_on(
    simulator: Simulator, first: bytes, piece: bytes, credentials: tuple[str, ...]
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate))
    turnwire = turnwire_over(simulator, authenticate=by_name, limits=HELD)
    async with serving(turnwire) as address, wired(address, hello="anna") as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await gate.reached()
        async with upgraded(address, *credentials) as attacker:
            ending = await attacker.flood(first, piece)
        # An empty frame is no JSON: the app, if it gets one at all, closes with its own code.
        is_refused = bool(credentials) and piece == FRAMES["empty"][1]
        assert ending.code == (4500 if is_refused else 4429)
        # Tens of thousands were sent.
        assert ending.answers < 2_000
        gate.open()
        await wire.until("done")
        assert wire.fold(conversation).to_dict()["turns"][0]["blocks"][0]["text"] == "Hello"


async def test_who_breaks_the_websocket_protocol_is_held_too(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, limits=HELD)
    async with serving(turnwire) as address, upgraded(address) as attacker:
        # A continuation of nothing.
        ending = await attacker.flood(b"", b"\x00\x80" + MASK)
        assert ending.code == 1002
        async with asking(address) as http:
            assert (await http.get("/health")).status_code == 200
        assert not attacker.reader.at_eof()
        assert attacker.reader.exception() is None


async def test_who_was_cut_off_is_thrown_out_after_a_while(simulator: Simulator) -> None:
    turnwire = turnwire_over(
        simulator, authenticate=by_name, limits={"flood_hold_seconds": 0.01, "max_connections": 1}
    )
    async with serving(turnwire) as address, upgraded(address) as attacker:
        attacker.writer.write(FRAMES["ping"][1] * 1_000)
        await attacker.until_gone()
    # Nor does he keep the place of another, as long as he is there.
    turnwire = turnwire_over(simulator, limits={**HELD, "max_connections": 1})
    async with serving(turnwire) as address, upgraded(address) as attacker:
        await attacker.flood(*FRAMES["ping"])
        async with asking(address) as http:
            assert (await http.get("/health")).status_code == 200
        await attacker.until_gone()


async def test_who_floods_before_he_is_accepted_is_no_fault_of_ours(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def authenticate(connection: HTTPConnection) -> str:
        asked.set()
        await answered.wait()
        return "anna"

    limits = {"flood_hold_seconds": 0.01}
    turnwire = turnwire_over(simulator, authenticate=authenticate, limits=limits)
    async with serving(turnwire) as address, peer(address, upgrade(address)) as attacker:
        async with patience():
            await asked.wait()
        attacker.writer.write(FRAMES["ping"][1] * 1_000)
        assert await attacker.until_gone() == b""
        answered.set()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


ASKED = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD = (
    b"POST /v1/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer anna\r\nTransfer-Encoding: chunked\r\n\r\n"
)


async def test_a_body_in_countless_pieces_is_cut_off_and_not_answered(simulator: Simulator) -> None:
    # The app's own bounds of a body are far away.
    limits = {"flood_hold_seconds": 0.01, "body_timeout_seconds": 3600, "max_frame_bytes": 2**24}
    turnwire = turnwire_over(simulator, authenticate=by_name, limits=limits)
    async with serving(turnwire) as address, peer(address, HEAD) as attacker:
        attacker.writer.write(b"1\r\nx\r\n" * 10_000)
        assert await attacker.until_gone() == b""
        async with asking(address) as http:
            assert (await http.get("/health")).status_code == 200


async def test_a_short_body_may_come_in_pieces_of_one_byte(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, authenticate=by_name)
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in b'{"message": "Hello, how are you?"}')
    async with serving(turnwire) as address, peer(address, HEAD) as client:
        client.writer.write(body + b"0\r\n\r\n")
        async with patience():
            assert (await client.reader.readline()).split()[1] == b"200"


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
    turnwire = turnwire_over(simulator, limits=limits)
    async with behind_another_server(turnwire) as address, wired(address) as wire:
        for _ in range(50):
            await wire.send("ping")
        assert await wire.closed() == 4429


@pytest.mark.parametrize("frame", ["x" * (2**20 + 1), "\u00e4" * (2**19 + 1)], ids=["x", "bytes"])
async def test_the_size_of_frames_is_bounded_by_the_app_too(
    simulator: Simulator, frame: str
) -> None:
    async with (
        behind_another_server(turnwire_over(simulator)) as address,
        wired(address) as wire,
    ):
        await wire.send_raw(frame)
        assert await wire.closed() == 1009


@pytest.mark.parametrize(("frame", "code"), [(PING.decode(), 4429), ("x" * 4097, 1009)])
async def test_what_comes_before_hello_is_bounded_by_the_app_too(
    simulator: Simulator, frame: str, code: int
) -> None:
    turnwire = turnwire_over(simulator, authenticate=by_name, limits={"max_frames_before_hello": 4})
    async with behind_another_server(turnwire) as address, opened(address) as wire:
        for _ in range(4):
            await wire.send_raw(frame)
        assert await wire.closed() == code


async def test_a_connection_that_ends_leaves_nothing_to_the_collector(simulator: Simulator) -> None:
    kinds = (HardenedHttpProtocol, HardenedProtocol)
    limits = {"flood_hold_seconds": 0.01}
    turnwire = turnwire_over(simulator, authenticate=by_name, limits=limits)
    gc.collect()
    # Services of other tests may run in this process, and have connections of their own.
    others = WeakSet[Any](one for one in gc.get_objects() if type(one) in kinds)
    gc.disable()
    try:
        async with serving(turnwire) as address:
            async with (
                peer(address, b""),
                peer(address, ASKED) as asker,
                wired(address, hello="anna") as wire,
                upgraded(address) as attacker,
            ):
                async with patience():
                    await asker.reader.readuntil(b"}")
                await wire.ask("ping")
                every = [one for one in gc.get_objects() if type(one) in kinds]
                there = WeakSet[Any](one for one in every if one not in others)
                del every
                assert len(there) >= 4
                attacker.writer.write(FRAMES["ping"][1] * 1_000)
                await attacker.until_gone()
            async with patience():
                # They are gone as soon as the server has seen the end of them.
                while there:  # noqa: ASYNC110 (nothing says so)
                    await asyncio.sleep(0)
    finally:
        gc.enable()


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

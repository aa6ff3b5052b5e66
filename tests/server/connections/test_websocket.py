"""The WebSocket's own end of a connection."""

import asyncio
from collections import deque

import pytest
from uvicorn.protocols.utils import ClientDisconnected
from websockets.client import ClientProtocol
from websockets.frames import Frame
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from turnwire_server.connections import HardenedProtocol
from turnwire_server.waiting import Flag


class Transport(asyncio.Transport):
    """Notes what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Noted."""
        self.writes.append(bytes(data))


@pytest.fixture
def protocol() -> HardenedProtocol:
    """One that is open, without a server around it."""
    protocol = HardenedProtocol.__new__(HardenedProtocol)
    protocol.conn = ServerProtocol(state=State.OPEN)  # type: ignore[assignment]
    protocol.transport = Transport()
    protocol.writable = Flag()  # type: ignore[assignment]
    protocol.writable.set()
    protocol.close_sent = protocol.disconnected = False
    return protocol


def written(protocol: HardenedProtocol) -> list[bytes]:
    assert isinstance(protocol.transport, Transport)
    return protocol.transport.writes


async def test_what_comes_together_is_a_frame_each_and_one_write(
    protocol: HardenedProtocol,
) -> None:
    texts = deque(("one", "zwei ☀", "x" * 70_000))
    told = list(texts)
    await protocol.send_texts(texts)
    assert not texts
    (data,) = written(protocol)
    client = ClientProtocol(parse_uri("ws://127.0.0.1/"), state=State.OPEN, max_size=None)
    client.receive_data(data)
    frames = [event for event in client.events_received() if isinstance(event, Frame)]
    assert [bytes(frame.data).decode() for frame in frames] == told


async def test_while_the_peer_takes_nothing_more_nothing_is_written(
    protocol: HardenedProtocol,
) -> None:
    protocol.writable.clear()
    sending = asyncio.create_task(protocol.send_texts(deque(("one",))))
    await asyncio.sleep(0)
    assert written(protocol) == []
    protocol.writable.set()
    await sending
    assert len(written(protocol)) == 1


async def test_to_who_has_gone_nothing_is_written(protocol: HardenedProtocol) -> None:
    protocol.disconnected = True
    with pytest.raises(ClientDisconnected):
        await protocol.send_texts(deque(("one",)))
    assert written(protocol) == []

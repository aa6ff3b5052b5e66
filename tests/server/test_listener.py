"""The hardened socket: peers that never finish what they began are cut off, others are not."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import wired
from turnwire_server.connections import HardenedHttpProtocol
from turnwire_simulator import Simulator

BEGUN = b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


async def ending(address: str, *requests: bytes) -> bytes:
    """All that the server sends to these bytes until it closes."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    received = b""
    try:
        async with patience():
            for request in requests:
                writer.write(request)
                if request.endswith(b"\r\n\r\n"):
                    received += await reader.readuntil(b"}")
            while data := await reader.read(65536):
                received += data
    except ConnectionResetError:
        pass
    finally:
        writer.close()
    return received


@pytest.fixture
async def address(simulator: Simulator) -> AsyncIterator[str]:
    """A service to which headers must come at once."""
    limits = {"header_timeout_seconds": 0.05}
    async with serving(turnwire_over(simulator, limits=limits)) as address:
        yield address


@pytest.mark.parametrize("begun", [b"", b"GET", BEGUN], ids=["nothing", "word", "headers"])
async def test_a_request_whose_headers_never_end_is_cut_off(address: str, begun: bytes) -> None:
    assert await ending(address, begun) == b""


async def test_a_second_request_whose_headers_never_end_is_cut_off_too(address: str) -> None:
    whole = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert b"200 OK" in await ending(address, whole, BEGUN)


async def test_sockets_and_streams_outlive_the_time_for_headers(address: str) -> None:
    async with wired(address) as wire, asking(address) as http:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await wire.until("done")
        # Each cut-off takes longer than the time for headers.
        assert await ending(address, BEGUN) == b""
        assert (await wire.ask("ping"))["type"] == "pong"
        assert (await http.get(f"/v1/conversations/{conversation}")).status_code == 200


async def test_an_idle_connection_is_kept_longer_than_proxies_keep_theirs(address: str) -> None:
    """Google's load balancers have the longest: ten minutes."""
    loop, others = asyncio.get_running_loop(), idle_connections()
    async with asking(address) as http:
        assert (await http.get("/health")).status_code == 200
        (timer,) = (one.timeout_keep_alive_task for one in idle_connections() if one not in others)
        assert timer is not None
        assert timer.when() - loop.time() > 600


def idle_connections() -> list[HardenedHttpProtocol]:
    """Those that wait for their next request."""
    connections = (one for one in gc.get_objects() if type(one) is HardenedHttpProtocol)
    return [one for one in connections if one.timeout_keep_alive_task is not None]

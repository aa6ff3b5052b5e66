"""The first connection, and what is refused of it."""

import asyncio
import socket

import pytest

from tests.kit.scripted_server import ScriptedServer
from turnwire import BadAddress, CannotConnect, ConnectionRefused, State, connect
from turnwire.connection import socket_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/ws"),
        ("http://127.0.0.1:8000/", "ws://127.0.0.1:8000/v1/ws"),
        ("https://example.org/chat", "wss://example.org/chat/v1/ws"),
        ("ws://[::1]:8000/v1/ws", "ws://[::1]:8000/v1/ws"),
        ("wss://example.org/a/v1/ws/", "wss://example.org/a/v1/ws"),
    ],
)
def test_an_address_is_that_of_the_service_or_of_its_socket(url: str, address: str) -> None:
    assert socket_address(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "ftp://example.org", "http://", "http://a:x", "http://a:99999"]
    + [f"http://{rest}" for rest in ("u:p@a", "a/?token=x", "a/#token=x")],
)
def test_what_names_no_service_is_refused_at_once(url: str) -> None:
    with pytest.raises(BadAddress):
        connect(url)


async def test_nobody_there_cannot_be_connected_to() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(CannotConnect):
            async with connect(f"http://127.0.0.1:{unused.getsockname()[1]}"):
                pass


@pytest.mark.parametrize("status", [401, 403, 503])
async def test_a_refusal_tells_the_status(server: ScriptedServer, status: int) -> None:
    server.refuse = status
    with pytest.raises(ConnectionRefused) as caught:
        async with connect(server.url):
            pass
    assert (caught.value.status, caught.value.reason) == (status, "no")


async def test_a_server_that_never_welcomes_times_out() -> None:
    async with ScriptedServer(welcome=False) as server:
        with pytest.raises(CannotConnect):
            async with connect(server.url, open_timeout_seconds=0.05):
                pass
        await (await server.peer()).gone()


async def test_a_token_is_given_in_the_header_and_in_a_hello(server: ScriptedServer) -> None:
    async with connect(server.url, "s3cret") as wire:
        peer = await server.peer()
        hello = await peer.receive("hello")
        await peer.ack(hello)
        assert wire.state is State.OPEN
    assert hello["token"] == "s3cret"
    assert server.headers[0]["Authorization"] == "Bearer s3cret"


async def test_a_wrong_token_is_refused_by_close_code() -> None:
    async with ScriptedServer(welcome=False) as server:

        async def reject() -> None:
            peer = await server.peer()
            await peer.receive("hello")
            await peer.ws.close(4501, "who are you?")

        rejecting = asyncio.create_task(reject())
        with pytest.raises(ConnectionRefused) as caught:
            async with connect(server.url, "wrong"):
                pass
        await rejecting
    assert (caught.value.status, caught.value.reason) == (4501, "who are you?")

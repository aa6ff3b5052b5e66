"""The first connection, and what is refused of it."""

import asyncio
import socket

import pytest

from tests.kit.patience import patience
from tests.kit.scripted_server import ScriptedServer
from tests.kit.service import by_name, serving, turnwire_over
from turnwire import (
    BadAddress,
    BadArgument,
    CannotConnect,
    ConnectionRefused,
    State,
    UsageError,
    connect,
)
from turnwire.connection import socket_address
from turnwire_simulator import Simulator


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


async def test_a_missing_token_a_wrong_token_and_a_wrong_path_are_told_apart_at_once() -> None:
    # In an hour no test ends: nobody waits for the server's patience with a `hello`.
    limits = {"hello_timeout_seconds": 3600.0}
    told: list[tuple[int, str | None]] = []
    async with (
        patience(),
        Simulator() as simulator,
        serving(turnwire_over(simulator, authenticate=by_name, limits=limits)) as address,
    ):
        for path, token in (("", None), ("", "nobody"), ("/elsewhere", "anna")):
            with pytest.raises(ConnectionRefused) as caught:
                async with connect(f"http://{address}{path}", token, open_timeout_seconds=3600):
                    pass
            told.append((caught.value.status, caught.value.code))
    assert told == [(4501, "unauthorized"), (4501, "unauthorized"), (403, None)]


async def test_a_late_welcome_is_waited_for_without_a_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("turnwire.connection.PATIENT_SECONDS", 0.0)
    async with patience(), ScriptedServer(welcome=False) as server:

        async def welcome() -> None:
            peer = await server.peer()
            ping = await peer.receive("ping")
            await peer.send(server.welcome, {"type": "pong", "id": ping["id"]})

        welcoming = asyncio.create_task(welcome())
        async with connect(server.url) as wire:
            await welcoming
            assert wire.state is State.OPEN


def test_where_no_asyncio_runs_it_says_so() -> None:
    # As trio does it: a coroutine is run, and no event loop of asyncio is there.
    entering = connect("http://127.0.0.1:1").__aenter__()
    with pytest.raises(UsageError, match="asyncio"):
        entering.send(None)


@pytest.mark.parametrize("token", ["secret\n", "secret\x7f", "secret\ud800", "secret" * 1000])
def test_a_token_that_cannot_be_sent_is_refused_at_once_and_not_told(token: str) -> None:
    with pytest.raises(BadArgument) as refused:
        connect("http://127.0.0.1:9", token)
    assert "secret" not in str(refused.value)


async def test_a_token_may_have_any_letters() -> None:
    async with Simulator() as simulator:
        turnwire = turnwire_over(simulator, token="ключ от дома")
        async with (
            patience(),
            serving(turnwire) as address,
            connect(f"http://{address}", "ключ от дома") as wire,
        ):
            assert [head async for head in wire.conversations()] == []


async def test_what_can_be_no_name_of_a_host_is_no_service() -> None:
    for name in ("a" * 80, "\udcff"):
        with pytest.raises(BadAddress):
            async with connect(f"http://{name}.example"):
                pass

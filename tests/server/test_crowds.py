"""Who comes in great numbers: each bound refuses with its code, and those who are in stay."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from pydantic_core import from_json

from tests.kit.patience import patience
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking, listening
from tests.kit.wire import opened, wired
from turnwire_simulator import Answer, Gate, Simulator, Text

JSON = {"Content-Type": "application/json"}


@asynccontextmanager
async def silent(address: str) -> AsyncIterator[asyncio.StreamReader]:
    """A connection that says nothing."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        yield reader
    finally:
        writer.transport.abort()


def refusal(response: Any) -> tuple[int, str, bool, bool]:
    """What is told: status, code, retryable, and whether it says when to come again."""
    error = response.json()["error"]
    is_told = int(response.headers["Retry-After"]) > 0 and error["retry_after_seconds"] > 0
    return response.status_code, error["code"], error["retryable"], is_told


TOO_MANY = (429, "too_many", True, True)


@pytest.mark.slow
async def test_silent_connections_give_way_to_whoever_has_a_request(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, limits={"max_connections": 3})
    async with serving(turnwire) as address, wired(address) as wire, AsyncExitStack() as crowd:
        readers = [await crowd.enter_async_context(silent(address)) for _ in range(20)]
        async with asking(address) as http:
            assert (await http.get("/health")).status_code == 200
        assert (await wire.ask("ping"))["type"] == "pong"
        async with patience():
            ends = [await reader.read() for reader in readers[:17]]
        assert ends == [b""] * 17


async def test_sockets_without_hello_give_way_too(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, authenticate=by_name, limits={"max_connections": 1})
    async with serving(turnwire) as address, opened(address) as stranger, asking(address) as http:
        assert (await http.get("/health")).status_code == 200
        assert await stranger.closed() == 4429


async def test_when_all_are_served_the_next_connection_is_told_to_come_again(
    simulator: Simulator,
) -> None:
    turnwire = turnwire_over(simulator, limits={"max_connections": 1})
    async with serving(turnwire) as address, asking(address) as http:
        async with wired(address) as wire:
            assert refusal(await http.get("/health")) == TOO_MANY
            assert (await wire.ask("ping"))["type"] == "pong"
        async with patience():
            while (await http.get("/health")).status_code != 200:
                pass


async def test_an_address_has_so_many_connections_unless_proxies_may_stand_there(
    simulator: Simulator,
) -> None:
    turnwire = turnwire_over(simulator, limits={"max_connections_per_address": 1})
    async with serving(turnwire, proxies=[]) as address, wired(address), asking(address) as http:
        assert refusal(await http.get("/health")) == TOO_MANY
    async with serving(turnwire_over(simulator)) as address, wired(address), wired(address):
        pass


async def test_who_waited_longest_without_hello_must_go_when_the_lobby_is_full(
    simulator: Simulator,
) -> None:
    turnwire = turnwire_over(
        simulator, authenticate=by_name, limits={"max_sockets_before_hello": 1}
    )
    async with serving(turnwire) as address, wired(address, hello="anna") as known:
        async with opened(address) as first, opened(address) as second:
            assert await first.closed() == 4429
            await second.send("hello", token="bert")
            await second.until("welcome")
        assert (await known.ask("ping"))["type"] == "pong"


async def test_a_principal_has_so_many_streams_and_a_refused_one_leaves_no_trace(
    simulator: Simulator,
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate))
    turnwire = turnwire_over(simulator, authenticate=by_name, limits={"max_streams": 1})
    anna, bert = ({"Authorization": f"Bearer {name}"} for name in ("anna", "bert"))
    body = {"content": "hi"}
    async with serving(turnwire) as address, asking(address, headers=anna) as http:
        async with listening(address, "/v1/chat", method="POST", json=body, headers=anna) as sse:
            await gate.reached()
            assert refusal(await http.post("/v1/chat", json=body)) == TOO_MANY
            waiting = {"Accept": "application/json"}
            assert refusal(await http.post("/v1/chat", json=body, headers=waiting)) == TOO_MANY
            heads = (await http.get("/v1/conversations")).json()["conversations"]
            assert len(heads) == len(simulator.requests) == 1
            path = f"/v1/conversations/{heads[0]['conversation']}/events"
            assert refusal(await http.get(path)) == TOO_MANY
            assert (await http.get(path, headers=bert)).status_code == 404
            gate.open()
            await sse.rest()
        async with listening(address, path, headers=anna) as again:
            await again.until("done")


async def test_a_principal_has_so_many_requests_a_second(simulator: Simulator) -> None:
    limits = {"max_requests_per_second": 1}
    turnwire = turnwire_over(simulator, authenticate=by_name, limits=limits)
    async with serving(turnwire) as address, asking(address) as http:
        anna, bert = ({"Authorization": f"Bearer {name}"} for name in ("anna", "bert"))
        answers = [await http.get("/v1/conversations", headers=anna) for _ in range(10)]
        assert [answer.status_code for answer in answers[:2]] == [200, 200]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert {refusal(answer) for answer in refused} == {TOO_MANY}
        assert (await http.get("/v1/conversations", headers=bert)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/conversations/c_1/cancel"])
async def test_a_body_that_does_not_come_is_not_waited_for(simulator: Simulator, path: str) -> None:
    turnwire = turnwire_over(simulator, limits={"body_timeout_seconds": 0.05})
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    async with serving(turnwire) as address, AsyncExitStack() as left:
        host, port = address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        left.callback(writer.transport.abort)
        writer.write(f"{head}Content-Length: 10\r\n\r\n{{".encode())
        async with patience():
            answer = await reader.readuntil(b"}}")
    assert answer.startswith(b"HTTP/1.1 504 ")
    assert from_json(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "timeout"


async def test_a_principal_has_so_many_bodies_on_their_way(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, limits={"max_bodies": 1})
    goes_on = asyncio.Event()
    is_read = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b'{"content": '
        is_read.set()
        await goes_on.wait()
        yield b'"hi"}'

    async with serving(turnwire) as address, asking(address) as http:
        first = asyncio.create_task(http.post("/v1/chat", content=slow(), headers=JSON))
        async with patience():
            await is_read.wait()
            while (answer := await http.post("/v1/chat", json={"content": "no"})).is_success:
                pass
        assert refusal(answer) == TOO_MANY
        goes_on.set()
        assert (await first).status_code == 200

"""What a client does about each close code: the vectors, over a real socket."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.kit.scripted_server import AT_ONCE, ScriptedServer
from turnwire import ConnectionLost, State, connect

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors" / "close.json"
UNSENDABLE = (1005, 1006)
"""They stand for the lack of a code (RFC 6455 §7.4.1)."""


def codes(*, reconnect: bool, fails_unacknowledged: bool) -> list[int]:
    expected = {"reconnect": reconnect, "fails_unacknowledged": fails_unacknowledged}
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
    return [
        case["code"]
        for case in cases
        if case["code"] not in UNSENDABLE and expected.items() <= case.items()
    ]


@pytest.mark.parametrize("code", codes(reconnect=True, fails_unacknowledged=False))
async def test_a_close_that_allows_it_is_healed(server: ScriptedServer, code: int) -> None:
    async with connect(server.url, backoff=AT_ONCE) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        first = await peer.receive("send")
        await peer.ws.close(code)
        peer = await server.peer()
        assert await peer.receive("send") == first
        await peer.ack_send(first)
        await sending
        assert wire.state is State.OPEN


@pytest.mark.parametrize("code", codes(reconnect=True, fails_unacknowledged=True))
async def test_a_close_that_a_command_may_have_caused_fails_it_and_heals(
    server: ScriptedServer, code: int
) -> None:
    async with connect(server.url, backoff=AT_ONCE) as wire:
        chat = wire.conversation()
        sending = asyncio.create_task(chat.send("Hi"))
        peer = await server.peer()
        await peer.receive("send")
        await peer.ws.close(code)
        with pytest.raises(ConnectionLost) as caught:
            await sending
        peer = await server.peer()
        sending = asyncio.create_task(chat.send("Again"))
        command = await peer.receive("send")
        assert command["content"] == "Again"
        await peer.ack_send(command)
        await sending
    assert caught.value.close_code == code


@pytest.mark.parametrize("code", codes(reconnect=False, fails_unacknowledged=True))
async def test_a_close_that_forbids_reconnecting_fails_what_is_unacknowledged(
    server: ScriptedServer, code: int
) -> None:
    async with connect(server.url, backoff=AT_ONCE) as wire:
        sending = asyncio.create_task(wire.conversation().send("Hi"))
        peer = await server.peer()
        await peer.receive("send")
        await peer.ws.close(code)
        with pytest.raises(ConnectionLost) as caught:
            await sending
        assert wire.state is State.CLOSED
    assert caught.value.close_code == code


def test_a_close_code_without_reconnecting_always_fails_what_is_unacknowledged() -> None:
    assert codes(reconnect=False, fails_unacknowledged=False) == []

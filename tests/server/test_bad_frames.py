"""What a client must not send over the WebSocket, and what becomes of it."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import narrow, opened, wired
from turnwire_simulator import Answer, Gate, Simulator, Text

DEEP = '{"type": "ping", "id": ' + "[" * 100_000 + "]" * 100_000 + "}"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("[]", 4500),
        ("1", 4500),
        ("", 4500),
        ("not JSON", 4500),
        ('{"type": "ping", "id": NaN}', 4500),
        (DEEP, 4500),
        (b"\x00\x01", 4500),
        ("x" * (2**20 + 1), 1009),
        ("ä" * (2**19 + 1), 1009),
    ],
    ids=["list", "number", "empty", "text", "nan", "deep", "binary", "large", "large-in-bytes"],
)
async def test_a_frame_that_is_no_json_object_closes_with_its_code(
    address: str, frame: str | bytes, code: int
) -> None:
    async with wired(address) as wire:
        await wire.send_raw(frame)
        assert await wire.closed() == code
    async with wired(address) as again:
        assert (await again.ask("ping"))["type"] == "pong"


async def test_bad_utf_8_closes_with_1007(address: str) -> None:
    async with wired(address) as wire:
        await wire.send_raw(b'{"type": "\xff"}', text=True)
        assert await wire.closed() == 1007


async def test_a_frame_above_the_set_limit_closes_with_1009(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, limits={"max_frame_bytes": 200})
    async with serving(turnwire) as address, wired(address) as wire:
        await wire.send("send", content="x" * 200)
        assert await wire.closed() == 1009


BAD_COMMANDS: list[tuple[dict[str, Any], str]] = [
    ({"id": "1"}, "type"),
    ({"type": 7, "id": "1"}, "type"),
    ({"type": "frobnicate", "id": "1"}, "type"),
    ({"type": "ping"}, "id"),
    ({"type": "ping", "id": 7}, "id"),
    ({"type": "ping", "id": "x" * 65}, "id"),
    ({"type": "send", "id": "1"}, "content"),
    ({"type": "send", "id": "1", "content": 5}, "content"),
    ({"type": "send", "id": "1", "content": "  "}, "content"),
    ({"type": "send", "id": "1", "content": "hi", "colour": "red"}, "colour"),
    ({"type": "send", "id": "1", "content": "hi", "key": None}, "key"),
    ({"type": "send", "id": "1", "content": "hi", "max_tokens": 10**30}, "max_tokens"),
    ({"type": "send", "id": "1", "content": "hi", "model": "unknown-model"}, "model"),
    ({"type": "send", "id": "1", "content": "hi", "system": "be rude"}, "system"),
    ({"type": "subscribe", "id": "1"}, "conversation"),
    ({"type": "subscribe", "id": "1", "conversation": "c", "after": -1}, "after"),
    ({"type": "subscribe", "id": "1", "conversation": "c", "after": 10**400}, "after"),
    ({"type": "subscribe", "id": "1", "conversation": "c", "after": "1"}, "after"),
    ({"type": "cancel", "id": "1", "conversation": "c"}, "turn"),
    ({"type": "decide", "id": "1", "conversation": "c", "tool_id": "t"}, "decision"),
    ({"type": "tool_output", "id": "1", "conversation": "c", "tool_id": "t"}, "runner"),
]


async def test_a_bad_command_is_rejected_by_the_name_of_its_field_and_changes_nothing(
    address: str, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate))
    async with wired(address) as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await gate.reached()
        for command, field in BAD_COMMANDS:
            command = {
                key: conversation if value == "c" else value for key, value in command.items()
            }
            await wire.send_raw(json.dumps(command))
            reject = await wire.until("reject")
            assert reject["code"] == "bad_command", command
            assert field in reject["message"], (command, reject)
            assert reject.get("id") == ("1" if command.get("id") == "1" else None)
        gate.open()
        await wire.until("done")
        turns = wire.fold(conversation).to_dict()["turns"]
        assert [turn["content"] for turn in turns] == ["hi"]
        assert turns[0]["blocks"][0]["text"] == "Hello"


async def test_a_busy_conversation_rejects_another_send(address: str, simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate))
    async with wired(address) as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await gate.reached()
        reject = await wire.ask("send", content="more", conversation=conversation)
        assert (reject["code"], reject["retryable"]) == ("busy", True)
        gate.open()
        await wire.until("done")


async def test_a_flood_of_commands_is_rejected_while_pongs_and_tokens_go_on(
    address: str, simulator: Simulator
) -> None:
    gate = Gate()
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, gate))
    async with wired(address) as wire:
        conversation = (await wire.ask("send", content="hi"))["conversation"]
        await gate.reached()
        for _ in range(400):
            await wire.send("unsubscribe", conversation="c_none")
        reject = await wire.until("reject")
        assert (reject["code"], reject["retryable"]) == ("too_many", True)
        assert reject["retry_after_seconds"] > 0
        assert (await wire.ask("ping"))["type"] == "pong"
        gate.open()
        await wire.until("done")
        assert wire.fold(conversation).to_dict()["turns"][0]["blocks"][0]["text"] == "Hello"


async def test_commands_are_counted_even_one_by_one(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, limits={"max_commands_per_second": 1})
    async with serving(turnwire) as address, wired(address) as wire:
        replies = [await wire.ask("unsubscribe", conversation="c_none") for _ in range(10)]
        assert [reply["type"] for reply in replies[:2]] == ["ack", "ack"]
        assert "too_many" in [reply.get("code") for reply in replies]


@pytest.mark.parametrize("frame", ['{"type": "ping", "id": "1"}', '{"type": "nonsense"}'])
async def test_who_floods_and_never_reads_the_replies_is_closed(
    simulator: Simulator, frame: str
) -> None:
    async with (
        serving(turnwire_over(simulator), send_buffer_bytes=4096) as address,
        narrow(address) as wire,
    ):
        with suppress(ConnectionClosed):
            for _ in range(20_000):
                await wire.send_raw(frame)
        assert await wire.closed() == 4429


async def test_replies_that_nobody_reads_are_bounded_however_many_commands_may_come(
    simulator: Simulator,
) -> None:
    turnwire = turnwire_over(simulator, limits={"max_frames_per_second": 1_000_000})
    async with (
        serving(turnwire, send_buffer_bytes=4096) as address,
        narrow(address) as wire,
        patience(),
    ):
        with suppress(ConnectionClosed):
            for number in range(20_000):
                await wire.send("ping")
                if number % 10 == 0:  # The service is to receive, and nobody reads.
                    await asyncio.sleep(0)
        # Who begins to read too late is not told why.
        assert await wire.closed() in (4429, 1006)


async def test_another_subprotocol_closes_with_4500_and_none_is_turnwires(address: str) -> None:
    async with opened(address, subprotocols=["turnwire.v0"]) as wire:
        assert await wire.closed() == 4500
    async with wired(address, subprotocols=None) as wire:
        assert (await wire.ask("ping"))["type"] == "pong"

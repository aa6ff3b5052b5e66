"""A hundred thousand WebSocket commands, most of them wrong: each gets its one typed reply, and the
service goes on. With a seed: the same commands each time."""

import asyncio
import json
import random
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pydantic_core import from_json
from websockets.asyncio.client import ClientConnection

from tests.kit.chat import MODEL
from tests.kit.oracle import check_log
from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.wire import wired
from turnwire_protocol import CloseCode, Code
from turnwire_server.core.log.codec import load
from turnwire_server.core.log.items import coalesce
from turnwire_server.store.memory import MemoryStore
from turnwire_simulator import Answer, Simulator, Text

SEED = 12
COMMANDS = 100_000
SOCKETS = 4
AT_ONCE = 100
"""Commands of a socket that wait for replies: fewer than what is refused as too many."""

FAST = 10_000_000
LIMITS = {
    "max_commands_per_second": FAST,
    "max_frames_per_second": FAST,
    "max_frame_bytes": 20_000,
    "max_subscriptions": 200,
}
NAMES = ["c_none", "t_none", "u_none", "r", "", "x" * 129, "\0", "é" * 64, "k1", "k2", "k3"]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**53, 10**30, 0.5, 1e308, "", "x", [], {}, [[]], [None]),
    *({"type": "text", "text": "Hi"}, [{"type": "text", "text": " "}], "x" * 500),
    *([{"type": "image", "blob": "b_" + "0" * 32, "media_type": "image/png", "bytes": 1}],),
]
PING = '{"type": "ping", "id": "1"}'
BROKEN: list[tuple[str | bytes, CloseCode]] = [
    *((text, CloseCode.VIOLATION) for text in ("", "{", "[]", "null", "1", '"x"', PING[:-1])),
    *((text, CloseCode.VIOLATION) for text in (PING + "x", '{"id": NaN}', "[" * 5000)),
    ('{"type": "ping", "id": "\\ud800"}', CloseCode.VIOLATION),
    (PING.encode(), CloseCode.VIOLATION),
    (f'{{"id": "{"x" * 20_000}"}}', CloseCode.TOO_LARGE),
]
"""What is no frame, and closes the socket."""


class Fuzz:
    """Makes commands out of right ones: a third stay as they are. A `send` has one of few keys, so
    that most say the same again and need no turn of their own.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.conversations: list[str] = []
        self.turns: list[str] = []

    def command(self, id: str) -> tuple[str, str | None]:
        """One frame, which is a JSON object, and the id that its reply has to have."""
        form = {"id": id, **self._right()}
        for _ in range(self._random.choice((0, 0, 1, 1, 2, 4))):
            self._change(form)
        given = form.get("id")
        return json.dumps(form), given if isinstance(given, str) and 1 <= len(given) <= 64 else None

    def _right(self) -> dict[str, Any]:
        conversation = self._one_of(self.conversations)
        of_one = {"conversation": conversation, "tool_id": self._name(), "runner": self._name()}
        turn = self._one_of(self.turns)
        return self._random.choice(
            [
                {"type": "ping"},
                {"type": "hello", "token": self._name()},
                {"type": "send", "content": "Hi", "key": self._name(), "if_busy": "queue"},
                {
                    "type": "send",
                    "content": "Hi",
                    "key": self._name(),
                    "conversation": conversation,
                },
                {"type": "send", "content": "Hi", "key": self._name(), "retract": turn},
                {"type": "subscribe", "conversation": conversation},
                {"type": "subscribe", "conversation": conversation, "after": 3, "epoch": "e"},
                {"type": "unsubscribe", "conversation": conversation},
                {"type": "cancel", "conversation": conversation, "turn": turn},
                {"type": "cancel", "conversation": conversation, "key": self._name()},
                {"type": "decide", **of_one, "decision": "allow"},
                {"type": "tool_output", **of_one, "content": "x"},
                {"type": "progress", **of_one, "message": "x", "fraction": 0.5},
            ]
        )

    def _change(self, form: dict[str, Any]) -> None:
        field = self._random.choice([*form, "id", "colour", "model", "tools", "client_tools"])
        match self._random.randrange(4):
            case 0:
                form.pop(field, None)
            case 1:
                form[self._name()] = form.get(field)
            case 2:
                form[field] = self._name()
            case _:
                form[field] = self._random.choice(VALUES)

    def _name(self) -> str:
        return self._random.choice(NAMES)

    def _one_of(self, known: list[str]) -> str:
        return self._random.choice(known[-20:]) if known and self._random.random() < 0.8 else "none"


class Peer:
    """One socket, and what has to be answered on it."""

    def __init__(self, socket: ClientConnection, fuzz: Fuzz) -> None:
        self._socket = socket
        self._fuzz = fuzz
        self._waiting = Counter[str | None]()
        self.replies = Counter[str]()

    async def run(self, commands: int) -> None:
        """So many commands, some at once; then nothing more may be said in reply."""
        for first in range(0, commands, AT_ONCE):
            for number in range(first, first + AT_ONCE):
                frame, id = self._fuzz.command(f"n{number}")
                self._waiting[id] += 1
                await self._socket.send(frame)
            await self._all_answered()
        self._waiting["the last"] += 1
        await self._socket.send('{"type": "hello", "id": "the last", "token": ""}')
        await self._all_answered()

    async def _all_answered(self) -> None:
        async with patience():
            while self._waiting:
                await self._receive()

    async def _receive(self) -> None:
        message = from_json(await self._socket.recv())
        if message["type"] not in ("ack", "reject", "pong"):
            return
        if (code := message.get("code")) is not None:
            assert code in frozenset(Code), message
            assert message["message"], message
        self.replies[code or message["type"]] += 1
        id = message.get("id")
        assert self._waiting[id] > 0, message
        self._waiting[id] -= 1
        if not self._waiting[id]:
            del self._waiting[id]
        if "turn" in message and "conversation" in message:
            self._fuzz.conversations.append(message["conversation"])
            self._fuzz.turns.append(message["turn"])


async def broken_frames_close_the_socket(address: str) -> None:
    """Each as it should."""
    for frame, code in BROKEN:
        async with wired(address) as wire:
            await wire.send_raw(frame)
            assert await wire.closed() == code, frame[:100]


async def test_each_of_many_commands_is_answered_once(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.answer_with(lambda body: Answer(Text("Hello.")))
    store = MemoryStore()
    turnwire = turnwire_over(simulator, store=store, model=MODEL, limits=LIMITS)
    async with serving(turnwire) as address:
        fuzz = Fuzz(SEED)
        async with AsyncExitStack() as stack:
            wires = [await stack.enter_async_context(wired(address)) for _ in range(SOCKETS)]
            peers = [Peer(wire.socket, fuzz) for wire in wires]
            await asyncio.gather(*(peer.run(COMMANDS // SOCKETS) for peer in peers))
        await broken_frames_close_the_socket(address)
        replies = sum((peer.replies for peer in peers), Counter[str]())
        async with wired(address) as wire:
            await wire.ask("send", content="Are you well?")
            assert (await wire.until("done"))["stop_reason"] == "end_turn"
    assert replies.total() == COMMANDS + SOCKETS
    # They did reach what they were for.
    assert {"ack", "pong", "bad_command", "unknown_conversation", "key_reused"} <= set(replies)
    assert not replies["internal"]
    assert not [record for record in caplog.records if record.exc_info]
    heads = await store.list_heads("local", limit=COMMANDS, before=None)
    assert len(heads) > 10
    for head in heads:
        rows = await store.read(head.conversation, 0, max_bytes=2**30)
        check_log([item.event for item in coalesce(each for row in rows for each in load(row))])

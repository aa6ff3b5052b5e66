"""The server is killed with -9 at hundreds of random moments under load; clients just go on."""

import asyncio
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults.log_readers import log_of
from tests.faults.server import KillableServer, killable
from tests.kit.oracle import check_log, check_reader
from tests.kit.patience import PATIENCE_SECONDS, patience
from turnwire import Backoff, Reply, Turn, TurnFailed, connect
from turnwire.conversation import Conversation
from turnwire_protocol import Event, Reset
from turnwire_simulator import Answer, Simulator, Text, Thinking, ToolUse

KILLS = int(os.environ.get("TURNWIRE_TEST_KILLS", "200"))
CLIENTS = 6
PACE_TOKENS_PER_SECOND = 400
QUICK = Backoff(base_seconds=0.01, cap_seconds=0.05)
TOOLS = Path(__file__).with_name("tools.py")


def words(message: str) -> str:
    """What the simulator answers to a message: known in advance, so that it can be compared."""
    return " ".join(f"{message}-{number}" for number in range(40))


def last_text(body: dict[str, Any]) -> str:
    """The text of the last user message; empty for tool results."""
    last = body["messages"][-1]["content"]
    return last if isinstance(last, str) else str(last[-1].get("text", ""))


def answer(body: dict[str, Any]) -> Answer:
    """Thinking and text; to every third message a tool call first."""
    text = last_text(body)
    pace = float(PACE_TOKENS_PER_SECOND)
    last = body["messages"][-1]["content"]
    if any(block["type"] == "tool_result" for block in last if isinstance(block, dict)):
        return Answer(Text("and that is the result"), tokens_per_second=pace)
    if int(text.rpartition("-")[2]) % 3 == 0:
        call = ToolUse("lookup", {"word": text})
        return Answer(
            Thinking("a tool will do"), call, stop_reason="tool_use", tokens_per_second=pace
        )
    return Answer(Thinking("let me see"), Text(words(text)), tokens_per_second=pace)


class Load:
    """Clients that send one message after another until they are told to stop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.is_over = False
        self.connected = asyncio.Barrier(CLIENTS + 1)
        """A first connection is not made again by itself: nobody is killed before all stand."""
        self.replies: dict[str, Reply] = {}
        self.last: dict[str, Reply] = {}
        self.acked: dict[str, str] = {}
        self.seen: dict[str, list[list[Event]]] = {}

    async def client(self, name: str) -> None:
        """Chat in one conversation, and watch it from the start on another connection."""
        async with (
            connect(self._url, backoff=QUICK) as wire,
            connect(self._url, backoff=QUICK) as other,
        ):
            await self.connected.wait()
            chat = wire.conversation()
            watcher: asyncio.Task[None] | None = None
            number = 0
            is_last = False
            while not is_last:
                # Nobody is killed any more when the last message is sent.
                is_last = self.is_over
                number += 1
                message = f"{name}-{number}"
                turn = await chat.send(message)
                self.acked[message] = turn.id
                if watcher is None:
                    watcher = asyncio.create_task(self._watch(other.conversation(chat.id)))
                self.replies[message] = await self._reply(turn)
            self.last[name] = self.replies[message]
            assert watcher is not None
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def _reply(self, turn: Turn) -> Reply:
        try:
            return await turn
        except TurnFailed as failed:
            assert failed.reply is not None  # noqa: PT017
            return failed.reply

    async def _watch(self, chat: Conversation) -> None:
        seen: list[Event] = []
        self.seen.setdefault(chat.id or "", []).append(seen)
        async for event in chat.follow():
            assert not isinstance(event, Reset), "the log never goes back"
            seen.append(event)


async def test_killed_at_random_moments_under_load_nothing_shown_is_lost(
    tmp_path: Path, db: str
) -> None:
    chance = random.Random(20)
    flags = ("--tools", str(TOOLS), "--base-delay", "0.01")
    # Of what a kill may meet, most is in the core. Here it is the store's part again.
    kills = KILLS if db.endswith(".db") else KILLS // 4
    async with (
        Simulator() as simulator,
        killable(simulator.url, db, *flags, log=tmp_path / "serve.log") as server,
    ):
        asked = Counter[str]()

        def answer_and_count(body: dict[str, Any]) -> Answer:
            asked[last_text(body)] += 1
            return answer(body)

        simulator.answer_with(answer_and_count)
        await server.start()
        load = Load(server.url)
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            for index in range(CLIENTS):
                group.create_task(load.client(f"c{index}"))
            async with patience():
                await load.connected.wait()
            await _kill(server, chance, kills)
            load.is_over = True
            limit.reschedule(asyncio.get_running_loop().time() + PATIENCE_SECONDS)
        for conversation, seen in load.seen.items():
            log = await log_of(server.url.removeprefix("http://"), conversation)
            check_log(log)
            for events in seen:
                check_reader(events, log)
        assert len(load.seen) == CLIENTS

    reasons = {reply.stop_reason for reply in load.replies.values()}
    assert reasons <= {"end_turn", "interrupted"}, "what is killed is interrupted"
    assert "interrupted" in reasons, "the kills came early enough for some"
    ends = [reply.stop_reason for reply in load.last.values()]
    assert ends == ["end_turn"] * CLIENTS, "8: the next message was answered"
    assert load.replies.keys() == load.acked.keys(), "7: an acked send is stored"
    for message, reply in load.replies.items():
        assert asked[message] <= 1, "7: a repeated key runs nothing twice"
        if reply.stop_reason == "end_turn" and int(message.rpartition("-")[2]) % 3:
            assert reply.text == words(message), "5: the deltas are what the model sent"
        elif int(message.rpartition("-")[2]) % 3:
            assert words(message).startswith(reply.text), "5: of a cut answer, a prefix"


async def _kill(server: KillableServer, chance: random.Random, kills: int) -> None:
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.0, 0.15))
        server.kill()
        await server.start()

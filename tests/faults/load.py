"""Clients that chat and watch while what serves them is killed or restarted; they just go on."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.faults.log_readers import log_of
from tests.kit.oracle import check_log, check_reader
from tests.kit.patience import PATIENCE_SECONDS, patience
from turnwire import Backoff, Rejected, Reply, Turn, TurnFailed, connect
from turnwire.conversation import Conversation
from turnwire_protocol import Event, Reset
from turnwire_simulator import Answer, Simulator, Text, Thinking, ToolUse

__all__ = ["CLIENTS", "TOOLS", "Load", "under_load"]

CLIENTS = 6
_PACE_TOKENS_PER_SECOND = 400
_PATIENT: dict[str, Any] = {
    "backoff": Backoff(base_seconds=0.01, cap_seconds=0.05),
    "open_timeout_seconds": PATIENCE_SECONDS,
}
"""Clients are in a hurry once they are connected: a first connection is not made again."""
TOOLS = Path(__file__).with_name("tools.py")


def _words(message: str) -> str:
    """What the simulator answers to a message: known in advance, so that it can be compared."""
    return " ".join(f"{message}-{number}" for number in range(40))


def _last_text(body: dict[str, Any]) -> str:
    """The text of the last user message; empty for tool results."""
    last = body["messages"][-1]["content"]
    return last if isinstance(last, str) else str(last[-1].get("text", ""))


def _answer(body: dict[str, Any]) -> Answer:
    """Thinking and text; to every third message a tool call first."""
    text = _last_text(body)
    pace = float(_PACE_TOKENS_PER_SECOND)
    last = body["messages"][-1]["content"]
    if any(block["type"] == "tool_result" for block in last if isinstance(block, dict)):
        return Answer(Text("and that is the result"), tokens_per_second=pace)
    if int(text.rpartition("-")[2]) % 3 == 0:
        call = ToolUse("lookup", {"word": text})
        return Answer(
            Thinking("a tool will do"), call, stop_reason="tool_use", tokens_per_second=pace
        )
    return Answer(Thinking("let me see"), Text(_words(text)), tokens_per_second=pace)


class Load:
    """Clients that send one message after another until they are told to stop."""

    def __init__(self, url: str, simulator: Simulator) -> None:
        self._url = url
        self._asked = Counter[str]()
        self._is_asked = asyncio.Event()
        simulator.answer_with(self._answer)
        self.is_over = False
        self.connected = asyncio.Barrier(CLIENTS + 1)
        """A first connection is not made again by itself: nobody is killed before all stand."""
        self.replies: dict[str, Reply] = {}
        self.last: dict[str, Reply] = {}
        self.acked: dict[str, str] = {}
        self.seen: dict[str, list[list[Event]]] = {}
        self.refusals = Counter[str]()
        """Of messages that were sent again then, by their codes."""

    def _answer(self, body: dict[str, Any]) -> Answer:
        self._asked[_last_text(body)] += 1
        self._is_asked.set()
        return _answer(body)

    async def next_answer(self) -> None:
        """Wait until the model is asked for one: a turn runs then, for a tenth of a second."""
        self._is_asked.clear()
        async with patience():
            await self._is_asked.wait()

    async def client(self, name: str) -> None:
        """Chat in one conversation, and watch it from the start on another connection."""
        async with (
            connect(self._url, **_PATIENT) as wire,
            connect(self._url, **_PATIENT) as other,
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
                turn = await self._sent(chat, message)
                self.acked[message] = turn.id
                if watcher is None:
                    watcher = asyncio.create_task(self._watch(other.conversation(chat.id)))
                self.replies[message] = await self._reply(turn)
            self.last[name] = self.replies[message]
            assert watcher is not None
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def _sent(self, chat: Conversation, message: str) -> Turn:
        while True:
            try:
                return await chat.send(message, key=message)
            except Rejected as refused:
                if not refused.retryable:
                    raise
                self.refusals[refused.code] += 1
                # The server says when to come back; clients are many, and these are in a hurry.
                await asyncio.sleep(min(refused.retry_after_seconds or 0.0, 0.05))

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

    async def check_logs(self, address: str) -> None:
        """Every conversation is whole, and all who watched it have seen just that."""
        assert len(self.seen) == CLIENTS
        for conversation, seen in self.seen.items():
            log = await log_of(address, conversation)
            check_log(log)
            for events in seen:
                check_reader(events, log)

    def check_replies(self) -> Counter[str]:
        """What was acked has been answered, once, with what the model said; how turns ended."""
        ends = [reply.stop_reason for reply in self.last.values()]
        assert ends == ["end_turn"] * CLIENTS, "8: the next message was answered"
        assert self.replies.keys() == self.acked.keys(), "7: an acked send is stored"
        for message, reply in self.replies.items():
            assert self._asked[message] <= 1, "7: a repeated key runs nothing twice"
            if int(message.rpartition("-")[2]) % 3 == 0:
                continue
            if reply.stop_reason == "end_turn":
                assert reply.text == _words(message), "5: the deltas are what the model sent"
            else:
                assert _words(message).startswith(reply.text), "5: of a cut answer, a prefix"
        return Counter(str(reply.stop_reason) for reply in self.replies.values())


@asynccontextmanager
async def under_load(url: str, simulator: Simulator) -> AsyncIterator[Load]:
    """All clients are connected; on leaving each sends a last message, and has read its answer."""
    load = Load(url, simulator)
    async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
        for index in range(CLIENTS):
            group.create_task(load.client(f"c{index}"))
        async with patience():
            await load.connected.wait()
        yield load
        load.is_over = True
        limit.reschedule(asyncio.get_running_loop().time() + PATIENCE_SECONDS)

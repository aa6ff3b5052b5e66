"""Clients that do as a transcript says, by their public API: the Python one, and turnwire.js."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from tests.kit.node import require_node
from tests.kit.scripted_server import AT_ONCE
from tests.protocol.transcripts import Message
from turnwire import Conversation, Rejected, Reset, connect

__all__ = ["PLAYERS", "Player"]

MODULE = Path(__file__).with_name("player.mjs")


class Player(Protocol):
    """The user of one program, which may have several tabs: each a wire, and a conversation."""

    async def open(self, tab: int, url: str, conversation: str | None) -> None:
        """Connect; returns when the server has welcomed the tab."""

    async def follow(self, tab: int) -> None:
        """Begin to follow the tab's conversation."""

    async def act(self, tab: int, command: Message) -> Message:
        """Make the client send this command; returns what comes of it for the caller."""

    async def turns(self, tab: int, seq: int) -> list[Message]:
        """The turns of the tab's conversation, once it has come as far as `seq`."""


class PythonPlayer:
    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._chats: dict[int, Conversation] = {}
        self._followed: dict[int, int] = {}
        self._moved = asyncio.Condition()

    async def open(self, tab: int, url: str, conversation: str | None) -> None:
        wire = await self._stack.enter_async_context(connect(url, backoff=AT_ONCE))
        self._chats[tab] = wire.conversation(conversation)

    async def follow(self, tab: int) -> None:
        self._followed[tab] = 0
        following = asyncio.create_task(self._follow(tab))
        self._stack.push_async_callback(_stop, following)

    async def act(self, tab: int, command: Message) -> Message:
        chat = self._chats[tab]
        try:
            match command:
                case {"type": "send", "content": content}:
                    turn = await chat.send(content, client_tools=command.get("client_tools", ()))
                    if tab not in self._followed:
                        await self.follow(tab)
                    return {"turn": turn.id}
                case {"type": "cancel", "turn": turn_id}:
                    return {"turn": turn_id, "outcome": await chat.cancel(turn=turn_id)}
                case {"type": "decide", "tool_id": tool_id, "decision": decision}:
                    is_allowed, edited = decision == "allow", command.get("input")
                    await chat.decide(tool_id, allow=is_allowed, input=edited)
                    return {}
                case {"type": "tool_output", "tool_id": tool_id, "content": content}:
                    await chat.tool_output(tool_id, content)
                    return {}
        except Rejected as rejected:
            return {"code": rejected.code}
        raise ValueError(f"no call sends {command}")

    async def turns(self, tab: int, seq: int) -> list[Message]:
        async with self._moved:
            await self._moved.wait_for(lambda: self._followed[tab] == seq)
        turns: list[Message] = self._chats[tab].state.to_dict()["turns"]
        return turns

    async def _follow(self, tab: int) -> None:
        async for event in self._chats[tab].follow():
            assert not isinstance(event, Reset)
            async with self._moved:
                self._followed[tab] = event.seq
                self._moved.notify_all()


class NodePlayer:
    """Drives player.mjs over its standard input and output: one JSON object a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def open(self, tab: int, url: str, conversation: str | None) -> None:
        await self._call("open", tab=tab, url=url, conversation=conversation)

    async def follow(self, tab: int) -> None:
        await self._call("follow", tab=tab)

    async def act(self, tab: int, command: Message) -> Message:
        outcome: Message = await self._call("act", tab=tab, command=command)
        return outcome

    async def turns(self, tab: int, seq: int) -> list[Message]:
        turns: list[Message] = await self._call("turns", tab=tab, seq=seq)
        return turns

    async def listen(self) -> None:
        """Take what the program says, to its end."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            reply = json.loads(line)
            self._waiting.pop(reply["id"]).set_result(reply["value"])

    async def _call(self, method: str, **arguments: object) -> Any:
        assert self._process.stdin is not None
        id = next(self._ids)
        self._waiting[id] = asyncio.get_running_loop().create_future()
        line = json.dumps({"id": id, "method": method, **arguments})
        self._process.stdin.write(f"{line}\n".encode())
        return await self._waiting[id]


@contextlib.asynccontextmanager
async def python_player() -> AsyncIterator[Player]:
    async with AsyncExitStack() as stack:
        yield PythonPlayer(stack)


@contextlib.asynccontextmanager
async def node_player() -> AsyncIterator[Player]:
    process = await asyncio.create_subprocess_exec(
        require_node(),
        *("--no-warnings", "--experimental-websocket", str(MODULE)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    player = NodePlayer(process)
    listening = asyncio.create_task(player.listen())
    try:
        yield player
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await _stop(listening)


PLAYERS = {"python": python_player, "turnwire.js": node_player}


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

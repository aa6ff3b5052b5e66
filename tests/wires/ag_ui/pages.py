"""Pages with AG-UI's published clients, in one process of Node.js (`pages.mjs`)."""

import asyncio
import contextlib
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from ag_ui.core import Event
from pydantic import TypeAdapter

from tests.kit.npm import packages_of
from tests.kit.patience import patience

__all__ = ["Page", "Pages", "State", "opened"]

AREA = Path(__file__).parent
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
_LINE_BYTES = 16 * 1024 * 1024


class State:
    """What a page shows."""

    def __init__(self, state: dict[str, Any]) -> None:
        # An empty thought is what a snapshot takes the others away with.
        self.messages: list[dict[str, Any]] = [
            m for m in state["messages"] if (m["role"], m.get("content")) != ("reasoning", "")
        ]
        self.interrupts: list[dict[str, Any]] = state["interrupts"]
        self.events: list[dict[str, Any]] = state["events"]
        self.failures: list[str] = state["failures"]
        self.is_running: bool = state["isRunning"]
        self.ran: list[Any] = state.get("ran", [])
        for event in self.events:
            _EVENT.validate_python(event)  # By the protocol's own models.

    @property
    def types(self) -> list[str]:
        """Of the run's events."""
        return [event["type"] for event in self.events]

    @property
    def text(self) -> str:
        """What the assistant says, over all of the page."""
        said = [m.get("content") or "" for m in self.messages if m["role"] == "assistant"]
        return "".join(said)

    @property
    def thinking(self) -> str:
        """What it thinks."""
        return "".join(m["content"] for m in self.messages if m["role"] == "reasoning")

    @property
    def results(self) -> dict[str, str]:
        """The results of tool calls."""
        return {m["toolCallId"]: m["content"] for m in self.messages if m["role"] == "tool"}

    @property
    def calls(self) -> dict[str, str]:
        """The inputs of tool calls, as JSON."""
        calls = [call for m in self.messages for call in m.get("toolCalls") or ()]
        return {call["id"]: call["function"]["arguments"] for call in calls}

    @property
    def end(self) -> dict[str, Any]:
        """The run's last event."""
        return self.events[-1]


class Page:
    """One page."""

    def __init__(self, pages: "Pages", name: str) -> None:
        self._pages = pages
        self._name = name

    async def do(self, op: str, **options: Any) -> Any:
        """Any operation of `pages.mjs`."""
        return await self._pages.ask(self._name, op, **options)

    async def say(self, text: str, *, id: str) -> None:
        """The user types a message."""
        await self.do("say", message={"id": id, "role": "user", "content": text})

    async def give(self, tool_id: str, content: str, **more: Any) -> None:
        """The page's tool gives its result."""
        message = {"id": f"own-{tool_id}", "role": "tool", "toolCallId": tool_id}
        await self.do("say", message={**message, "content": content, **more})

    async def run(self, **options: Any) -> State:
        """Run the agent until the run has ended."""
        return State(await self.do("run", **options))

    async def begin(self, **options: Any) -> None:
        """Run the agent."""
        await self.do("begin", **options)

    async def ends(self) -> State:
        """What it shows when its run has ended."""
        return State(await self.do("ends"))

    async def shows(self, text: str) -> State:
        """What it shows as soon as it shows the text."""
        return State(await self.do("shows", text=text))

    async def look(self) -> State:
        """What it shows now."""
        return State(await self.do("look"))


class Pages:
    """The process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._names, self._ids = count(), count()
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.fatal: list[str] = []
        """What no promise of the tests' has caught: a client has crashed."""

    async def open(self, client: str, address: str, thread: str) -> Page:
        """A page with `client`: "1.0", "0.x" or "copilotkit"."""
        name = f"page{next(self._names)}"
        await self.ask(name, "open", client=client, url=f"http://{address}", thread=thread)
        page = Page(self, name)
        if client == "copilotkit":
            await page.do("ready")
        return page

    async def ask(self, page: str, op: str, **options: Any) -> Any:
        """The answer to one line."""
        id, stdin = next(self._ids), self._process.stdin
        assert stdin is not None
        self._asked[id] = asyncio.get_running_loop().create_future()
        line = {"id": id, "page": page, "op": op, **options}
        stdin.write(json.dumps(line).encode() + b"\n")
        async with patience():
            answer = await self._asked[id]
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    async def read(self) -> None:
        """Give the answers to who waits for them, until the process ends."""
        stdout = self._process.stdout
        assert stdout is not None
        while line := await stdout.readline():
            answer = json.loads(line)
            if "fatal" in answer:
                self.fatal.append(answer["fatal"])
            else:
                self._asked.pop(answer["id"]).set_result(answer)
        for asked in self._asked.values():
            asked.set_exception(RuntimeError("the pages' process has ended"))


@asynccontextmanager
async def opened() -> AsyncIterator[Pages]:
    """A process for pages; skips where it cannot be had."""
    packages = await asyncio.to_thread(packages_of, AREA)
    with packages.work_folder(AREA / "pages.mjs") as folder:
        process = await asyncio.create_subprocess_exec(
            packages.node, folder / "pages.mjs", stdin=PIPE, stdout=PIPE, limit=_LINE_BYTES
        )
        pages = Pages(process)
        reading = asyncio.create_task(pages.read())
        try:
            yield pages
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            await reading

"""Pages that talk to a service through the published npm client, in a Node.js of their own."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.kit.npm import packages_of
from tests.kit.patience import patience

__all__ = ["Browser", "Page", "browsing"]

HERE = Path(__file__).parent
_MAX_LINE_BYTES = 16 * 1024 * 1024


class Browser:
    """A process in which pages live."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.address = address
        self._process = process
        self._ids = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def open(
        self,
        chat: str,
        version: str = "v7",
        *,
        transport: str = "sse",
        auto: bool = True,
        **given: Any,
    ) -> "Page":
        """A page with this chat. `tools`: what its own tools answer; `null`: nothing yet."""
        over = {"ws": f"ws://{self.address}/v1/ai-sdk/ws"}
        api = over.get(transport, f"http://{self.address}/v1/ai-sdk/{version}/chat")
        page = Page(self, next(self._ids), chat, version)
        await page.do(
            "open",
            **{"api": api, **given},
            chat=chat,
            version=version,
            auto=auto,
            transport=transport,
        )
        return page

    async def ask(self, **request: Any) -> Any:
        """Have something done, and wait until it is."""
        assert self._process.stdin is not None
        id = next(self._ids)
        answer = self._waiting[id] = asyncio.get_running_loop().create_future()
        self._process.stdin.write(json.dumps({"id": id, **request}).encode() + b"\n")
        async with patience():
            return await answer

    async def listen(self) -> None:
        """Give each answer to who waits for it."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            answer = json.loads(line)
            waiting = self._waiting.pop(answer["id"])
            if waiting.done():
                continue
            if "error" in answer:
                waiting.set_exception(AssertionError(answer["error"]))
            else:
                waiting.set_result(answer.get("value"))


class Page:
    """One page, with one chat."""

    def __init__(self, browser: Browser, number: int, chat: str, version: str) -> None:
        self.chat = chat
        self.version = version
        self._browser = browser
        self._number = number

    @property
    def url(self) -> str:
        """Of this chat's other endpoints, without the address."""
        return f"/v1/ai-sdk/{self.version}/chat/{self.chat}"

    async def do(self, op: str, **given: Any) -> Any:
        """An operation of `driver.mjs`."""
        return await self._browser.ask(page=self._number, op=op, **given)

    async def send(self, text: str, **given: Any) -> dict[str, Any]:
        """Send a message and wait for the end of what it causes; what is on the page then."""
        await self.do("send", text=text, **given)
        return await self.view()

    async def view(self) -> dict[str, Any]:
        """What is on the page."""
        view: dict[str, Any] = await self.do("view")
        return view

    async def until(self, expression: str) -> dict[str, Any]:
        """Wait until the expression of JavaScript holds; `last` is the last message."""
        view: dict[str, Any] = await self.do("until", expression=expression)
        return view


@asynccontextmanager
async def browsing(address: str) -> AsyncIterator[Browser]:
    """A browser for pages of the service at the address."""
    packages = packages_of(HERE)
    with packages.work_folder(HERE / "driver.mjs") as folder:
        process = await asyncio.create_subprocess_exec(
            packages.node,
            "--no-warnings",
            str(folder / "driver.mjs"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MAX_LINE_BYTES,
        )
        browser = Browser(process, address)
        listening = asyncio.create_task(browser.listen())
        try:
            yield browser
        finally:
            process.kill()
            await process.wait()
            await listening

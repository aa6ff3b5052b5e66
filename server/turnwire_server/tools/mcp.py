"""Tools of MCP servers, over stdio and streamable HTTP. The one module that imports mcp.

https://modelcontextprotocol.io/specification. Knows no turn. A server that is absent, slow, dies or
restarts costs error results and log lines, never more.
"""

import asyncio
import logging
import math
import random
import re
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TextIO, cast

import anyio
import httpx2
from anthropic.lib.tools import ToolError
from anthropic.lib.tools.mcp import UnsupportedMCPValueError, mcp_content
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.message import SessionMessage
from mcp.types import (
    CONNECTION_CLOSED,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    JSONRPCResponse,
    ResourceLink,
    ToolListChangedNotification,
)
from mcp.types import Tool as McpTool
from pydantic_core import to_json

from turnwire_server.core.turn.backoff import delay_seconds
from turnwire_server.tools.mcp_config import HttpServer, ServerConfig
from turnwire_server.tools.mcp_results import mended
from turnwire_server.tools.port import CONTEXT, Tool
from turnwire_server.tools.toolset import Toolset

__all__ = ["McpServers"]

logger = logging.getLogger(__name__)

_START_SECONDS = 3.0
"""How long the service's start waits for servers; later ones come when they come."""
_ANSWER_SECONDS = 60.0
"""How long a server may take to start (it may have to be downloaded) or to list its tools."""
_CHECK_SECONDS = 60.0
"""How often a silent server is asked for its tools; that shows whether it is still there."""
_READ_SECONDS = 300.0
_CLOSE_SECONDS = 5.0
"""How long a server may take to let go of us: longer than the package waits for a process."""
_MAX_PAGES = 100
_SHORTEST_SECRET = 4


class McpServers:
    """Keeps all servers connected, and their tools in the toolset.

    One task holds all connections: what the mcp package enters must be left in the same task.
    """

    def __init__(
        self,
        servers: Mapping[str, ServerConfig],
        toolset: Toolset,
        *,
        base_delay_seconds: float,
        max_delay_seconds: float,
    ) -> None:
        self._servers = [
            _Server(
                name,
                config,
                toolset,
                base_delay_seconds=base_delay_seconds,
                max_delay_seconds=max_delay_seconds,
            )
            for name, config in servers.items()
        ]
        self._scope: anyio.CancelScope | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to connect; servers that answer at once have their tools offered on return."""
        self._scope = anyio.CancelScope()
        self._task = asyncio.create_task(self._run(self._scope), name="mcp servers")
        with anyio.move_on_after(_START_SECONDS):
            for server in self._servers:
                await server.was_tried.wait()

    async def close(self) -> None:
        """Disconnect, and stop the processes."""
        if self._scope is not None and self._task is not None:
            # A plain cancellation would break into the package's shielded clean-up.
            self._scope.cancel()
            await asyncio.wait([self._task], timeout=_CLOSE_SECONDS)
            if not self._task.done():
                logger.warning("mcp servers: some do not let themselves be disconnected")

    async def _run(self, scope: anyio.CancelScope) -> None:
        with scope:
            async with anyio.create_task_group() as group:
                for server in self._servers:
                    group.start_soon(server.run)


class _Server:
    """One server. Its tools stay offered while it is away: a call then is an error result."""

    def __init__(
        self,
        name: str,
        config: ServerConfig,
        toolset: Toolset,
        *,
        base_delay_seconds: float,
        max_delay_seconds: float,
    ) -> None:
        self.name = name
        self.was_tried = asyncio.Event()
        """Set once the first attempt to connect has come to an end, good or bad."""
        self._config = config
        self._toolset = toolset
        self._base_delay_seconds = base_delay_seconds
        self._max_delay_seconds = max_delay_seconds
        self._client: Client | None = None
        """The connection, while there is one."""
        self._problem = "it has not answered yet"
        self._in_doubt = asyncio.Event()
        """Set when the tools may have changed, or the server may be gone."""
        self._listed: list[McpTool] | None = None
        # Tools come in the file's order, whichever server connects first: prompts stay cacheable.
        toolset.offer(name, ())

    async def run(self) -> None:
        """Connect, stay connected, connect again; until cancelled."""
        attempt = 0
        while True:
            since = anyio.current_time()
            problem = "the connection is lost"
            try:
                await self._stay_connected()
            except Exception as error:
                # Boundary: transports fail with errors of many packages, and groups of them.
                problem = self._describe(error)
            # A server that dies soon after its start, again and again, is not restarted at once.
            is_young = anyio.current_time() - since < self._max_delay_seconds
            attempt = attempt + 1 if is_young else 1
            delay = delay_seconds(
                min(attempt, 30),
                base_seconds=self._base_delay_seconds,
                cap_seconds=self._max_delay_seconds,
                chance=random.random(),
            )
            if problem != self._problem:
                logger.warning("mcp server %s: %s; trying again", self.name, problem)
                self._problem = problem
            self.was_tried.set()
            await anyio.sleep(delay)

    async def _stay_connected(self) -> None:
        """One connection, from its beginning to its end, which is an exception."""
        client = Client(self._transport(), message_handler=self._receive, cache=None)
        try:
            with anyio.fail_after(_ANSWER_SECONDS) as limit:
                async with client, anyio.create_task_group() as group:
                    # The package would throw a result away that breaks the schema which the server
                    # itself has given; but the call took place.
                    client.session.validate_tool_result = _accept  # type: ignore[method-assign]
                    await self._refresh_tools(client)
                    limit.deadline = math.inf
                    self._client, self._problem = client, "the connection is lost"
                    self.was_tried.set()
                    group.start_soon(self._listen, client)
                    while True:
                        with anyio.move_on_after(_CHECK_SECONDS):
                            await self._in_doubt.wait()
                        self._in_doubt.clear()
                        with anyio.fail_after(_ANSWER_SECONDS):
                            await self._refresh_tools(client)
        finally:
            self._client = None

    async def _refresh_tools(self, client: Client) -> None:
        """Offer the tools it has now. Raises where it cannot list them: it counts as gone."""
        listed: list[McpTool] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = await client.list_tools(cursor=cursor)
            listed += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        if self._client is None or listed != self._listed:
            logger.info("mcp server %s: connected, %d tools", self.name, len(listed))
        if listed != self._listed:
            self._listed = listed
            self._toolset.offer(self.name, [self._tool(tool) for tool in listed])

    async def _listen(self, client: Client) -> None:
        """Ask to be told of changes, where the protocol's version has that; see `_receive`."""
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    self._in_doubt.set()
        except ListenNotSupportedError:
            pass
        except (MCPError, SubscriptionLost, TimeoutError):
            self._in_doubt.set()

    async def _receive(self, message: object) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._in_doubt.set()

    # Calls

    def _tool(self, listed: McpTool) -> Tool:
        async def call(input: dict[str, Any]) -> Any:
            return _as_returned(await self._call(listed.name, input))

        is_read_only = listed.annotations is not None and listed.annotations.read_only_hint is True
        # https://docs.claude.com/en/docs/agents-and-tools/tool-use: what names may consist of.
        name = re.sub(r"[^a-zA-Z0-9_-]", "_", f"{self.name}__{listed.name}")[:128]
        return Tool(
            name=name,
            description=listed.description or "",
            input_schema=dict(listed.input_schema),
            function=call,
            is_async=True,
            approval=not is_read_only,
        )

    async def _call(self, name: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call a tool of this server, in the context of a `Toolset.run`.

        Raises:
            ToolError: it is not connected, or the connection or the protocol failed.
        """
        context = CONTEXT.get()

        async def report(progress: float, total: float | None, message: str | None) -> None:
            context.progress(message or "", progress / total if total else None)

        client = self._client
        if client is None:
            raise ToolError(f"The MCP server {self.name} cannot be reached: {self._problem}.")
        try:
            # Time is limited by the toolset.
            return await client.call_tool(name, arguments, progress_callback=report)
        except MCPError as error:
            self._in_doubt.set()
            if error.code == CONNECTION_CLOSED:
                raise ToolError(
                    f"The connection to the MCP server {self.name} was lost during the call. "
                    "It may have taken effect, or not."
                ) from error
            raise ToolError(f"The MCP server {self.name} says: {self._describe(error)}") from error
        except Exception as error:
            # Boundary: the package has many more errors, most of them about an answer.
            logger.warning("mcp server %s: a call of %s failed", self.name, name, exc_info=True)
            raise ToolError(
                f"The MCP server {self.name} has answered, but it cannot be read: "
                f"{self._describe(error)}. The call may have taken effect."
            ) from error

    # Transports

    def _transport(self) -> AbstractAsyncContextManager[Any]:
        if isinstance(self._config, HttpServer):
            return _over_http(self._config)
        parameters = StdioServerParameters.model_validate(self._config.model_dump())
        return _over_stdio(parameters, on_end=self._in_doubt.set)

    def _describe(self, error: BaseException) -> str:
        """The error in one line for people, without the secrets of the configuration."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, TimeoutError):
            return f"it did not answer within {_ANSWER_SECONDS:g} seconds"
        # The rest of an `OSError` is what the file or address is called.
        reason = error.strerror if isinstance(error, OSError) else None
        text = reason or str(error) or type(error).__name__
        # The longest first: one may be a part of another. Some errors show values as `repr` does.
        for secret in sorted(self._config.secrets(), key=len, reverse=True):
            if len(secret) >= _SHORTEST_SECRET:
                text = text.replace(secret, "…").replace(repr(secret)[1:-1], "…")
        return " ".join(text.split())[:300]


@asynccontextmanager
async def _over_http(config: HttpServer) -> AsyncIterator[Any]:
    timeout = httpx2.Timeout(30.0, read=_READ_SECONDS)
    async with (
        httpx2.AsyncClient(headers=config.headers, timeout=timeout) as http,
        streamable_http_client(config.url, http_client=http) as (messages, write),
    ):
        yield _Watched(messages), write


@asynccontextmanager
async def _over_stdio(
    parameters: StdioServerParameters, *, on_end: Callable[[], None]
) -> AsyncIterator[Any]:
    # The package's default is the `sys.stderr` of its import, which at that moment may have been
    # something other than a file.
    errors = cast(TextIO, sys.__stderr__)
    async with stdio_client(parameters, errlog=errors) as (messages, write):
        yield _Watched(messages, on_end), write


class _Watched:
    """Messages of a server, mended before the package judges them.

    It tells when there will be no more, which the package's client does not.

    A read stream in the sense of `mcp.client.Transport`.
    """

    def __init__(self, messages: Any, on_end: Callable[[], None] = lambda: None) -> None:
        self._messages = messages
        self._on_end = on_end

    async def receive(self) -> Any:
        """The next message."""
        return _mended(await self._messages.receive())

    def __aiter__(self) -> "_Watched":
        return self

    async def __anext__(self) -> Any:
        try:
            return _mended(await self._messages.__anext__())
        except StopAsyncIteration:
            self._on_end()
            raise

    async def __aenter__(self) -> "_Watched":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Read no more."""
        await self._messages.aclose()


def _mended(message: Any) -> Any:
    if isinstance(message, SessionMessage) and isinstance(message.message, JSONRPCResponse):
        message.message.result = mended(message.message.result)
    return message


async def _accept(name: str, result: CallToolResult) -> None:
    """In place of `ClientSession.validate_tool_result`."""


def _as_returned(result: CallToolResult) -> Any:
    """What it gave, as a tool returns it.

    Raises:
        ToolError: the server says that the call failed.
    """
    content = [_readable(block) for block in result.content]
    if result.is_error:
        raise ToolError(content or "The tool failed and does not say why.")
    if not content and result.structured_content is not None:
        return to_json(result.structured_content).decode()
    return content or ""


def _readable(block: ContentBlock) -> Any:
    """The block in the form of the Messages API, or a text where that has none for it."""
    try:
        return mcp_content(block)
    except (UnsupportedMCPValueError, ValueError):
        what = "not shown"
        if isinstance(block, ResourceLink):
            what = f"{block.name}: {block.uri}"
        elif isinstance(block, EmbeddedResource):
            what = block.resource.uri
        return {"type": "text", "text": f"[{block.type}: {what}]"}

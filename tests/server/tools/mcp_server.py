"""An MCP server for tests, a process: `mcp_server.py stdio`, or `http PORT`, then options.

`legacy` speaks the protocol as before 2026-07-28; `odd` has tools that the Claude API refuses, and
one whose results are not as the protocol wants them. Over HTTP it takes the token `open sesame`
only, and prints a line with its port once it listens.
"""

import asyncio
import base64
import os
import socket
import sys
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.runner import serve_loop
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.types import METHOD_NOT_FOUND, ResourceLink, TextContent, ToolAnnotations
from starlette.responses import JSONResponse

READ_ONLY = ToolAnnotations(read_only_hint=True)
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360000002000001e221bc330000000049454e44ae426082"
)

server = MCPServer("test")
is_legacy = "legacy" in sys.argv


@server.tool(annotations=READ_ONLY)
def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@server.tool()
def write(text: str) -> str:
    """Writes; not marked read-only."""
    return f"wrote {text}"


@server.tool(annotations=READ_ONLY)
def fail() -> str:
    """Always fails."""
    raise ToolError("no such row")


@server.tool(annotations=READ_ONLY)
async def hang(context: Context[Any, Any]) -> str:
    """Says which process this is, and never returns."""
    await context.report_progress(1, 4, str(os.getpid()))
    await asyncio.Event().wait()
    return ""


@server.tool(annotations=READ_ONLY)
async def grow(context: Context[Any, Any]) -> str:
    """From now on there is another tool."""
    server.add_tool(add, name="late.comer", annotations=READ_ONLY)
    if is_legacy:
        await context.session.send_tool_list_changed()
    else:
        await context.notify_tools_changed()
    return "grown"


@server.tool(annotations=READ_ONLY, structured_output=False)
def mixed() -> list[Any]:
    """A text and a link."""
    link = ResourceLink(type="resource_link", name="a file", uri="file:///a")
    return [TextContent(type="text", text="see:"), link]


@server.tool(annotations=READ_ONLY, structured_output=False)
def picture() -> Image:
    """An image."""
    return Image(data=PIXEL, format="png")


ODD_TOOLS = {
    "any": {"type": "object", "anyOf": [{"required": ["a"]}]},
    "brackets": {"type": "object", "properties": {"filter[id]": {"type": "string"}}},
    "draft4": {
        "type": "object",
        "properties": {"n": {"type": "number", "exclusiveMinimum": True}},
    },
    "odd": {"type": "object", "properties": {"kind": {"type": "string"}}},
}
PNG = base64.b64encode(PIXEL).decode()
ODD_RESULTS: dict[str, Any] = {
    "another shape": {"content": [], "structuredContent": {"n": "three"}},
    "no object": {"structuredContent": [1, 2]},
    "one block": {"content": {"type": "text", "text": "one"}},
    "bare text": {"content": ["bare"]},
    "no text": {"content": [{"type": "text", "text": None}]},
    "another type": {"content": [{"type": "video", "url": "http://example.com"}]},
    "wrong notes": {"content": [{"type": "text", "text": "ok", "annotations": 7}], "_meta": 7},
    "no type of the image": {"content": [{"type": "image", "data": PNG}]},
    "wrong type of the image": {
        "content": [{"type": "image", "data": PNG, "mimeType": "image/jpeg"}]
    },
    "wrong type of the resource": {
        "content": [{"type": "resource", "resource": {"uri": "file:///a", "blob": PNG}}]
    },
    "bytes": {
        "content": [
            {
                "type": "resource",
                "resource": {"uri": "file:///a", "blob": "//8=", "mimeType": "text/plain"},
            }
        ]
    },
    "silent error": {"content": [], "isError": True},
    "nothing": {"content": []},
}


async def be_odd(ctx: Any, call_next: Any) -> Any:
    """Put odd tools into the list, and answer for them."""
    if ctx.method == "tools/call" and ctx.params["name"] == "odd":
        return {"resultType": "complete", **ODD_RESULTS[ctx.params["arguments"]["kind"]]}
    result = await call_next(ctx)
    if ctx.method == "tools/list":
        output = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        result["tools"] += [
            {
                "name": name,
                "description": "Odd.",
                "inputSchema": schema,
                "outputSchema": output,
                "annotations": {"readOnlyHint": True},
            }
            for name, schema in ODD_TOOLS.items()
        ]
    return result


async def refuse_discovery(ctx: Any, call_next: Any) -> Any:
    """As servers from before 2026-07-28 do."""
    if ctx.method == "server/discover":
        raise MCPError(code=METHOD_NOT_FOUND, message="Method not found")
    return await call_next(ctx)


def guarded(app: Any) -> Any:
    """The app, for those who have the token."""

    async def guard(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"").decode()
            if given != "Bearer open sesame":
                # Says more than it should, as some do.
                token, query = given.removeprefix("Bearer "), scope["query_string"].decode()
                error = {"code": -32001, "message": f"wrong token {token!r} with {query}"}
                reply = JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, 401)
                await reply(scope, receive, send)
                return
        await app(scope, receive, send)

    return guard


async def serve_legacy_stdio() -> None:
    """The loop without the newer era."""
    low = server._lowlevel_server
    async with stdio_server() as (read, write):
        options = low.create_initialization_options()
        await serve_loop(low, read, write, lifespan_state={}, init_options=options)


def serve_http(port: int) -> None:
    """Serve at `/mcp` until killed."""
    listener = socket.create_server(("127.0.0.1", port))
    print(listener.getsockname()[1], flush=True)
    app = guarded(server.streamable_http_app())
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    if is_legacy:
        server.middleware.append(refuse_discovery)
    if "odd" in sys.argv:
        server.middleware.append(be_odd)
    if sys.argv[1] == "http":
        serve_http(int(sys.argv[2]))
    elif is_legacy:
        asyncio.run(serve_legacy_stdio())
    else:
        server.run("stdio")

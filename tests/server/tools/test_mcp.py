"""Tools of MCP servers that are processes of their own, called by turns and killed in mid-call."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.kit.chat import ended, of_type, talking
from tests.kit.forked import Forked, fork, forking_command
from tests.kit.patience import SILENCE_SECONDS, patience
from tests.kit.service import turnwire_over
from tests.kit.wire import Wire
from turnwire_protocol import ImageBlock, ToolApproval, ToolProgress, ToolResult
from turnwire_server import SettingsError, tool
from turnwire_simulator import Answer, Simulator, Text, ToolUse

SERVER = f"""
import runpy
runpy.run_path({str(Path(__file__).with_name("mcp_server.py"))!r}, run_name="__main__")
"""
IMPORTS = ("mcp.server.mcpserver", "mcp.server.stdio")
TOKEN = "open sesame"


class Lines(logging.Handler):
    """What the service logs of MCP servers."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._more = asyncio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.lines.append(self.format(record))
        self._more.set()

    async def until(self, text: str, *, times: int = 1) -> str:
        """The line with that text; the last of so many."""
        async with patience():
            while len(found := [line for line in self.lines if text in line]) < times:
                self._more.clear()
                await self._more.wait()
        return found[times - 1]


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The log lines from now on."""
    logger = logging.getLogger("turnwire_server.tools")
    handler, level = Lines(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@asynccontextmanager
async def http_server(*options: str, port: int = 0) -> AsyncIterator[tuple[Forked, str]]:
    """The test server over HTTP, and its address; ended on leaving."""
    process = await fork(
        *(SERVER, "http", str(port), *options),
        folder=Path.cwd(),
        environment=os.environ,
        imports=IMPORTS,
    )
    try:
        assert process.stdout is not None
        async with patience():
            port = int(await process.stdout.readline())
        yield process, f"http://127.0.0.1:{port}/mcp"
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def port_of(url: str) -> int:
    """Its port."""
    return urlsplit(url).port or 0


def over_stdio(*options: str) -> dict[str, Any]:
    """The test server as an entry of the file."""
    command, *arguments = forking_command(SERVER, "stdio", *options, imports=IMPORTS)
    return {"command": command, "args": arguments}


def over_http(url: str) -> dict[str, Any]:
    """A server at this address as an entry of the file."""
    return {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {TOKEN}"}}


@asynccontextmanager
async def entry(kind: str, *options: str) -> AsyncIterator[dict[str, Any]]:
    """The test server, over either transport."""
    if kind == "stdio":
        yield over_stdio(*options)
    else:
        async with http_server(*options) as (_, url):
            yield over_http(url)


def config(folder: Path, **servers: Any) -> str:
    """A file with these servers."""
    path = folder / "mcp.json"
    path.write_text(json.dumps({"mcpServers": servers}))
    return str(path)


def calling(name: str, **input: Any) -> Answer:
    """The model calls a tool."""
    return Answer(ToolUse(name, input), stop_reason="tool_use")


async def result_of(wire: Wire, simulator: Simulator, name: str, **input: Any) -> ToolResult:
    """The result of a call that a whole turn makes."""
    simulator.program(calling(name, **input), Answer(Text("I see.")))
    done = await ended(wire)
    assert done["stop_reason"] == "end_turn"
    return of_type(wire, ToolResult)[-1]


def text_of(result: ToolResult) -> str:
    """The text of a result."""
    if isinstance(result.content, str):
        return result.content
    return "".join(getattr(block, "text", "") for block in result.content)


async def test_a_server_from_pypi_tells_the_time_over_stdio(
    simulator: Simulator, tmp_path: Path, lines: Lines
) -> None:
    path = config(tmp_path, time={"command": sys.executable, "args": ["-m", "mcp_server_time"]})
    async with talking(simulator, mcp=path) as wire:
        await lines.until("mcp server time: connected, 2 tools")
        result = await result_of(wire, simulator, "time__get_current_time", timezone="Asia/Tokyo")
        offered = [tool["name"] for tool in simulator.requests[-1]["tools"]]
    assert not result.is_error
    assert json.loads(text_of(result))["timezone"] == "Asia/Tokyo"
    assert offered == ["time__get_current_time", "time__convert_time"]
    assert of_type(wire, ToolApproval) == []


@pytest.mark.parametrize("options", [(), ("legacy",)])
@pytest.mark.parametrize("kind", ["stdio", "http"])
async def test_tools_of_a_server_are_called_and_its_later_ones_too(
    simulator: Simulator, tmp_path: Path, lines: Lines, kind: str, options: tuple[str, ...]
) -> None:
    async with (
        entry(kind, *options) as server,
        talking(simulator, mcp=config(tmp_path, it=server)) as wire,
    ):
        await lines.until("connected, 7 tools")
        result = await result_of(wire, simulator, "it__add", a=2, b=3)
        assert (text_of(result), result.is_error) == ("5", False)
        wrong = await result_of(wire, simulator, "it__add", a="two", b=3)
        assert (wrong.is_error, "$.a" in text_of(wrong)) == (True, True)
        failed = await result_of(wire, simulator, "it__fail")
        assert (failed.is_error, "no such row" in text_of(failed)) == (True, True)
        await result_of(wire, simulator, "it__grow")
        await lines.until("connected, 8 tools")
        result = await result_of(wire, simulator, "it__late_comer", a=1, b=1)
        assert (text_of(result), result.is_error) == ("2", False)
    assert "Traceback" not in "".join(lines.lines)


async def test_what_is_not_marked_read_only_needs_approval(
    simulator: Simulator, tmp_path: Path, lines: Lines
) -> None:
    path = config(tmp_path, it=over_stdio())
    items = (calling("it__write", text="x"), Answer(Text("Ok.")))
    async with talking(simulator, *items, mcp=path) as wire:
        await lines.until("connected")
        ack = await wire.ask("send", content="write")
        approval = await wire.until("tool_approval")
        where = {"conversation": ack["conversation"], "tool_id": approval["tool_id"]}
        await wire.ask("decide", **where, decision="allow", input={"text": "y"})
        await wire.until("done")
    (result,) = of_type(wire, ToolResult)
    assert "wrote y" in text_of(result)


async def test_content_the_model_cannot_be_shown_does_not_fail_the_call(
    simulator: Simulator, tmp_path: Path, lines: Lines
) -> None:
    async with talking(simulator, mcp=config(tmp_path, it=over_stdio())) as wire:
        await lines.until("connected")
        result = await result_of(wire, simulator, "it__mixed")
    assert (text_of(result), result.is_error) == ("see:[resource_link: a file: file:///a]", False)


async def test_an_image_is_stored_and_referred_to(
    simulator: Simulator, tmp_path: Path, lines: Lines
) -> None:
    async with talking(simulator, mcp=config(tmp_path, it=over_stdio())) as wire:
        await lines.until("connected")
        result = await result_of(wire, simulator, "it__picture")
    block = result.content[0]
    assert isinstance(block, ImageBlock)
    assert (block.media_type, result.is_error) == ("image/png", False)


@pytest.mark.parametrize("kind", ["stdio", "http"])
async def test_tools_that_the_api_refuses_are_left_out_and_every_turn_works(
    simulator: Simulator, tmp_path: Path, lines: Lines, kind: str
) -> None:
    async with (
        entry(kind, "odd") as server,
        talking(simulator, mcp=config(tmp_path, it=server, other=over_stdio())) as wire,
    ):
        await lines.until("mcp server it: connected, 11 tools")
        await lines.until("mcp server other: connected, 7 tools")
        assert text_of(await result_of(wire, simulator, "it__add", a=2, b=3)) == "5"
        # The list is made anew, and nothing is logged again.
        await result_of(wire, simulator, "other__grow")
        await lines.until("mcp server other: connected, 8 tools")
        assert text_of(await result_of(wire, simulator, "it__add", a=2, b=3)) == "5"
        offered = {tool["name"] for tool in simulator.requests[-1]["tools"]}
    assert offered.isdisjoint({"it__any", "it__brackets", "it__draft4"})
    assert {"it__add", "it__odd", "other__late_comer"} < offered
    left_out = sorted(line for line in lines.lines if "left out" in line)
    for line, (name, where) in zip(
        left_out,
        [
            ("it__any", "input_schema.anyOf:"),
            ("it__brackets", "input_schema.properties.filter[id]:"),
            ("it__draft4", "input_schema.properties.n.exclusiveMinimum:"),
        ],
        strict=True,
    ):
        assert "left out what it offers" in line
        assert (name in line, where in line) == (True, True)


IMAGE = ["image/png"]
GIVEN: dict[str, object] = {
    "another shape": '{"n":"three"}',
    "no object": "[1,2]",
    "one block": "one",
    "bare text": "bare",
    "no text": '{"type":"text","text":null}',
    "another type": '{"type":"video","url":"http://example.com"}',
    "wrong notes": "ok",
    "no type of the image": IMAGE,
    "wrong type of the image": IMAGE,
    "wrong type of the resource": IMAGE,
    "bytes": "[resource: file:///a]",
    "nothing": "",
}


@pytest.mark.parametrize("options", [(), ("legacy",)])
async def test_a_call_that_took_place_is_told_as_what_it_gave(
    simulator: Simulator, tmp_path: Path, lines: Lines, options: tuple[str, ...]
) -> None:
    given: dict[str, object] = {}
    async with (
        entry("http", "odd", *options) as server,
        talking(simulator, mcp=config(tmp_path, it=server)) as wire,
    ):
        await lines.until("connected")
        for kind in GIVEN:
            result = await result_of(wire, simulator, "it__odd", kind=kind)
            images = [block for block in result.content if isinstance(block, ImageBlock)]
            given[kind] = [image.media_type for image in images] or text_of(result)
            assert not result.is_error, result
        failed = await result_of(wire, simulator, "it__odd", kind="silent error")
    assert given == GIVEN
    assert (failed.is_error, "does not say why" in text_of(failed)) == (True, True)


async def test_a_tool_of_the_operator_wins_over_one_of_the_same_name(
    simulator: Simulator, tmp_path: Path, lines: Lines
) -> None:
    def mine() -> str:
        """Mine."""
        return "mine"

    own = tool(name="it__fail")(mine)
    path = config(tmp_path, it=over_stdio())
    async with talking(simulator, mcp=path, tools=[own]) as wire:
        await lines.until("connected")
        assert text_of(await result_of(wire, simulator, "it__fail")) == "mine"
        assert "it__fail" in await lines.until("left out what it offers")


@pytest.mark.parametrize("kind", ["stdio", "http"])
async def test_a_call_that_takes_too_long_is_an_error_and_the_next_one_works(
    simulator: Simulator, tmp_path: Path, lines: Lines, kind: str
) -> None:
    limit = 2 * SILENCE_SECONDS
    async with (
        entry(kind) as server,
        talking(simulator, mcp=config(tmp_path, it=server), tool_timeout=limit) as wire,
    ):
        await lines.until("connected")
        result = await result_of(wire, simulator, "it__hang")
        assert (result.is_error, f"within {limit:g} seconds" in text_of(result)) == (True, True)
        assert text_of(await result_of(wire, simulator, "it__add", a=2, b=3)) == "5"
    assert len([line for line in lines.lines if "connected" in line]) == 1


@pytest.mark.parametrize("kind", ["stdio", "http"])
async def test_a_turn_is_cancelled_in_mid_call_and_the_next_call_works(
    simulator: Simulator, tmp_path: Path, lines: Lines, kind: str
) -> None:
    async with (
        entry(kind) as server,
        talking(simulator, calling("it__hang"), mcp=config(tmp_path, it=server)) as wire,
    ):
        await lines.until("connected")
        ack = await wire.ask("send", content="hang")
        await wire.until("tool_progress")
        await wire.send("cancel", conversation=ack["conversation"], turn=ack["turn"])
        assert (await wire.until("done"))["stop_reason"] == "cancelled"
        assert text_of(await result_of(wire, simulator, "it__add", a=2, b=3)) == "5"
    assert len([line for line in lines.lines if "connected" in line]) == 1


async def killed_in_mid_call(wire: Wire, simulator: Simulator) -> ToolResult:
    """Call the tool that hangs, kill its process, and give the call's result."""
    simulator.program(calling("it__hang"), Answer(Text("Alas.")))
    ack = await wire.ask("send", content="hang")
    progress = await wire.until("tool_progress")
    assert progress["fraction"] == 0.25
    os.kill(int(progress["message"]), signal.SIGKILL)
    done = await wire.until("done", turn=ack["turn"])
    assert done["stop_reason"] == "end_turn"
    return of_type(wire, ToolResult)[-1]


async def test_a_process_killed_in_mid_call_is_an_error_result_and_comes_back(
    simulator: Simulator, tmp_path: Path, lines: Lines
) -> None:
    async with talking(simulator, mcp=config(tmp_path, it=over_stdio())) as wire:
        await lines.until("connected")
        result = await killed_in_mid_call(wire, simulator)
        assert (result.is_error, "was lost" in text_of(result)) == (True, True)
        await lines.until("trying again")
        await lines.until("connected", times=2)
        assert text_of(await result_of(wire, simulator, "it__add", a=2, b=3)) == "5"
    processes = {event.message for event in of_type(wire, ToolProgress)}
    assert len(processes) == 1


@pytest.mark.parametrize("options", [(), ("legacy",)])
async def test_a_process_that_dies_while_nobody_calls_is_started_again(
    simulator: Simulator, tmp_path: Path, lines: Lines, options: tuple[str, ...]
) -> None:
    path = config(tmp_path, it=over_stdio(*options))
    async with talking(simulator, calling("it__hang"), mcp=path) as wire:
        await lines.until("connected")
        ack = await wire.ask("send", content="hang")
        process = int((await wire.until("tool_progress"))["message"])
        await wire.send("cancel", conversation=ack["conversation"], turn=ack["turn"])
        await wire.until("done")
        os.kill(process, signal.SIGKILL)
        await lines.until("trying again")
        await lines.until("connected", times=2)
        assert text_of(await result_of(wire, simulator, "it__add", a=2, b=3)) == "5"


@pytest.mark.parametrize("options", [(), ("legacy",)])
async def test_a_server_killed_in_mid_call_is_an_error_result_until_it_is_back(
    simulator: Simulator, tmp_path: Path, lines: Lines, options: tuple[str, ...]
) -> None:
    async with http_server(*options) as (_, url):
        path = config(tmp_path, it=over_http(url))
        async with talking(simulator, mcp=path) as wire:
            await lines.until("connected")
            result = await killed_in_mid_call(wire, simulator)
            assert (result.is_error, "was lost" in text_of(result)) == (True, True)
            await lines.until("trying again")
            result = await result_of(wire, simulator, "it__add", a=2, b=3)
            assert (result.is_error, "cannot be reached" in text_of(result)) == (True, True)
            async with http_server(*options, port=port_of(url)):
                await lines.until("connected", times=2)
                assert text_of(await result_of(wire, simulator, "it__add", a=2, b=3)) == "5"


async def test_a_server_that_restarts_between_calls_is_found_again(
    simulator: Simulator, tmp_path: Path, lines: Lines
) -> None:
    async with http_server("legacy") as (process, url):
        path = config(tmp_path, it=over_http(url))
        async with talking(simulator, mcp=path) as wire:
            await lines.until("connected")
            process.kill()
            await process.wait()
            async with http_server("legacy", port=port_of(url)):
                # Its session is gone: one call learns that, the next has a new one.
                result = await result_of(wire, simulator, "it__add", a=2, b=3)
                assert result.is_error
                await lines.until("connected", times=2)
                assert text_of(await result_of(wire, simulator, "it__add", a=2, b=3)) == "5"


async def test_absent_and_silent_servers_neither_fail_the_start_nor_a_turn(
    simulator: Simulator, tmp_path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnwire_server.tools.mcp._START_SECONDS", 0.01)
    silent = {"command": sys.executable, "args": ["-c", "import sys; sys.stdin.read()"]}
    absent = {"command": "no-such-program", "args": ["--key", "secret-argument"]}
    nobody = over_http("http://127.0.0.1:1/mcp?key=secret-query")
    path = config(tmp_path, silent=silent, absent=absent, nobody=nobody, it=over_stdio())
    async with talking(simulator, Answer(Text("Hi.")), mcp=path) as wire:
        assert (await ended(wire))["stop_reason"] == "end_turn"
        await lines.until("mcp server absent: No such file or directory; trying again")
        await lines.until("mcp server nobody:")
        await lines.until("mcp server it: connected")
        assert text_of(await result_of(wire, simulator, "it__add", a=2, b=3)) == "5"
    # It is tried again and again, but told once.
    assert len([line for line in lines.lines if "server absent" in line]) == 1


async def test_a_server_that_never_answers_is_told_so(
    simulator: Simulator, tmp_path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("turnwire_server.tools.mcp._ANSWER_SECONDS", 0.1)
    silent = {"command": sys.executable, "args": ["-c", "import sys; sys.stdin.read()"]}
    async with talking(simulator, mcp=config(tmp_path, silent=silent)):
        await lines.until("mcp server silent: it did not answer within 0.1 seconds; trying again")


async def test_a_server_that_echoes_secrets_does_not_get_them_into_the_log(
    simulator: Simulator, tmp_path: Path, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with http_server() as (_, url):
        headers = {"Authorization": "Bearer secret\\token"}
        wrong = {"url": f"{url}?key=secret-query", "headers": headers}
        path = config(tmp_path, it=wrong)
        async with talking(simulator, Answer(Text("Hi.")), mcp=path) as wire:
            await lines.until("mcp server it: wrong token")
            assert (await ended(wire))["stop_reason"] == "end_turn"
    mine = [r.getMessage() for r in caplog.records if r.name.startswith("turnwire")]
    assert mine
    assert "secret" not in "".join(mine)


@contextmanager
def refused() -> Iterator[list[str]]:
    """What the refusal says, once it is left."""
    said: list[str] = []
    with pytest.raises(SettingsError) as error:
        yield said
    said.append(str(error.value))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read"),
        ("{", "not JSON"),
        ("[]", "mcpServers"),
        ('{"mcpServers": {"a": {}}}', "mcpServers.a"),
        ('{"mcpServers": {"a": {"command": 7}}}', "mcpServers.a.command"),
        ('{"mcpServers": {"a": {"url": "secret"}}}', "mcpServers.a.url"),
        ('{"mcpServers": {"a": {"url": "http://b", "headers": {"c": "\\n"}}}}', "a.headers.c"),
        ('{"mcpServers": {"a": {"type": "sse", "url": "http://b"}}}', "mcpServers.a.type"),
        ('{"mcpServers": {"a": {"command": "b", "env": {"K": ["secret"]}}}}', "a.env.K"),
    ],
)
async def test_a_file_of_another_form_is_refused_by_its_place(
    simulator: Simulator, tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "mcp.json"
    if content is not None:
        path.write_text(content)
    with refused() as said:
        turnwire_over(simulator, mcp=str(path))
    assert words in said[0]
    assert str(path) in said[0]
    assert "secret" not in said[0]


async def test_disabled_servers_are_left_alone(
    simulator: Simulator, tmp_path: Path, lines: Lines
) -> None:
    path = config(tmp_path, off={"command": "no-such-program", "disabled": True})
    async with talking(simulator, Answer(Text("Hi.")), mcp=path) as wire:
        assert (await ended(wire))["stop_reason"] == "end_turn"
    assert lines.lines == []

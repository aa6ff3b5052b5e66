"""Proxies that the environment names: none is for the demo, the model is reached through them."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.kit.forked import SERVE
from tests.kit.patience import patience
from tests.kit.wire import wired
from tests.server.serve import refused_start, served
from turnwire_simulator import Simulator

NOWHERE = "127.0.0.1:9"
WITHOUT_SOCKS = f"import sys; sys.modules['socksio'] = None; {SERVE}"
"""As it is where that package is not installed."""


async def chats(address: str) -> None:
    """A message is answered."""
    async with patience(), wired(address) as wire:
        await wire.ask("send", content="refuse please")
        assert (await wire.until("done"))["stop_reason"] in ("end_turn", "refusal")


@pytest.mark.parametrize(
    "environment",
    [
        {"ALL_PROXY": f"socks5://{NOWHERE}"},
        {"ALL_PROXY": f"socks5://{NOWHERE}", "NO_PROXY": "localhost,127.0.0.1"},
        {"HTTP_PROXY": f"http://{NOWHERE}", "HTTPS_PROXY": f"http://{NOWHERE}"},
        {"http_proxy": f"http://{NOWHERE}", "all_proxy": f"socks5h://{NOWHERE}"},
    ],
    ids=str,
)
@pytest.mark.parametrize("start", [SERVE, WITHOUT_SOCKS], ids=["with socksio", "without"])
async def test_the_demo_answers_whatever_proxies_there_are(
    tmp_path: Path, environment: dict[str, str], start: str
) -> None:
    async with served(tmp_path, start=start, **environment) as running:
        await chats(running.address)
    assert "demo" in running.printed


@asynccontextmanager
async def socks_proxy(target: str, asked: list[str]) -> AsyncIterator[str]:
    """A SOCKS5 proxy (RFC 1928) that leads everybody to `target`, and notes whom they wanted."""
    pipes: set[asyncio.Task[None]] = set()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        (_, methods) = await reader.readexactly(2)
        await reader.readexactly(methods)
        writer.write(b"\x05\x00")
        (*_, kind) = await reader.readexactly(4)
        assert kind == 3, "a name, which the proxy is to look up"
        (length,) = await reader.readexactly(1)
        asked.append((await reader.readexactly(length)).decode())
        await reader.readexactly(2)
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        host, port = target.rpartition("/")[2].split(":")
        there, back = await asyncio.open_connection(host, int(port))
        for source, sink in ((reader, back), (there, writer)):
            pipes.add(asyncio.create_task(pipe(source, sink)))

    async def pipe(source: StreamReader, sink: StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
        except OSError:
            pass
        finally:
            sink.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in pipes:
            task.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)


async def test_the_model_is_reached_through_a_socks_proxy(
    tmp_path: Path, simulator: Simulator
) -> None:
    asked: list[str] = []
    async with socks_proxy(simulator.url, asked) as proxy:
        environment = {
            "ANTHROPIC_API_KEY": "x",
            "ANTHROPIC_BASE_URL": "http://model.invalid",
            "ALL_PROXY": f"socks5h://{proxy}",
        }
        async with served(tmp_path, **environment) as running:
            await chats(running.address)
    assert set(asked) == {"model.invalid"}
    assert len(simulator.requests) == 1


async def test_a_model_that_no_proxy_names_is_reached_without_the_package(
    tmp_path: Path, simulator: Simulator
) -> None:
    environment = {
        "ANTHROPIC_API_KEY": "x",
        "ANTHROPIC_BASE_URL": simulator.url,
        "ALL_PROXY": f"socks5://{NOWHERE}",
        "NO_PROXY": "127.0.0.1",
    }
    async with served(tmp_path, start=WITHOUT_SOCKS, **environment) as running:
        await chats(running.address)


async def test_without_the_package_one_line_says_what_to_install(tmp_path: Path) -> None:
    environment = {"ANTHROPIC_API_KEY": "x", "ALL_PROXY": f"socks5://{NOWHERE}"}
    flags = ("--db", ":memory:")
    (line,) = await refused_start(tmp_path, environment, *flags, start=WITHOUT_SOCKS)
    assert "ALL_PROXY" in line
    assert "pip install socksio" in line

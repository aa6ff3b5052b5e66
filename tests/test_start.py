"""What a command line imports before it does anything: the heavy packages not, if it does not need
them. How long that takes is measured elsewhere; what is imported decides it.
"""

import asyncio
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.kit.patience import patience
from tests.kit.wire import wired
from turnwire_simulator import Simulator

HEAVY = {
    "aiohttp",
    "anthropic",
    "fastapi",
    "httpx2",
    "mcp",
    "opentelemetry",
    "prompt_toolkit",
    "pydantic",
    "rich",
}
RUN = "from turnwire.cli import main; main()"
TOLD = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "


def imported(program: str, *arguments: str) -> set[str]:
    """The heavy packages that a program has imported when it ends."""
    command = [sys.executable, "-c", TOLD + program, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return HEAVY & set(done.stderr.split())


@pytest.mark.parametrize("package", ["turnwire", "turnwire_server", "turnwire_simulator"])
def test_a_package_imports_nothing_until_something_of_it_is_asked_for(package: str) -> None:
    assert imported(f"import {package}") == set()
    assert "pydantic" in imported("from turnwire import connect")


@pytest.mark.parametrize("package", ["turnwire", "turnwire_server", "turnwire_simulator"])
def test_a_package_tells_its_names_before_any_is_asked_for(package: str) -> None:
    program = f"import {package}; print(*dir({package}))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    module = import_module(package)
    assert {*module.__all__, "__doc__"} <= set(done.stdout.decode().split())


@pytest.mark.parametrize("command", ["", "chat", "move", "simulate", "vacuum"])
def test_help_imports_nothing(command: str) -> None:
    assert imported(RUN, *command.split(), "--help") == set()


def test_the_help_of_serve_imports_the_settings_alone() -> None:
    assert imported(RUN, "serve", "--help") == {"pydantic"}


HELD = """
import socket, sys, threading
port = int(sys.argv.pop())
class Held:
    def find_spec(self, name, path=None, target=None):
        if name == "anthropic" and threading.current_thread() is not threading.main_thread():
            sys.meta_path.remove(self)
            with socket.create_connection(("127.0.0.1", port)) as gate:
                gate.sendall(" ".join(sys.modules).encode() + bytes([10]))
                gate.recv(1)
sys.meta_path.insert(0, Held())
"""
"""A thread that wants the SDK tells what has been imported, and waits until it may go on."""


@pytest.mark.slow
@pytest.mark.parametrize("has_key", [True, False], ids=["key", "demo"])
async def test_serve_takes_a_message_before_it_imports_the_sdk(
    tmp_path: Path, has_key: bool
) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    async with Simulator() as simulator:
        if has_key:
            environment |= {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": simulator.url}
        wanted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        gate = await asyncio.start_server(lambda *ends: wanted.put_nowait(ends), "127.0.0.1", 0)
        port = str(gate.sockets[0].getsockname()[1])
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", HELD + RUN, "serve", "--port", "0", port),
            cwd=tmp_path,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            async with gate, patience():
                reader, writer = await wanted.get()
                modules = set((await reader.readline()).decode().split())
                assert not modules & {"anthropic", "docstring_parser", "mcp"}
                first = (await process.stdout.readline()).decode()
                async with wired(first.partition("http://")[2].split()[0]) as wire:
                    ack = await wire.ask("send", content="Hello")
                    await wire.until("step", turn=ack["turn"])
                    writer.close()
                    done = await wire.until("done", turn=ack["turn"])
                    assert done["stop_reason"] == "end_turn"
        finally:
            process.kill()
            await process.wait()

"""`turnwire serve` as a process of its own: what it prints, serves, refuses and logs."""

import asyncio
import fcntl
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.kit.patience import patience
from tests.kit.sse import asking
from tests.kit.wire import opened, wired
from tests.server.serve import refused_start, served
from tests.server.store.store_rows import opened as opened_store
from turnwire_server.cli import serve
from turnwire_simulator import Answer, Gate, Simulator, Text, ToolUse

TOKEN = "a-very-secret-token"


async def test_without_a_key_it_is_the_demo_and_serves_everything(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        async with asking(running.address) as http:
            assert "text/html" in (await http.get("/")).headers["content-type"]
            assert (await http.get("/docs")).status_code == 200
            assert (await http.get("/health")).json() == {"status": "ok"}
            assert (await http.get("/ready")).json() == {"status": "ready"}
        async with opened(running.address) as wire:
            assert (await wire.until("welcome"))["demo"] is True
            ack = await wire.ask("send", content="refuse please", on_detach="continue")
            assert ack["type"] == "ack"
            await wire.until("done")
    # uvicorn finishes and then dies of the signal, as its parent expects.
    assert running.process.returncode in (0, -signal.SIGTERM)
    assert "demo" in running.printed
    assert "ANTHROPIC_API_KEY" in running.printed


async def test_with_a_key_it_talks_to_the_base_url_and_logs_no_secret(
    tmp_path: Path, simulator: Simulator
) -> None:
    secrets = {"ANTHROPIC_API_KEY": "sk-ant-secret-key", "TURNWIRE_TOKEN": TOKEN}
    async with served(tmp_path, ANTHROPIC_BASE_URL=simulator.url, **secrets) as running:
        async with wired(running.address, hello=TOKEN) as wire:
            await wire.ask("send", content="my private words")
            await wire.until("done")
            await wire.send("send", content={"my": "private mistake"})
            await wire.until("reject")
        async with opened(running.address) as wire:
            await wire.send("hello", token="a-guessed-token")
            assert await wire.closed() == 4501
        async with asking(running.address) as http:
            query = {"message": "private query", "key": "private-key", "token": TOKEN}
            assert (await http.get("/v1/chat", params=query)).status_code == 401
    assert len(simulator.requests) == 1
    assert "demo" not in running.printed
    (line,) = [line for line in running.logged.splitlines() if "turn principal=" in line]
    assert "stop_reason=end_turn" in line
    for secret in (TOKEN, "sk-ant-secret-key", "private", "guessed"):
        assert secret not in running.logged
        assert secret not in running.printed


async def test_tools_of_a_file_are_offered(tmp_path: Path, simulator: Simulator) -> None:
    (tmp_path / "mine.py").write_text(
        "from turnwire_server import tool\n\n"
        "@tool\ndef dice(sides: int) -> int:\n"
        '    """Throws a die.\n\n    Args:\n        sides: How many.\n    """\n    return sides\n'
    )
    environment = {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": simulator.url}
    async with (
        served(tmp_path, "--tools", "mine.py", **environment) as running,
        wired(running.address) as wire,
    ):
        await wire.ask("send", content="hi")
        await wire.until("done")
    assert [tool["name"] for tool in simulator.requests[0]["tools"]] == ["dice"]


async def test_settings_come_from_the_environment_and_a_dot_env_file(
    tmp_path: Path, simulator: Simulator
) -> None:
    (tmp_path / ".env").write_text("TURNWIRE_SYSTEM=from the file\nOTHER=thing\n")
    environment = {
        "ANTHROPIC_API_KEY": "x",
        "ANTHROPIC_BASE_URL": simulator.url,
        "TURNWIRE_MODELS": '["claude-simulated-haiku"]',
    }
    async with (
        served(tmp_path, "--model", "claude-simulated-opus", **environment) as running,
        opened(running.address) as wire,
    ):
        welcome = await wire.receive()
        assert welcome["models"] == ["claude-simulated-opus", "claude-simulated-haiku"]
        await wire.ask("send", content="hi")
        await wire.until("done")
    assert simulator.requests[0]["system"][0]["text"] == "from the file"


@pytest.mark.parametrize("wins", ["file", "environment"])
async def test_the_key_may_stand_in_dot_env_and_the_environment_wins(
    tmp_path: Path, simulator: Simulator, wins: str
) -> None:
    # A variable that is empty, as compose files make them, is none.
    environment = {"ANTHROPIC_API_KEY": ""}
    in_file = simulator.url
    if wins == "environment":
        environment["ANTHROPIC_BASE_URL"], in_file = simulator.url, "http://127.0.0.1:9"
    (tmp_path / ".env").write_text(f"ANTHROPIC_API_KEY=sk-file\nANTHROPIC_BASE_URL={in_file}\n")
    async with served(tmp_path, **environment) as running, opened(running.address) as wire:
        assert "demo" not in await wire.until("welcome")
        await wire.ask("send", content="hi")
        assert (await wire.until("done"))["stop_reason"] == "end_turn"
    assert "demo" not in running.printed
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("key", ["sk-one\n", " sk-one", "sk-one\nsk-two", "sk one", "sk-öne"])
@pytest.mark.parametrize("variable", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"])
async def test_a_key_that_no_header_can_carry_is_named_at_the_start(
    tmp_path: Path, variable: str, key: str
) -> None:
    (line,) = await refused_start(tmp_path, {variable: key})
    assert variable in line
    assert "sk-" not in line


async def test_a_misspelt_variable_is_named_once_with_the_nearest_setting(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TURNWIRE_SISTEM=x\nTURNWIRE_SYSTEM=y\nOTHER=z\n")
    environment = {
        "TURNWIRE_TOKKEN": "12345678",
        "TURNWIRE_URL": "http://a",
        "TURNWIRE_MAX_STEPS": "3",
    }
    async with served(tmp_path, **environment) as running:
        pass
    named = [line for line in running.logged.splitlines() if "TURNWIRE_" in line]
    assert len(named) == 2, named
    for line, wrong, right in zip(named, ["SISTEM", "TOKKEN"], ["SYSTEM", "TOKEN"], strict=True):
        assert f"TURNWIRE_{wrong} " in line
        assert line.endswith(f"TURNWIRE_{right}?")
    assert "12345678" not in running.logged


@pytest.mark.parametrize(
    ("flags", "environment", "words"),
    [
        (["--host", "0.0.0.0"], {}, ["--token", "TURNWIRE_TOKEN", "127.0.0.1"]),
        (["--host", "::"], {}, ["--token"]),
        (["--port", "abc"], {}, ["--port"]),
        (["--port", "70000"], {}, ["port"]),
        (["--token", "short"], {}, ["token", "8"]),
        (["--tools", "missing.py"], {}, ["missing.py"]),
        (["--mcp", "missing.json"], {}, ["mcp", "missing.json"]),
        (["--frobnicate"], {}, ["--frobnicate"]),
        (["--thinking", "{oops"], {}, ["JSON"]),
        ([], {"TURNWIRE_TOOLS": "missing.py"}, ["tools", "JSON"]),
        ([], {"TURNWIRE_PORT": "abc"}, ["port"]),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    environment: dict[str, str],
    words: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(serve, flags)
    assert result.exit_code in (1, 2), result.output
    assert isinstance(result.exception, SystemExit), result.exception
    for word in words:
        assert word in result.output
    assert "Traceback" not in result.output


async def test_an_address_in_use_is_refused_with_the_remedy(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    arguments = ["--port", address.rpartition(":")[2]]
    result = await asyncio.to_thread(CliRunner().invoke, serve, arguments)
    assert result.exit_code == 1
    assert "--port" in result.output


def garbage(db: Path) -> None:
    """No database at all."""
    db.write_bytes(b"Dear diary, " * 1000)


def broken(db: Path) -> None:
    """A database some of whose pages are overwritten: what it says of its tables still stands."""
    with closing(sqlite3.connect(db)) as file:
        asyncio.run(made(db))
        (size,) = file.execute("PRAGMA page_size").fetchone()
        pages = file.execute("SELECT rootpage FROM sqlite_master WHERE name = 'conversations'")
        (page,) = pages.fetchone()
    with db.open("r+b") as bytes_:
        bytes_.seek((page - 1) * size)
        bytes_.write(b"\xff" * size)


async def made(db: Path) -> None:
    async with opened_store(db):
        pass


def folder(db: Path) -> None:
    """Not a file."""
    db.mkdir()


def unwritable(db: Path) -> None:
    """In a place where nobody may write, whoever it is."""
    db.symlink_to("/proc/turnwire.db")


@contextmanager
def used(db: Path) -> Iterator[None]:
    """Another Turnwire has it."""
    with db.with_name(f"{db.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def locked(db: Path) -> Iterator[None]:
    """Another program writes to it, without end."""
    with closing(sqlite3.connect(db, isolation_level=None)) as file:
        file.execute("BEGIN EXCLUSIVE")
        yield


@contextmanager
def after(damage: Callable[[Path], None], db: Path) -> Iterator[None]:
    damage(db)
    yield


UNUSABLE: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "no database": partial(after, garbage),
    "broken": partial(after, broken),
    "a folder": partial(after, folder),
    "unwritable": partial(after, unwritable),
    "in use": used,
    "locked": locked,
}


@pytest.mark.parametrize("trouble", UNUSABLE.values(), ids=UNUSABLE)
def test_a_database_that_cannot_be_used_is_one_line_before_anything_is_said(
    tmp_path: Path, trouble: Callable[[Path], AbstractContextManager[None]]
) -> None:
    db = tmp_path / "chat.db"
    with trouble(db):
        start = refused_start(tmp_path, {"ANTHROPIC_API_KEY": "x"}, "--db", str(db))
        (line,) = asyncio.run(start)
    assert "chat.db" in line or "/proc/turnwire.db" in line


def test_help_lists_every_flag_with_its_meaning() -> None:
    output = CliRunner().invoke(serve, ["--help"]).output
    for flag in ("--host", "--port", "--token", "--tools", "--model", "--allow-origins"):
        assert flag in output


HANGING = {
    "an async tool that swallows its cancellation": """
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                pass""",
    "an async tool that waits for a thread": """
        await asyncio.to_thread(time.sleep, 1e9)""",
    "a sync tool": """
        time.sleep(1e9)""",
    "a sync tool with a thread that is no daemon": """
        threading.Thread(target=time.sleep, args=(1e9,), daemon=False).start()
        time.sleep(1e9)""",
    "a sync tool that wakes up while the interpreter is taken down": """
        thread = threading.Thread(target=time.sleep, args=(1e9,), daemon=True)
        thread.start()
        thread.join()""",
}


@pytest.mark.parametrize("body", HANGING.values(), ids=HANGING)
async def test_a_tool_that_never_returns_does_not_hold_up_the_end(
    tmp_path: Path, simulator: Simulator, body: str
) -> None:
    (tmp_path / "mine.py").write_text(
        "import asyncio, threading, time\n"
        "from turnwire_server import ToolContext, tool\n\n"
        f"@tool\n{'async ' if 'await' in body else ''}def hang(context: ToolContext) -> str:\n"
        f'    """Hangs."""\n    if context.progress("begun") is None:{body}\n    return "?"\n'
    )
    simulator.program(Answer(ToolUse("hang", {}), stop_reason="tool_use"))
    environment = {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": simulator.url}
    flags = ("--tools", "mine.py", "--drain-grace", "0.1")
    async with served(tmp_path, *flags, **environment) as running:
        async with wired(running.address) as wire:
            await wire.ask("send", content="hi")
            await wire.until("tool_progress")
            running.process.terminate()
            assert (await wire.until("done"))["stop_reason"] == "interrupted"
        async with patience():
            assert await running.process.wait() == 0


async def test_the_first_ctrl_c_says_what_it_waits_for_and_the_second_ends_it(
    tmp_path: Path, simulator: Simulator
) -> None:
    simulator.program(Answer(Text(["one ", Gate(), "never"])))
    environment = {"ANTHROPIC_API_KEY": "x", "ANTHROPIC_BASE_URL": simulator.url}
    async with served(tmp_path, "--drain-grace", "600", **environment) as running:
        async with wired(running.address) as wire:
            await wire.ask("send", content="hi")
            await wire.until("token")
            running.process.send_signal(signal.SIGINT)
            await wire.until("going_away")
            assert running.process.stderr is not None
            async with patience():
                while "Ctrl-C" not in (line := (await running.process.stderr.readline()).decode()):
                    assert line
            assert "1 running turn, at most 600 s" in line
            running.process.send_signal(signal.SIGINT)
            assert await wire.closed() == 1006
        async with patience():
            assert await running.process.wait() == 128 + signal.SIGINT

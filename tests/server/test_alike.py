"""Nodes of one database whose settings differ say so in the log, and run all the same."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import asyncpg
import pytest
from starlette.requests import HTTPConnection

from tests.kit.patience import PATIENCE_SECONDS
from tests.kit.postgres import fresh_url
from tests.kit.service import by_name, turnwire_over
from turnwire_server.alike import alike
from turnwire_server.core.turn.options import ClientOption
from turnwire_server.settings import Settings
from turnwire_simulator import Simulator

SAME: dict[str, Any] = {"token": "a secret of all", "max_steps": 7}


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


def by_chance(connection: HTTPConnection) -> str | None:
    """Another authenticator."""
    return None


@asynccontextmanager
async def running(url: str, **settings: Any) -> AsyncIterator[None]:
    """A node."""
    async with Simulator() as simulator:
        turnwire = turnwire_over(simulator, db=url, **settings)
        await turnwire.start()
        try:
            yield
        finally:
            await turnwire.close()


def named(caplog: pytest.LogCaptureFixture) -> set[str]:
    """What is said to differ."""
    return {
        record.getMessage().partition(":")[0]
        for record in caplog.records
        if "has another one" in record.getMessage()
    }


async def test_a_node_names_what_another_one_has_otherwise_and_shows_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = fresh_url()
    with caplog.at_level(logging.WARNING):
        async with running(url, **SAME), running(url, **SAME, port=8001, drain_grace=1.0):
            assert named(caplog) == set()
            other = {"token": "another secret", "max_steps": 8, "tools": [add]}
            async with running(url, **other):
                assert named(caplog) == {"token", "max_steps", "tools"}
            connection = await asyncpg.connect(url)
            kept = await connection.fetch("SELECT alike FROM nodes")
            await connection.close()
        assert len(kept) == 2
        for text in (caplog.text, str(kept)):
            assert not [secret for secret in ("secret of all", "another secret") if secret in text]


async def test_authenticators_are_told_apart_by_their_names(
    caplog: pytest.LogCaptureFixture,
) -> None:
    url = fresh_url()
    async with running(url, authenticate=by_name), running(url, authenticate=by_name):
        assert named(caplog) == set()
        async with running(url, authenticate=by_chance):
            assert named(caplog) == {"authenticate"}


def test_the_tools_are_compared_whatever_the_encoding_of_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text('{"mcpServers": {"größe": {"command": "x"}}}', "utf-8")
    program = f"""
from turnwire_server.alike import alike
from turnwire_server.settings import Settings
said = alike(Settings(mcp={str(file)!r}), authenticate=None, tools=[])["mcp"]
assert said.encode("utf-8") == {file.read_bytes()!r}
"""
    # An interpreter that takes files for ASCII, as others do for Latin-1 or Windows' code pages.
    ascii = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run([sys.executable, "-c", program], env=ascii, check=True, timeout=PATIENCE_SECONDS)


def test_what_is_unordered_is_compared_in_one_order() -> None:
    settings = Settings(client_options=frozenset(get_args(ClientOption)))
    said = alike(settings, authenticate=None, tools=[])["client_options"]
    assert json.loads(said) == sorted(get_args(ClientOption))

"""The SDK is imported beside the first work: what a service can do before, and if it never can."""

import asyncio
import logging
import os
import threading
from pathlib import Path

import pytest

from tests.kit.chat import ended, of_type
from tests.kit.patience import PATIENCE_SECONDS, patience
from tests.kit.service import FAST, serving
from tests.kit.sse import asking
from tests.kit.wire import wired
from turnwire_protocol import Error
from turnwire_server import Turnwire
from turnwire_server.model.clients import Client, connect, has_credentials
from turnwire_server.model.late import LateClient, is_bare, late_client
from turnwire_simulator import Answer, Simulator, Text

KEY = {"ANTHROPIC_API_KEY": "sk-ant"}


class Held:
    """What makes the client, once it is let."""

    def __init__(self, simulator: Simulator) -> None:
        self.released = threading.Event()
        self.client = LateClient(base_url=simulator.url, make=self._make)
        self._url = simulator.url

    def _make(self) -> Client:
        assert self.released.wait(PATIENCE_SECONDS)
        return connect(self._url, "test-key")


async def test_a_message_is_stored_before_the_sdk_is_there_and_answered_then(
    simulator: Simulator,
) -> None:
    held = Held(simulator)
    turnwire = Turnwire(client=held.client, **FAST)
    async with serving(turnwire) as address, asking(address) as http, wired(address) as wire:
        ack = await wire.ask("send", content="Hello")
        await wire.until("step")
        assert (await http.get("/ready")).json() == {"status": "ready"}
        assert simulator.requests == []
        held.released.set()
        done = await wire.until("done", turn=ack["turn"])
        assert done["stop_reason"] == "end_turn"
    assert len(simulator.requests) == 1


async def test_a_turn_that_is_stopped_while_it_waits_stops_no_other(simulator: Simulator) -> None:
    simulator.program(Answer(Text("for the second")))
    held = Held(simulator)
    turnwire = Turnwire(client=held.client, **FAST)
    async with serving(turnwire) as address, wired(address) as wire:
        first = await wire.ask("send", content="one")
        await wire.until("step", turn=first["turn"])
        second = await wire.ask("send", content="two")
        await wire.until("step", turn=second["turn"])
        await wire.ask("cancel", conversation=first["conversation"], turn=first["turn"])
        assert (await wire.until("done", turn=first["turn"]))["stop_reason"] == "cancelled"
        held.released.set()
        assert (await wire.until("done", turn=second["turn"]))["stop_reason"] == "end_turn"
    assert len(simulator.requests) == 1


async def test_a_service_that_ends_meanwhile_lets_go_of_the_client(simulator: Simulator) -> None:
    made: list[Client] = []
    held = Held(simulator)

    def make() -> Client:
        made.append(held.client.make())
        return made[0]

    turnwire = Turnwire(client=LateClient(base_url=simulator.url, make=make), **FAST)
    await turnwire.start()
    await asyncio.sleep(0)
    closing = asyncio.create_task(turnwire.close())
    held.released.set()
    async with patience():
        await closing
    # Nothing was wanted of it: it may not have begun to be made.
    assert all(client.is_closed() for client in made)


async def test_an_sdk_that_cannot_be_imported_is_told_to_all(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    def make() -> Client:
        raise ImportError("cannot import name 'AsyncAnthropic'")

    turnwire = Turnwire(client=LateClient(base_url=simulator.url, make=make), **FAST)
    async with serving(turnwire) as address, asking(address) as http, wired(address) as wire:
        done = await ended(wire)
        assert done["stop_reason"] == "failed"
        [error] = of_type(wire, Error)
        assert (error.code, error.retryable) == ("internal", False)
        response = await http.get("/ready")
        assert (response.status_code, response.json()) == (
            503,
            {"status": "unavailable", "code": "internal"},
        )
    [record] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.name == "turnwire_server.model.late"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ImportError)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where nothing is known of Claude."""
    for name in [*os.environ]:
        if name.startswith("ANTHROPIC_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"ANTHROPIC_BASE_URL": "http://127.0.0.1:65535/v"},
        {"ANTHROPIC_AUTH_TOKEN": "token"},
        {"SSL_CERT_FILE": ""},
    ],
    ids=str,
)
def test_with_a_plain_key_the_sdk_may_come_later(
    home: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, str]
) -> None:
    for name, value in {**KEY, **more}.items():
        monkeypatch.setenv(name, value)
    late = late_client()
    assert late is not None
    # The SDK means the same.
    assert has_credentials()
    assert str(late.make().base_url).rstrip("/") == late.base_url


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"ANTHROPIC_API_KEY": ""},
        {"ANTHROPIC_API_KEY": "two words"},
        {**KEY, "ANTHROPIC_AUTH_TOKEN": "two\nlines"},
        {**KEY, "ANTHROPIC_BASE_URL": "nonsense"},
        {**KEY, "ANTHROPIC_BASE_URL": "http://host:99999"},
        {**KEY, "ANTHROPIC_BASE_URL": ""},
        {**KEY, "ANTHROPIC_CUSTOM_HEADERS": "a: b"},
        {**KEY, "ANTHROPIC_SOMETHING_NEW": "x"},
        {**KEY, "HTTPS_PROXY": "socks5://127.0.0.1:9"},
        {**KEY, "SSL_CERT_FILE": "/nowhere"},
        {"ANTHROPIC_PROFILE": "work"},
    ],
    ids=str,
)
def test_whatever_may_fail_is_asked_of_the_sdk_at_once(
    home: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert late_client() is None


def test_where_nothing_is_found_the_sdk_would_find_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    assert is_bare()
    assert not has_credentials()


def test_a_profile_on_the_disk_is_for_the_sdk_to_read(home: Path) -> None:
    folder = home / ".config" / "anthropic"
    (folder / "configs").mkdir(parents=True)
    (folder / "active_config").write_text("default")
    (folder / "configs" / "default.json").write_text("{}")
    assert not is_bare()


@pytest.mark.parametrize("name", ["ANTHROPIC_PROFILE", "ANTHROPIC_API_KEY", "ANTHROPIC_NEW"])
def test_a_variable_of_the_sdk_is_for_it_to_read(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "x")
    assert not is_bare()

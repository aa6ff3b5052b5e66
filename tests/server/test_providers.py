"""Each place where Claude runs: the SDK's own client, over a server with that place's framing."""

import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
from anthropic import (
    Anthropic,
    AnthropicBedrock,
    AnthropicVertex,
    AsyncAnthropic,
    AsyncAnthropicVertex,
)

from tests.kit.chat import ended, of_type
from tests.kit.oracle import check_log
from tests.kit.platforms import Platforms, environment, platforms
from tests.kit.service import FAST, serving, upstream_left
from tests.kit.wire import Wire, wired
from turnwire_protocol import Error, Retry, Token, ToolResult
from turnwire_protocol.extras import how_to_install
from turnwire_server import SettingsError, Turnwire
from turnwire_server.model.claude import Claude
from turnwire_server.model.clients import client_of
from turnwire_server.model.providers import Provider
from turnwire_server.settings import load_settings
from turnwire_simulator import Answer, ErrorEvent, Fault, Gate, Simulator, Text, Thinking, ToolUse

PROVIDERS: tuple[Provider, ...] = get_args(Provider)
ELSEWHERE = tuple(provider for provider in PROVIDERS if provider != "anthropic")
MODELS = {
    "bedrock": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "bedrock-mantle": "anthropic.claude-sonnet-5-5",
    "vertex": "claude-sonnet-4-5@20250929",
}
OF_SDK = ("ANTHROPIC_", "AWS_", "GOOGLE_", "CLOUD_ML_REGION", "CLOUDSDK_")


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An environment that says nothing of any provider."""
    for name in list(os.environ):
        if name.startswith(OF_SDK):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    # Else AWS's and Google's libraries would look for the machine they might run on.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@asynccontextmanager
async def at(
    provider: Provider,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    **settings: Any,
) -> AsyncIterator[tuple[Wire, Platforms]]:
    """A connection to a service whose model runs there."""
    async with platforms(simulator) as seen:
        url = simulator.url if provider == "anthropic" else seen.url
        for name, value in environment(provider, url, folder).items():
            monkeypatch.setenv(name, value)
        model = MODELS.get(provider, "claude-sonnet-5-5")
        turnwire = Turnwire(provider=provider, **{**FAST, "model": model, **settings})
        async with serving(turnwire) as address, wired(address) as wire:
            yield wire, seen


def weather(city: str) -> str:
    """The weather of a city."""
    return f"Sun in {city}."


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_conversation_with_a_tool_goes_on_there(
    provider: Provider, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, nowhere: Path
) -> None:
    simulator.program(
        Answer(Thinking("Hm."), ToolUse("weather", {"city": "Köln"}), stop_reason="tool_use"),
        Answer(Text("Grüße, sun ☀.")),
        Answer(Text("Again.")),
    )
    async with at(provider, simulator, monkeypatch, nowhere, tools=[weather]) as (wire, seen):
        done = await ended(wire)
        again = await ended(wire, conversation=done["conversation"])
        assert (done["stop_reason"], again["stop_reason"]) == ("end_turn", "end_turn")
        assert [result.content for result in of_type(wire, ToolResult)] == ["Sun in Köln."]
        turns = wire.fold(done["conversation"]).turns
        assert [turn.text for turn in turns] == ["Grüße, sun ☀.", "Again."]
        check_log(wire.events)
    assert simulator.rejections == []
    roles = [message["role"] for message in simulator.requests[-1]["messages"]]
    assert roles == ["user", "assistant", "user", "assistant", "user"]
    if provider != "anthropic":
        assert len(seen.paths) == 3


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_stop_closes_the_upstream_there(
    provider: Provider, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, nowhere: Path
) -> None:
    simulator.program(Answer(Text(["Hel", "lo"])).at(4, Gate()))
    async with at(provider, simulator, monkeypatch, nowhere) as (wire, _):
        ack = await wire.ask("send", content="Hi")
        await wire.until("token")
        await wire.ask("cancel", conversation=ack["conversation"], turn=ack["turn"])
        done = await wire.end(ack["turn"])
        assert done.stop_reason == "cancelled"
        await upstream_left(simulator)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_errors_there_have_their_codes_before_and_within_an_answer(
    provider: Provider, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, nowhere: Path
) -> None:
    broken = Answer(Text(["Hel", "lo"])).at(4, ErrorEvent("overloaded_error", "too much"))
    simulator.program(
        Fault(429, message="slow down"), broken, Answer(Text("Hello")), Fault(400, message="no")
    )
    async with at(provider, simulator, monkeypatch, nowhere) as (wire, _):
        done = await ended(wire)
        assert done["stop_reason"] == "end_turn"
        assert [retry.code for retry in of_type(wire, Retry)] == ["rate_limit", "overloaded"]
        assert wire.fold(done["conversation"]).turns[done["turn"]].text == "Hello"
        assert "".join(token.text for token in of_type(wire, Token)) == "HelHello"
        await ended(wire, conversation=done["conversation"])
        assert [(e.code, e.message) for e in of_type(wire, Error)] == [("invalid_request", "no")]


@pytest.mark.parametrize("provider", ELSEWHERE)
def test_what_the_environment_lacks_is_said_at_the_start(provider: Provider, nowhere: Path) -> None:
    wanted = "AWS_REGION|CLOUD_ML_REGION|ANTHROPIC_GOOGLE_CLOUD_PROJECT|ANTHROPIC_FOUNDRY_RESOURCE"
    with pytest.raises(SettingsError, match=f"provider: {provider} wants .*({wanted})"):
        Turnwire(provider=provider)


@pytest.mark.parametrize(
    ("provider", "lacking"),
    [
        ("bedrock", "AWS_REGION"),
        ("bedrock", "AWS_SECRET_ACCESS_KEY"),
        ("bedrock-mantle", "AWS_REGION"),
        ("bedrock-mantle", "AWS_ACCESS_KEY_ID"),
        ("aws", "ANTHROPIC_AWS_WORKSPACE_ID"),
        ("aws", "ANTHROPIC_AWS_API_KEY"),
        ("vertex", "CLOUD_ML_REGION"),
        ("vertex", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("google-cloud", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("foundry", "ANTHROPIC_FOUNDRY_API_KEY"),
        ("foundry", "ANTHROPIC_FOUNDRY_BASE_URL"),
    ],
)
def test_each_single_thing_that_is_missing_keeps_it_from_starting(
    provider: Provider, lacking: str, monkeypatch: pytest.MonkeyPatch, nowhere: Path
) -> None:
    whole = environment(provider, "http://127.0.0.1:1", nowhere)
    for name, value in whole.items():
        monkeypatch.setenv(name, value)
    client_of(provider)
    monkeypatch.delenv(lacking)
    with pytest.raises(SettingsError, match=f"provider: {provider} wants"):
        client_of(provider)


@pytest.mark.parametrize("provider", ["vertex", "google-cloud"])
def test_googles_credentials_name_the_project_unless_the_environment_does(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, nowhere: Path
) -> None:
    for name, value in environment(provider, "http://127.0.0.1:1", nowhere).items():
        if not name.endswith("_BASE_URL"):
            monkeypatch.setenv(name, value)
    client = client_of(provider)
    if isinstance(client, AsyncAnthropicVertex):
        assert client.project_id == "project-1"
    else:
        assert "project-1" in str(client.base_url)
    for name in ("ANTHROPIC_VERTEX_PROJECT_ID", "ANTHROPIC_GOOGLE_CLOUD_PROJECT"):
        monkeypatch.setenv(name, "project-2")
    client = client_of(provider)
    own = client.project_id if isinstance(client, AsyncAnthropicVertex) else str(client.base_url)
    assert own is not None
    assert "project-2" in own


def test_the_list_of_prices_is_that_of_the_claude_api_alone(
    monkeypatch: pytest.MonkeyPatch, nowhere: Path
) -> None:
    assert Claude(AsyncAnthropic(api_key="x")).has_list_prices
    assert not Claude(AsyncAnthropic(api_key="x", base_url="http://127.0.0.1:1")).has_list_prices
    monkeypatch.setenv("AWS_REGION", "eu-test-1")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "fake-token")
    assert not Claude(client_of("bedrock")).has_list_prices


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on an installation without the extras."""
    for name in ("botocore", "botocore.exceptions", "google.auth"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.parametrize(
    ("provider", "extra"),
    [
        ("bedrock", "bedrock"),
        ("bedrock-mantle", "bedrock"),
        ("vertex", "vertex"),
        ("google-cloud", "google-cloud"),
    ],
)
@pytest.mark.usefixtures("without_packages")
def test_a_package_that_is_missing_is_named_with_its_extra(
    provider: Provider, extra: str, monkeypatch: pytest.MonkeyPatch, nowhere: Path
) -> None:
    for name, value in environment(provider, "http://127.0.0.1:1", nowhere).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=re.escape(how_to_install(extra))):
        client_of(provider)


@pytest.mark.usefixtures("without_packages")
def test_with_a_bearer_token_bedrock_needs_no_package(
    monkeypatch: pytest.MonkeyPatch, nowhere: Path
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-test-1")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "fake-token")
    for provider in ("bedrock", "bedrock-mantle"):
        client_of(provider)


@pytest.mark.parametrize(
    "client",
    [
        Anthropic(api_key="x"),
        AnthropicBedrock(aws_region="eu-test-1", api_key="x"),
        AnthropicVertex(region="europe-test1", project_id="p", access_token="x"),
        "a string",
    ],
    ids=lambda client: type(client).__name__,
)
def test_a_client_that_is_not_async_is_refused_at_once(client: Any) -> None:
    for take in (Claude, lambda client: Turnwire(client=client)):
        with pytest.raises(TypeError, match="no async client of the Anthropic SDK"):
            take(client)


def test_a_provider_has_its_own_default_model(nowhere: Path) -> None:
    assert load_settings().model == load_settings(provider="vertex").model == "claude-sonnet-5-5"
    assert load_settings(provider="bedrock").model == "anthropic.claude-sonnet-5-5"
    assert load_settings(provider="bedrock", model="m").model == "m"
    with pytest.raises(SettingsError, match="provider"):
        load_settings(provider="attic")


def test_a_profile_of_the_sdks_configuration_is_used(
    monkeypatch: pytest.MonkeyPatch, nowhere: Path
) -> None:
    monkeypatch.setenv("ANTHROPIC_FEDERATION_RULE_ID", "fdrl_1")
    monkeypatch.setenv("ANTHROPIC_ORGANIZATION_ID", "org_1")
    monkeypatch.setenv("ANTHROPIC_IDENTITY_TOKEN", "fake")
    client = client_of()
    assert isinstance(client, AsyncAnthropic)
    assert client.credentials is not None

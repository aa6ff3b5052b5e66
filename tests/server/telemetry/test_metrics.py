"""`GET /metrics`: what it shows, whom it is shown to, and that a real Prometheus takes it."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.kit.chat import MODEL, ended
from tests.kit.patience import patience
from tests.kit.prometheus import PROMETHEUS, scraping
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import wired
from turnwire_server import SettingsError, tool
from turnwire_server.settings import load_settings
from turnwire_simulator import Answer, Fault, Gate, Simulator, Text, ToolUse

TOKEN = "token-of-this-test"
PRICES = {MODEL: {"input": 3, "output": 15}}


@tool
def add(a: int, b: int) -> int:
    """Add."""
    return a + b


@tool(approval=True)
def ask(what: str) -> str:
    """Ask first."""
    return what


@asynccontextmanager
async def measured(simulator: Simulator, **settings: object) -> AsyncIterator[str]:
    turnwire = turnwire_over(
        simulator,
        metrics=True,
        token=TOKEN,
        model=MODEL,
        prices=PRICES,
        tools=[add, ask],
        **settings,
    )
    async with serving(turnwire) as address:
        yield address


async def text_of(address: str) -> str:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with asking(address, headers=headers) as http:
        answer = await http.get("/metrics")
    assert answer.status_code == 200
    return answer.text


async def shown(address: str) -> dict[str, float]:
    """Values by name and labels, as they are written."""
    lines = [line for line in (await text_of(address)).splitlines() if line[0] != "#"]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


async def test_turns_attempts_and_tools_are_counted(simulator: Simulator) -> None:
    simulator.program(
        Fault(529, message="busy"),
        Answer(
            ToolUse("add", {"a": 1, "b": 2}, id="toolu_1"),
            ToolUse("made_up_by_the_model", {}, id="toolu_2"),
            stop_reason="tool_use",
        ),
        Answer(Text(["All", " done."])),
    )
    async with measured(simulator) as address, wired(address, hello=TOKEN) as wire:
        done = await ended(wire)
        found = await shown(address)
    assert found['turnwire_turns_total{code="",stop_reason="end_turn"}'] == 1
    assert found['turnwire_attempts_total{code="overloaded"}'] == 1
    assert found['turnwire_attempts_total{code="ok"}'] == 2
    assert found["turnwire_retry_wait_seconds_count"] == 1
    assert found["turnwire_turn_duration_seconds_count"] == 1
    assert found['turnwire_tools_total{name="add",outcome="ok",runs_on="server"}'] == 1
    assert found['turnwire_tools_total{name="server",outcome="not_run",runs_on="server"}'] == 1
    call = 'gen_ai_operation_name="chat",gen_ai_provider_name="anthropic",'
    call += f'gen_ai_request_model="{MODEL}"'
    assert found[f'gen_ai_client_operation_duration_seconds_count{{error_type="",{call}}}'] == 2
    assert (
        found[f'gen_ai_client_operation_duration_seconds_count{{error_type="overloaded",{call}}}']
        == 1
    )
    assert found[f"gen_ai_client_operation_time_to_first_chunk_seconds_count{{{call}}}"] == 2
    for kind in ("input", "output"):
        name = f'gen_ai_client_token_usage_sum{{{call},gen_ai_token_type="{kind}"}}'
        assert found[name] == done["usage"][f"{kind}_tokens"]
    assert found[f'turnwire_cost_usd_total{{model="{MODEL}"}}'] == pytest.approx(done["cost_usd"])
    assert found["turnwire_output_chars_total"] >= len("All done.")
    assert found["turnwire_sockets"] == 1
    assert found["turnwire_open_conversations"] == 1
    assert found["turnwire_subscriptions"] == 1
    assert found["turnwire_commits_total"] >= 1
    assert found["turnwire_commit_time_seconds_total"] > 0
    assert found["turnwire_undurable_events"] == 0
    assert found["turnwire_store_failures_total"] == 0
    names = " ".join(found)
    for secret in ("made_up", done["turn"], done["conversation"], TOKEN, "principal"):
        assert secret not in names


async def test_what_runs_and_waits_is_shown_and_gone_when_it_is_over(simulator: Simulator) -> None:
    gate = Gate()
    simulator.program(
        Answer(Text(["a", gate, "b"])),
        Answer(ToolUse("ask", {"what": "x"}, id="toolu_1"), stop_reason="tool_use"),
    )
    async with measured(simulator) as address, wired(address, hello=TOKEN) as wire:
        first = await wire.ask("send", content="Hello")
        await wire.until("token")
        where = {"conversation": first["conversation"]}
        await wire.ask("send", content="And?", if_busy="queue", **where)
        running = await shown(address)
        gate.open()
        asked = await wire.until("tool_approval")
        resting = await shown(address)
        await wire.send("cancel", turn=asked["turn"], **where)
        await wire.until("done", turn=asked["turn"])
        over = await shown(address)
    names = ("turns_running", "turns_queued", "turns_resting", "approvals_waiting")
    seen = [
        tuple(found[f"turnwire_{name}"] for name in names) for found in (running, resting, over)
    ]
    assert seen == [(1, 1, 0, 0), (1, 0, 1, 1), (0, 0, 0, 0)]
    assert over['turnwire_turns_total{code="",stop_reason="cancelled"}'] == 1
    assert over['turnwire_approval_wait_seconds_count{decision="none"}'] == 1


async def test_what_is_taken_in_and_what_is_merged_for_late_readers_is_counted(
    simulator: Simulator,
) -> None:
    simulator.program(Answer(Text(["one ", "two ", "three"])))
    png = b"\x89PNG\r\n\x1a\n" + bytes(100)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "image/png"}
    async with measured(simulator) as address, wired(address, hello=TOKEN) as wire:
        async with asking(address, headers=headers) as http:
            assert (await http.post("/v1/blobs", content=png)).status_code == 201
        done = await ended(wire)
        async with wired(address, hello=TOKEN) as late:
            await late.ask("subscribe", conversation=done["conversation"])
            await late.until("done")
        found = await shown(address)
    assert found["turnwire_blob_bytes_total"] == len(png)
    # Of its three tokens somebody got one event.
    assert found["turnwire_events_merged_total"] >= 2


async def test_names_that_clients_and_models_choose_are_no_labels(simulator: Simulator) -> None:
    simulator.program(
        Answer(ToolUse("a_clients_own", {}, id="toolu_1"), stop_reason="tool_use"),
        Answer(Text("Well."), stop_reason="a_reason_of_tomorrow"),
    )
    mine = {"name": "a_clients_own", "description": "x", "input_schema": {"type": "object"}}
    async with measured(simulator) as address, wired(address, hello=TOKEN) as wire:
        ack = await wire.ask("send", content="Hello", client_tools=[mine], runner="r")
        call = await wire.until("tool_executing")
        answer = {"tool_id": call["tool_id"], "runner": "r", "content": "so"}
        await wire.send("tool_output", conversation=ack["conversation"], **answer)
        await wire.until("done")
        found = await shown(address)
    assert found['turnwire_tools_total{name="client",outcome="ok",runs_on="client"}'] == 1
    assert found['turnwire_turns_total{code="",stop_reason="other"}'] == 1
    assert not re.search("a_clients_own|a_reason", " ".join(found))


async def test_there_are_none_unless_they_are_wanted(simulator: Simulator) -> None:
    async with serving(turnwire_over(simulator)) as address, asking(address) as http:
        assert (await http.get("/metrics")).status_code == 404


async def test_without_a_token_this_machine_is_shown_them_but_nobody_through_a_proxy(
    simulator: Simulator,
) -> None:
    async with (
        serving(turnwire_over(simulator, metrics=True)) as address,
        asking(address) as http,
    ):
        assert (await http.get("/metrics")).status_code == 200
        through = await http.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"})
        assert through.status_code == 403


async def test_with_a_token_it_is_wanted_from_everybody(simulator: Simulator) -> None:
    async with measured(simulator) as address, asking(address) as http:
        assert (await http.get("/metrics")).status_code == 401
        wrong = await http.get("/metrics", headers={"Authorization": "Bearer something-else"})
        assert wrong.status_code == 401


async def test_an_apps_own_users_are_not_shown_what_others_do(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator, metrics=True, authenticate=by_name)
    async with serving(turnwire) as address, asking(address) as http:
        assert (await http.get("/metrics")).status_code == 200
        forwarded = {"X-Forwarded-For": "203.0.113.9", "Authorization": "Bearer anna"}
        assert (await http.get("/metrics", headers=forwarded)).status_code == 403


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"X-Forwarded-For": "203.0.113.9"}])
async def test_a_page_whose_name_leads_to_this_machine_is_not_shown_them(
    simulator: Simulator, headers: dict[str, str]
) -> None:
    turnwire = turnwire_over(simulator, metrics=True, authenticate=by_name)
    async with serving(turnwire) as address, asking(address) as http:
        answer = await http.get("/metrics", headers=headers)
    assert answer.status_code == 403
    # A token is no way here: the app tells its users itself.
    assert "TURNWIRE_TOKEN" not in answer.json()["error"]["message"]


def test_with_several_workers_they_are_refused() -> None:
    with pytest.raises(SettingsError, match="metrics"):
        load_settings(metrics=True, workers=2, db="postgresql://nowhere/x")


@pytest.mark.skipif(PROMETHEUS is None, reason="Debian's package prometheus is not installed")
@pytest.mark.slow
async def test_a_real_prometheus_takes_them(tmp_path: Path, simulator: Simulator) -> None:
    simulator.program(*[Answer(Text(["It", " is", " so."]))] * 3)
    async with (
        measured(simulator) as address,
        scraping(tmp_path, address, token=TOKEN) as prometheus,
        wired(address, hello=TOKEN) as wire,
        patience(),
    ):
        for _ in range(3):
            await ended(wire)
        of_turns = await prometheus.until(
            "turnwire_turns_total", lambda found: sum(found.values()) == 3
        )
        # On a busy machine some of its questions are answered too late for it.
        await prometheus.until("up", lambda found: found == {"{}": 1.0})
        assert of_turns == {json.dumps({"stop_reason": "end_turn"}): 3.0}
        # Every expression of the dashboard is one, and most have a value here.
        dashboard = Path(__file__).parents[3] / "server/deploy/grafana.json"
        panels = json.loads(dashboard.read_text("utf-8"))["panels"]
        expressions = [target["expr"] for panel in panels for target in panel.get("targets", ())]
        assert len(expressions) > 10
        for expression in expressions:
            await prometheus.query(expression.replace("$__rate_interval", "1m"))
        named = set(re.findall(r"(?:gen_ai|turnwire)_\w+", " ".join(expressions)))
        labels = {"gen_ai_request_model", "gen_ai_token_type"}
        # A name that is none has no values, and is no mistake to Prometheus.
        made = set(re.findall(r"^# TYPE (\w+)", await text_of(address), re.MULTILINE))
        assert {re.sub("_(bucket|sum|count)$", "", name) for name in named - labels} <= made

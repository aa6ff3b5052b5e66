"""Quotas over the wire: what is refused says when to come back, and leaves no trace."""

import asyncio
from typing import Any

import pytest

from tests.kit.chat import MODEL
from tests.kit.service import by_name, serving, turnwire_over
from tests.kit.sse import asking
from tests.kit.wire import wired
from turnwire_server.store.memory import MemoryStore
from turnwire_simulator import Answer, Simulator, Text

JSON = {"Accept": "application/json"}
PRICES = {MODEL: {"input": 1.0, "output": 1_000_000.0}}


@pytest.mark.usefixtures("within_a_day")
@pytest.mark.parametrize(
    "limits",
    [
        {"max_tokens_per_day": 1},
        {"max_cost_usd_per_day": 0.5},
        {"max_turns_per_minute": 1},
        {"max_conversations_per_principal": 1},
    ],
    ids=lambda limits: next(iter(limits)),
)
async def test_over_a_quota_a_send_is_refused_without_a_trace_and_a_repeated_one_is_not(
    simulator: Simulator, limits: dict[str, float]
) -> None:
    store = MemoryStore()
    simulator.answer_with(lambda body: Answer(Text("Hello.")))
    settings: dict[str, Any] = {"limits": limits, "prices": PRICES, "model": MODEL}
    turnwire = turnwire_over(simulator, store=store, authenticate=by_name, **settings)
    async with serving(turnwire) as address, asking(address) as http:
        http.headers["Authorization"] = "Bearer anna"
        first = {"content": "Hi", "key": "k"}
        done = (await http.post("/v1/chat", json=first, headers=JSON)).json()
        before = await store.list_heads("anna", limit=9, before=None)
        refused = await http.post("/v1/chat", json={"content": "Hi", "key": "l"}, headers=JSON)
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["retryable"]) == (429, "too_many", True)
        says_when = "max_conversations_per_principal" not in limits
        assert ("Retry-After" in refused.headers, "retry_after_seconds" in error) == (
            says_when,
            says_when,
        )
        again = (await http.post("/v1/chat", json=first, headers=JSON)).json()
        assert again["turn"] == done["turn"]
        assert await store.list_heads("anna", limit=9, before=None) == before
        assert len(simulator.requests) == 1
        http.headers["Authorization"] = "Bearer bert"
        other = await http.post("/v1/chat", json={"content": "Hi"}, headers=JSON)
        assert other.status_code == 200


@pytest.mark.usefixtures("within_a_day")
async def test_what_a_day_has_used_is_known_after_a_restart_and_after_a_deletion(
    simulator: Simulator, db: str
) -> None:
    simulator.answer_with(lambda body: Answer(Text("Hello.")))

    async def sent() -> dict[str, Any]:
        turnwire = turnwire_over(simulator, db=db, limits={"max_tokens_per_day": 1})
        async with serving(turnwire) as address, wired(address) as wire, asking(address) as http:
            reply = await wire.ask("send", content="Hello")
            if reply["type"] == "ack":
                await wire.until("done")
                await http.delete(f"/v1/conversations/{reply['conversation']}")
            return reply

    assert (await sent())["type"] == "ack"
    refused = await sent()
    assert (refused["type"], refused["code"]) == ("reject", "too_many")
    assert 0 < refused["retry_after_seconds"] <= 24 * 3600


async def test_sends_that_cross_begin_no_more_turns_in_a_minute_than_there_may_be(
    simulator: Simulator,
) -> None:
    simulator.answer_with(lambda body: Answer(Text("Hello.")))
    turnwire = turnwire_over(simulator, limits={"max_turns_per_minute": 3})
    async with serving(turnwire) as address, asking(address) as http:
        sends = [http.post("/v1/chat", json={"content": "Hi"}, headers=JSON) for _ in range(8)]
        statuses = [response.status_code for response in await asyncio.gather(*sends)]
    assert sorted(statuses) == [200] * 3 + [429] * 5

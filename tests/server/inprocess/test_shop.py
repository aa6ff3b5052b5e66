"""The sample app, tested as server/EMBED.md says that apps are: TestClient, a simulator beside."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from fastapi.testclient import TestClient

from tests.kit.patience import PATIENCE_SECONDS
from tests.server.inprocess.shop import create_shop
from turnwire_simulator import Answer, Simulator, Text, ToolUse

JSON = {"Accept": "application/json"}


@pytest.fixture(name="outside")
def fixture_outside() -> Iterator[Simulator]:
    """A simulator for tests without an event loop."""
    with Simulator() as simulator:
        yield simulator
    assert simulator.rejections == []


@contextmanager
def shop(folder: Path, simulator: Simulator) -> Iterator[TestClient]:
    """The app while it runs; Anna has logged in."""
    app = create_shop(folder, AsyncAnthropic(base_url=simulator.url, api_key="test"))
    with TestClient(app) as client:
        assert client.post("/login", params={"user": "anna"}).status_code == 200
        yield client


def ask(client: TestClient, content: str, conversation: str | None = None) -> dict[str, Any]:
    """Send, and give the turn as it ended."""
    body = {"content": content} | ({"conversation": conversation} if conversation else {})
    answer = client.post("/ai/v1/chat", json=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    turn: dict[str, Any] = answer.json()
    return turn


def when_done(client: TestClient, conversation: str, *, turns: int) -> dict[str, Any]:
    """The conversation, once so many of its turns are done."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        read: dict[str, Any] = client.get(f"/ai/v1/conversations/{conversation}").json()
        if [turn["state"] for turn in read["turns"]] == ["done"] * turns:
            return read
    raise TimeoutError(f"not {turns} turns are done")


def rows(folder: Path, query: str) -> list[tuple[Any, ...]]:
    """What the app's database says."""
    db = sqlite3.connect(folder / "shop.db", isolation_level=None)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def test_nobody_comes_in_without_the_cookie(tmp_path: Path, outside: Simulator) -> None:
    with shop(tmp_path, outside) as client:
        ask(client, "Hello")
        client.cookies.clear()
        assert client.post("/ai/v1/chat", json={"content": "Hello"}).status_code == 401
        client.post("/login", params={"user": "bert"})
        assert client.get("/ai/v1/conversations").json() == {"conversations": []}


def test_an_answer_cites_what_was_found_and_is_billed(tmp_path: Path, outside: Simulator) -> None:
    cited = {
        "type": "char_location",
        "cited_text": "30 days",
        "document_index": 0,
        "document_title": "Returns",
        "start_char_index": 0,
        "end_char_index": 7,
    }
    outside.program(Answer(Text("You have 30 days.", citations=[cited])))
    with shop(tmp_path, outside) as client:
        rows(tmp_path, "INSERT INTO articles VALUES ('Returns', '30 days, with the receipt.')")
        turn = ask(client, "How do returns work?")
        (block,) = turn["blocks"]
        assert block["citations"][0]["title"] == "Returns"
        assert turn["content"] == "How do returns work?"
    (request,) = outside.requests
    assert "Answer in English" in str(request["system"])
    assert [part["type"] for part in request["messages"][0]["content"]] == ["text", "document"]
    usage = turn["done"].get("usage") or turn["usage"]
    (bill,) = rows(tmp_path, "SELECT * FROM bills")
    assert bill == (turn["turn"], "anna", usage["input_tokens"] + usage["output_tokens"])


def test_what_is_refused_costs_nothing_and_leaves_nothing(
    tmp_path: Path, outside: Simulator
) -> None:
    with shop(tmp_path, outside) as client:
        refused = client.post("/ai/v1/chat", json={"content": "something forbidden"})
        assert refused.status_code == 403
        assert "We do not talk about that here." in refused.text
        rows(tmp_path, "UPDATE users SET credit = 0")
        assert client.post("/ai/v1/chat", json={"content": "Hello"}).status_code == 429
        assert client.get("/ai/v1/conversations").json() == {"conversations": []}
    assert rows(tmp_path, "SELECT * FROM bills") == []
    assert outside.requests == []


def test_a_tool_uses_what_the_app_has(tmp_path: Path, outside: Simulator) -> None:
    outside.program(Answer(ToolUse("my_credit", {}, id="toolu_1")), Answer(Text("10000")))
    with shop(tmp_path, outside) as client:
        turn = ask(client, "What is my credit?")
    assert turn["blocks"][0]["result"]["content"] == "10000"


def test_after_a_restart_all_is_there_and_a_reminder_is_sent_once(
    tmp_path: Path, outside: Simulator
) -> None:
    with shop(tmp_path, outside) as client:
        rows(tmp_path, "INSERT INTO articles VALUES ('Returns', '30 days.')")
        first = ask(client, "How do returns work?")
        conversation = first["conversation"]
        params = {"conversation": conversation, "text": "Remind me of the parcel."}
        assert client.post("/reminders", params=params).json() == 1
    for _ in range(2):
        with shop(tmp_path, outside) as client:
            read = when_done(client, conversation, turns=2)
            assert [turn["content"] for turn in read["turns"]] == [
                "How do returns work?",
                "Remind me of the parcel.",
            ]
            rows(tmp_path, "UPDATE reminders SET is_sent = 0")  # As if it had died before that.
    assert len(outside.requests) == 2
    # What was found for the first message stands where it stood.
    said = outside.requests[-1]["messages"][0]["content"]
    assert [part["type"] for part in said] == ["text", "document"]
    assert len(rows(tmp_path, "SELECT * FROM bills")) == 2

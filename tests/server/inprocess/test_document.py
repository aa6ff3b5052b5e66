"""What server/EMBED.md says runs as it stands there, and what it says of logins in tests is so."""

import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from fastapi.testclient import TestClient

from tests.kit.patience import patience
from tests.kit.service import turnwire_over
from turnwire_server import Turnwire, create_app
from turnwire_simulator import Simulator

DOCUMENT = Path(__file__).parents[3] / "server" / "EMBED.md"
CODE = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)


def named(name: str) -> dict[str, Any]:
    """What the one piece of code defines that has this name in it."""
    (code,) = [code for code in CODE if re.search(rf"\b{name}\b", code)]
    names: dict[str, Any] = {"__name__": "embed"}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    return names


def test_every_piece_of_code_is_run_here() -> None:
    assert len(CODE) == 4


async def test_a_conversation_without_a_socket(
    simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    turnwire = turnwire_over(simulator)
    await turnwire.start()
    async with patience():
        said = await named("daily_summary")["daily_summary"](turnwire, "anna", None)
    await turnwire.close()
    assert said == capsys.readouterr().out != ""


def test_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator() as simulator:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", simulator.url)
        app = create_app(named("ARTICLES")["turnwire"])
        with TestClient(app, cookies={"user": "anna"}) as client:
            headers = {"Accept": "application/json"}
            refused = client.post("/v1/chat", json={"content": "forbidden"}, headers=headers)
            assert refused.status_code == 403
            client.post("/v1/chat", json={"content": "returns?"}, headers=headers)
        (request,) = simulator.requests
    assert "You help anna." in str(request["system"])
    assert "30 days" in str(request["messages"])


async def test_the_tests_for_authors() -> None:
    # In a thread: pytest runs a test that is not async without an event loop.
    await asyncio.to_thread(named("test_a_question_is_answered")["test_a_question_is_answered"])
    test = named("test_without_a_thread")["test_without_a_thread"]
    assert inspect.iscoroutinefunction(test)
    async with patience():
        await test()


def test_a_test_client_without_a_login_is_told_what_to_do() -> None:
    turnwire = Turnwire(client=AsyncAnthropic(base_url="http://127.0.0.1:1", api_key="test"))
    app = create_app(turnwire)
    with TestClient(app) as client:
        refused = client.get("/v1/conversations")
        assert refused.status_code == 403
        said = 'TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50000))'
        assert said in refused.json()["error"]["message"]
    assert said in DOCUMENT.read_text("utf-8")
    # Started anew: a service that has ended does not begin again.
    turnwire = Turnwire(client=AsyncAnthropic(base_url="http://127.0.0.1:1", api_key="test"))
    app = create_app(turnwire)
    with TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50000)) as client:
        assert client.get("/v1/conversations").status_code == 200

"""An app whose lifespan did not run: every request is told so at once, and how to start it."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.kit.patience import patience
from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from turnwire_server import Turnwire, create_app
from turnwire_simulator import Simulator

REMEDIES = ("include_router", "TestClient", "start()")

REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "/health", {}),
    ("GET", "/ready", {}),
    ("GET", "/", {}),
    ("GET", "/v1/conversations", {}),
    ("POST", "/v1/chat", {"json": {"content": "hi"}}),
    ("GET", "/v1/chat?message=hi&key=k", {}),
    ("POST", "/v1/blobs", {"content": b"x", "headers": {"Content-Type": "image/png"}}),
]


def told(response: httpx2.Response) -> None:
    """It is the refusal, with its remedies."""
    assert response.status_code == 503
    error = response.json()["error"]
    assert (error["code"], error["retryable"]) == ("storage_unavailable", False)
    for remedy in REMEDIES:
        assert remedy in error["message"]


def mounted(turnwire: Turnwire) -> FastAPI:
    """An app in which nobody starts the service."""
    app = FastAPI()
    app.mount("/ai", create_app(turnwire))
    return app


@pytest.mark.parametrize(
    ("method", "path", "request_"), REQUESTS, ids=lambda given: str(given)[:20]
)
async def test_a_mounted_app_answers_every_request_with_the_remedy(
    simulator: Simulator, method: str, path: str, request_: dict[str, Any]
) -> None:
    app = mounted(turnwire_over(simulator))
    async with patience(), serving(app) as address, asking(address) as http:
        told(await http.request(method, f"/ai{path}", **request_))
    assert simulator.requests == []


async def test_a_socket_of_a_mounted_app_is_refused_with_the_remedy(simulator: Simulator) -> None:
    async with patience(), serving(mounted(turnwire_over(simulator, token="12345678"))) as address:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{address}/ai/v1/ws")
    assert refused.value.response.status_code == 503
    for remedy in REMEDIES:
        assert remedy.encode() in refused.value.response.body


def test_a_test_client_without_with_is_told(simulator: Simulator) -> None:
    client = TestClient(create_app(turnwire_over(simulator)))
    told(client.post("/v1/chat", json={"content": "hi"}))


async def test_the_log_says_it_once(simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    app = mounted(turnwire_over(simulator))
    async with patience(), serving(app) as address, asking(address) as http:
        for _ in range(3):
            await http.get("/ai/health")
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.name for record in errors] == ["turnwire_server.app"]


async def test_who_starts_it_by_hand_may_mount_it(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await turnwire.start()
        yield
        await turnwire.close()

    app = FastAPI(lifespan=lifespan)
    app.mount("/ai", create_app(turnwire))
    async with patience(), serving(app) as address, asking(address) as http:
        accept = {"Accept": "application/json"}
        answer = await http.post("/ai/v1/chat", json={"content": "hi"}, headers=accept)
        assert answer.json()["done"]["stop_reason"] == "end_turn"


async def test_after_its_end_it_says_that_it_has_gone(simulator: Simulator) -> None:
    turnwire = turnwire_over(simulator)
    await turnwire.start()
    await turnwire.close()
    app = mounted(turnwire)
    async with patience(), serving(app) as address, asking(address) as http:
        answer = await http.get("/ai/health")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "draining")

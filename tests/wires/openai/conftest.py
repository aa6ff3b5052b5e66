"""A simulator, and the real Python client of OpenAI against a service over it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

from tests.kit.patience import PATIENCE_SECONDS
from tests.kit.service import by_name, serving, turnwire_over
from turnwire_server import Turnwire
from turnwire_simulator import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """What answers in place of Claude."""
    async with Simulator() as simulator:
        yield simulator


class Service:
    """The service, and its clients."""

    def __init__(self, host: str, turnwire: Turnwire) -> None:
        self.host = host
        self.turnwire = turnwire
        self.url = f"http://{host}/openai/v1"
        self.clients: list[AsyncOpenAI] = []

    def client(self, name: str = "anna", *, max_retries: int = 0, **options: Any) -> AsyncOpenAI:
        """The published client, as somebody."""
        client = AsyncOpenAI(base_url=self.url, api_key=name, max_retries=max_retries, **options)
        self.clients.append(client)
        return client

    async def get(self, path: str, name: str = "anna") -> Any:
        """What our own REST says."""
        headers = {"Authorization": f"Bearer {name}"}
        async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE_SECONDS) as http:
            return (await http.get(f"http://{self.host}/v1{path}")).json()

    async def log(self, name: str) -> list[tuple[str, str, str]]:
        """Of each turn of Anna's conversation of that name: question, answer, stop reason."""
        id = await self.turnwire.hub.named("anna", name)
        folded = await self.get(f"/conversations/{id}")
        return [
            (
                turn["content"],
                "".join(block["text"] for block in turn.get("blocks", []) if "text" in block),
                turn.get("done", {}).get("stop_reason", "-"),
            )
            for turn in folded.get("turns", [])
        ]


@asynccontextmanager
async def served(simulator: Simulator, **settings: Any) -> AsyncIterator[Service]:
    """A service that knows Anna and Bert by tokens that are their names."""
    turnwire = turnwire_over(simulator, **{"authenticate": by_name, **settings})
    async with serving(turnwire) as host:
        service = Service(host, turnwire)
        try:
            yield service
        finally:
            for client in service.clients:
                await client.close()


@pytest.fixture
async def service(simulator: Simulator) -> AsyncIterator[Service]:
    """One with the usual settings."""
    async with served(simulator) as service:
        yield service

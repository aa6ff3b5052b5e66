"""Turnwire inside somebody else's FastAPI app."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse
from starlette.requests import HTTPConnection
from websockets.asyncio.client import connect

from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from turnwire_server import SettingsError, Turnwire
from turnwire_server.settings import SettingOptions, Settings
from turnwire_server.store.memory import MemoryStore
from turnwire_simulator import Simulator

README = Path(__file__).parents[2] / "README.md"


class WatchedStore(MemoryStore):
    """A store that notes how it is used."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    async def open(self) -> None:
        """Noted."""
        self.calls.append("open")

    async def close(self) -> None:
        """Noted."""
        self.calls.append("close")


class Host:
    """A foreign app with a lifespan, a route and a dependency of its own."""

    def __init__(self, turnwire: Turnwire) -> None:
        self.seen: list[tuple[str, str]] = []
        self.is_up = False

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[None]:
            self.is_up = True
            yield
            self.is_up = False

        self.app = FastAPI(lifespan=lifespan)
        self.app.include_router(turnwire.router, prefix="/ai", dependencies=[Depends(self._note)])

        @self.app.get("/mine")
        async def mine() -> PlainTextResponse:
            return PlainTextResponse("mine")

    async def _note(self, connection: HTTPConnection) -> None:
        self.seen.append((connection.scope["type"], connection.url.path))


async def test_the_router_runs_under_a_prefix_with_both_lifespans(simulator: Simulator) -> None:
    store = WatchedStore()
    host = Host(turnwire_over(simulator, store=store))
    async with serving(host.app) as address, asking(address) as http:
        assert host.is_up
        assert store.calls == ["open"]
        assert (await http.get("/mine")).text == "mine"
        assert (await http.get("/ai/health")).status_code == 200
        answer = await http.post(
            "/ai/v1/chat", json={"content": "hi"}, headers={"Accept": "application/json"}
        )
        assert answer.json()["done"]["stop_reason"] == "end_turn"
    assert store.calls == ["open", "close"]


async def test_dependencies_of_the_include_run_for_http_and_websocket(
    simulator: Simulator,
) -> None:
    host = Host(turnwire_over(simulator))
    async with serving(host.app) as address, asking(address) as http:
        await http.get("/ai/v1/conversations")
        async with connect(f"ws://{address}/ai/v1/ws") as socket:
            assert '"welcome"' in str(await socket.recv())
    assert host.seen == [("http", "/ai/v1/conversations"), ("websocket", "/ai/v1/ws")]


async def test_the_endpoints_are_in_the_docs_of_the_app(simulator: Simulator) -> None:
    host = Host(turnwire_over(simulator))
    paths = host.app.openapi()["paths"]
    assert {"/mine", "/ai/health", "/ai/v1/chat", "/ai/v1/conversations"} <= set(paths)


async def test_the_page_is_below_the_prefix_with_relative_links(simulator: Simulator) -> None:
    host = Host(turnwire_over(simulator))
    async with serving(host.app) as address, asking(address, follow_redirects=True) as http:
        page = await http.get("/ai/")
        assert page.status_code == 200
        links = re.findall(r'(?:src|href)="([^"#]+)"', page.text)
        assert links
        for link in links:
            assert not link.startswith("/")
            assert (await http.get(f"/ai/{link}")).status_code == 200
        assert (await http.get("/ai")).url.path == "/ai/"


async def test_two_services_live_in_one_app(simulator: Simulator) -> None:
    app = FastAPI()
    for name in ("one", "two"):
        app.include_router(turnwire_over(simulator).router, prefix=f"/{name}")
    async with serving(app) as address, asking(address) as http:
        headers = {"Accept": "application/json"}
        await http.post("/one/v1/chat", json={"content": "hi"}, headers=headers)
        assert len((await http.get("/one/v1/conversations")).json()["conversations"]) == 1
        assert (await http.get("/two/v1/conversations")).json() == {"conversations": []}


async def test_the_library_example_of_the_readme_runs(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "test-key")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", simulator.url)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if "include_router" in block]
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(example, str(README), "exec"), names)
    async with serving(names["app"]) as address, asking(address) as http:
        answer = await http.post(
            "/ai/v1/chat",
            json={"content": "Where is my order? Use order_status."},
            headers={"Accept": "application/json"},
        )
        assert answer.json()["done"]["stop_reason"] == "end_turn"
    assert simulator.requests[0]["tools"][0]["name"] == "order_status"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"modle": "x"}, "modle"),
        ({"port": -1}, "port"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"token": "short"}, "token"),
        ({"client_options": ["everything"]}, "client_options"),
        ({"tools": ["no/such/file.py"]}, "tools"),
        ({"limits": {"max_cost_usd_per_day": 1.0}, "model": "claude-unpriced"}, "claude-unpriced"),
        ({"limits": {"max_subscription": 1}}, "max_subscription"),
        ({"prices": {"claude-x": {"input": 3, "output": 15, "cache": 1}}}, "claude-x.cache"),
    ],
)
async def test_a_wrong_setting_is_refused_by_its_name(
    simulator: Simulator, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        turnwire_over(simulator, **settings)
    assert named in str(refused.value)
    assert "short" not in str(refused.value).replace("shorter", "")


def test_every_setting_is_a_keyword_that_editors_know() -> None:
    # `tools` is a parameter of its own there: it takes functions too.
    assert {*SettingOptions.__annotations__, "tools"} == set(Settings.model_fields)

"""The chat page and the browser client as files: types, headers, nothing else shadowed."""

from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from turnwire_browser import STATIC
from turnwire_simulator import Simulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

FILES = sorted(
    path.relative_to(STATIC).as_posix()
    for path in STATIC.rglob("*")
    if path.suffix in (".js", ".css", ".html", ".svg")
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    """A client of one service for all of them: files have no state."""
    async with (
        Simulator() as simulator,
        serving(turnwire_over(simulator)) as address,
        asking(address) as client,
    ):
        yield client


async def test_the_page_is_at_the_root_and_loads_nothing_foreign(http: httpx2.AsyncClient) -> None:
    response = await http.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    policy = response.headers["content-security-policy"].split("; ")
    assert {"default-src 'self'", "img-src 'self' blob:", "frame-ancestors 'none'"} <= set(policy)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert 'src="/' not in response.text
    assert 'href="/' not in response.text
    assert "http://" not in response.text.replace("http://www.w3.org/", "")


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_served_with_its_type(http: httpx2.AsyncClient, name: str) -> None:
    response = await http.get(f"/{name}")
    types = {"js": "text/javascript", "css": "text/css", "html": "text/html", "svg": "image/svg"}
    assert response.status_code == 200
    assert response.headers["content-type"].startswith(types[name.rpartition(".")[2]])
    assert response.content == (STATIC / name).read_bytes()
    assert response.headers["cache-control"] == "no-cache"


async def test_a_file_is_not_sent_twice(http: httpx2.AsyncClient) -> None:
    first = await http.get("/turnwire.js")
    headers = {"If-None-Match": first.headers["etag"]}
    again = await http.get("/turnwire.js", headers=headers)
    assert (again.status_code, again.content) == (304, b"")
    other = await http.get("/turnwire.js", headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)
    assert (await http.head("/turnwire.js")).content == b""


async def test_other_pages_may_import_the_module(http: httpx2.AsyncClient) -> None:
    response = await http.get("/turnwire.js", headers={"Origin": "https://app.example"})
    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/nothing", "/../pyproject.toml", "/%2e%2e/pyproject.toml"])
async def test_nothing_else_is_served(http: httpx2.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 404

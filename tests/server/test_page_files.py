"""The chat page and the browser client as files: types, headers, nothing else shadowed."""

import re
from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from tests.kit.service import serving, turnwire_over
from tests.kit.sse import asking
from turnwire_browser import BUILT
from turnwire_simulator import Simulator

pytestmark = pytest.mark.asyncio(loop_scope="module")

TYPES = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
FILES = sorted(
    path.relative_to(BUILT).as_posix()
    for path in BUILT.rglob("*")
    if path.suffix.removeprefix(".") in TYPES
)
INDEX = (BUILT / "index.html").read_text("utf-8")
NAMED = sorted(set(re.findall(r'(?:href|src)="(page/[^"]+)"', INDEX)))
FOREVER = "public, max-age=31536000, immutable"


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


async def test_a_browser_is_told_what_the_page_needs_before_it_has_the_page(
    http: httpx2.AsyncClient,
) -> None:
    style, *scripts = re.findall(r'"(page/[^"]+\.(?:css|js))"', INDEX)
    wanted = [f"<{style}>; rel=preload; as=style"]
    wanted += [f"<{script}>; rel=modulepreload" for script in scripts]
    for name in ("/", "/index.html"):
        assert (await http.get(name)).headers["link"] == ", ".join(wanted)
    assert "link" not in (await http.get("/turnwire.js")).headers


async def test_the_page_names_its_two_scripts_one_style_and_what_is_there() -> None:
    asked = re.findall(r'(?:href|src)="(page/[^"]+\.(?:css|js))"', INDEX)
    # In this order: the connection is begun before the rest of the page has come.
    kinds = [re.sub(r"-[0-9a-f]{8}", "", name) for name in asked]
    assert kinds == ["page/page.css", "page/wire.js", "page/page.js"]
    assert all(re.fullmatch(r"page/[\w-]+-[0-9a-f]{8}\.\w+", name) for name in NAMED)
    assert set(NAMED) <= set(FILES)


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_served_with_its_type(http: httpx2.AsyncClient, name: str) -> None:
    response = await http.get(f"/{name}", headers={"Accept-Encoding": "identity"})
    assert response.status_code == 200
    assert response.headers["content-type"] == TYPES[name.rpartition(".")[2]]
    assert "content-encoding" not in response.headers
    assert response.content == (BUILT / name).read_bytes()
    keeps = FOREVER if name.startswith("page/") else "no-cache"
    assert response.headers["cache-control"] == keeps


@pytest.mark.parametrize(
    ("accepted", "suffix"),
    [
        ("gzip, deflate, br, zstd", ".br"),
        ("gzip, deflate", ".gz"),
        ("GZIP; q=0.5, br;q=0", ".gz"),
        ("*", ".br"),
        ("*;q=0, gzip", ".gz"),
        ("br;q=0.000, deflate", ""),
        ("identity, *;q=0", ""),
        ("", ""),
    ],
)
async def test_what_was_compressed_by_the_build_is_sent_to_whoever_takes_it(
    http: httpx2.AsyncClient, accepted: str, suffix: str
) -> None:
    encoding = {".br": "br", ".gz": "gzip", "": None}[suffix]
    for name in ("index.html", "turnwire/fold.js", *NAMED):
        url = f"/{name}"
        async with http.stream("GET", url, headers={"Accept-Encoding": accepted}) as response:
            raw = b"".join([part async for part in response.aiter_raw()])
        assert response.headers.get("content-encoding") == encoding
        assert response.headers["vary"] == "Accept-Encoding"
        assert raw == (BUILT / f"{name}{suffix}").read_bytes()


@pytest.mark.parametrize("name", ["", "turnwire.js", next(n for n in NAMED if n.endswith(".js"))])
async def test_a_file_is_not_sent_twice(http: httpx2.AsyncClient, name: str) -> None:
    first = await http.get(f"/{name}")
    tag = first.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}'):
        again = await http.get(f"/{name}", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        kept = ("etag", "cache-control", "vary")
        assert [again.headers[each] for each in kept] == [first.headers[each] for each in kept]
    other = await http.get(f"/{name}", headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, first.content)
    plain = {"Accept-Encoding": "identity", "If-None-Match": tag}
    assert (await http.get(f"/{name}", headers=plain)).status_code == 200


async def test_head_tells_what_get_would(http: httpx2.AsyncClient) -> None:
    got, told = await http.get("/turnwire.js"), await http.head("/turnwire.js")
    assert (told.status_code, told.content) == (200, b"")
    for name in ("content-length", "content-type", "content-encoding", "etag"):
        assert told.headers[name] == got.headers[name]


async def test_other_pages_may_import_the_module(http: httpx2.AsyncClient) -> None:
    response = await http.get("/turnwire.js", headers={"Origin": "https://app.example"})
    assert response.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/../pyproject.toml",
        "/%2e%2e/pyproject.toml",
        "/page/colours-00000000.js",
        "/page/page-0000.js",
        "/page/page.js",
        "/index.html.br",
        "/SOURCES",
    ],
)
async def test_nothing_else_is_served(http: httpx2.AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize("stem", ["wire", "page", "further"])
async def test_a_script_of_another_version_of_the_page_is_one_that_loads_the_page_of_now(
    http: httpx2.AsyncClient, stem: str
) -> None:
    response = await http.get(f"/page/{stem}-00000000.js")
    assert response.status_code == 200
    assert response.content == (BUILT / "outdated.js").read_bytes()
    assert response.headers["content-type"] == TYPES["js"]
    # Elsewhere the name stands for what it says.
    assert response.headers["cache-control"] == "no-cache"


async def test_the_style_of_another_version_is_that_of_now(http: httpx2.AsyncClient) -> None:
    response = await http.get("/page/page-00000000.css")
    (style,) = (name for name in NAMED if name.endswith(".css"))
    assert response.content == (BUILT / style).read_bytes()
    assert response.headers["cache-control"] == "no-cache"
